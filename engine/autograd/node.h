// The tape: one Node per recorded operation. It knows no operation by name.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "engine/core/tensor.h"

namespace hinge {

// One gradient per input of the operation; undefined where the input wants none.
using Gradients = std::vector<Tensor>;
using BackwardFunction = std::function<Gradients(const Tensor& dy, const Stream&)>;

// What an operation read and how a gradient flows back through it. What `backward` captures is exactly what the
// operation keeps in memory until then. A leaf has neither inputs nor `backward`.
struct Node {
  std::uint64_t order = 0;  // increases with every recorded operation: a topological order for free
  std::string_view name;
  std::vector<NodePtr> inputs;  // null where the input has no history
  BackwardFunction backward;
};

// `output` with a node that remembers how it came about, if gradients are on and some input has history.
Tensor record(std::string_view name, std::span<const Tensor> inputs, const Tensor& output,
              BackwardFunction backward);
inline Tensor record(std::string_view name, std::initializer_list<Tensor> inputs,
                     const Tensor& output, BackwardFunction backward) {
  return record(name, std::span<const Tensor>(inputs.begin(), inputs.size()), output,
                std::move(backward));
}

inline constexpr std::string_view kLeafName = "leaf";
// `value` as the start of a history: gradients can be asked for with respect to it.
Tensor make_leaf(const Tensor& value);

inline bool wants_gradient(const Tensor& tensor) { return tensor.node() != nullptr; }

// While one lives, nothing is recorded on this thread.
class NoGradients {
 public:
  NoGradients();
  ~NoGradients();
  NoGradients(const NoGradients&) = delete;
  NoGradients& operator=(const NoGradients&) = delete;

 private:
  bool before_;
};
bool gradients_enabled();

}  // namespace hinge
