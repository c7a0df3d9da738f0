// A Graph with its weights: the module every model here is.
#pragma once

#include <map>
#include <memory>
#include <span>

#include "engine/graph/graph.h"
#include "engine/nn/module.h"

namespace hinge {

// Parameters are "<node>.weight" ([K, R, S, C/groups] for convolutions, [K, C] for linear layers), "<node>.bias";
// BatchNorm has .weight, .bias and the buffers .running_mean and .running_var.
class Network final : public Module {
 public:
  // Weights are zero, BatchNorm is the identity; see initialise().
  explicit Network(Graph graph);
  Network(Network&&) noexcept = default;
  Network& operator=(Network&&) noexcept = default;

  const Graph& graph() const { return graph_; }
  // The same graph and copies of all values.
  Network clone() const;

  // Where the values lie; the CPU at first. Moving makes new tensors: pointers into the old ones are no longer the
  // network's, and an optimiser's state has to go along.
  void move_to(Device device);
  Device device() const;

  // x : [N, H, W, C]  ->  what the output node makes ([N, K] behind a linear layer).
  Tensor forward(const Tensor& x, const ForwardOptions& options, const Stream& stream) override;
  // Of every output, in the order of graph().outputs().
  std::vector<Tensor> forward_all(const Tensor& x, const ForwardOptions& options, const Stream& stream);
  // What one node makes of its inputs. A BatchNorm may add a residual and clamp at 0 in the same pass.
  struct Behind {
    Tensor residual = {};
    bool relu = false;
  };
  Tensor run_node(int node, std::span<const Tensor> inputs, const Behind& behind, const ForwardOptions& options, const Stream& stream);
  std::vector<Parameter*> parameters() override;
  std::vector<Buffer*> buffers() override;

  // By full name; throws Error if there is none.
  Parameter& parameter(const std::string& name);
  const Parameter& parameter(const std::string& name) const;
  Buffer& buffer(const std::string& name);
  // The value of a parameter or buffer by full name, sharing memory; throws Error if there is none.
  Tensor value(const std::string& name) const;
  bool has_parameter(const std::string& name) const { return parameter_index_.contains(name); }

  // Every value by name, parameters and buffers, in the memory layout (filters K,R,S,C); the tensors share memory
  // with the network.
  std::map<std::string, Tensor> values() const;
  // Copies in what `values` gave. Throws Error naming every missing, extra or misshapen entry.
  void set_values(const std::map<std::string, Tensor>& values);

 private:
  // One step of the forward pass: a node, or a BatchNorm with the add and ReLU that follow it folded in.
  struct Step {
    int node = 0;       // which node's value it makes
    int operation = 0;  // which node says what to do
    int residual = -1;  // the other input of a folded add
    bool relu = false;
    std::vector<int> frees;  // values nobody reads afterwards
  };
  void plan_steps();

  Graph graph_;
  std::vector<std::unique_ptr<Parameter>> parameters_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
  std::map<std::string, std::size_t> parameter_index_, buffer_index_;
  std::vector<Step> steps_;
};

// He et al. (2015) normal for convolutions (fan-in), uniform +-1/sqrt(C) for linear layers; a pure function of the
// seed and the parameter's name.
void initialise(Network& network, std::uint64_t seed);

}  // namespace hinge
