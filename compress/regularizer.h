// What a structured regulariser is:  R(W) = sum_g rho(||W_g||),  and its proximal step.
//
// For groups that share no element and a penalty of the group norms, the proximal operator of step * R is
//   W_g <- (x*_g / n_g) W_g,   x* = argmin_{x >= 0}  1/2 ||x - n||^2 + step * R(x),   n_g = ||W_g||
// with x* the GLOBAL minimiser, also where step makes the objective non-convex. Where R is a sum over groups
// (separable), x* is found group by group and a regulariser is a few scalar functions: group_penalty.h. A regulariser
// lives in one file under regularizers/ and is found by name.
//
// step scales the whole penalty, its parameters stay: step * rho(x; options). Papers on MCP and SCAD often write the
// operator of rho(x; lambda = step) instead, whose knots move with the step; that is another function.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/core/device.h"
#include "kernels/group_prox.h"
#include "kernels/simt/native_stream.h"

namespace hinge::kernels {
struct GroupTable;  // group_table.h
struct SgdOptions;  // sgd.h
}  // namespace hinge::kernels

namespace hinge::compress {

using RegularizerOptions = std::map<std::string, double>;

// A number that shapes a penalty. Accepted: above < value <= at_most.
struct OptionInfo {
  std::string name;
  double value = 0.0;  // where nothing is given
  double above = 0.0, at_most = 1e6;
  std::string meaning;
};

// What the program prints and the tests go by.
struct RegularizerInfo {
  std::string name;
  std::string equation;  // of rho, for people
  std::string source;
  bool convex = false;    // R is a convex function of W
  bool separable = true;  // R(n) = sum of value(n_g)
  std::vector<OptionInfo> options;
};

// Its functions are called from several threads at once. Those of a separable one may be given some of a set's groups: a thread's share, or a
// piece that fits a cache (prox_sets.h).
class Regularizer {
 public:
  virtual ~Regularizer() = default;
  const RegularizerInfo& info() const { return *info_; }
  // Complete: those given and the defaults of the others.
  const RegularizerOptions& options() const { return options_; }

  // The penalty of a set that is one group: rho(norm), norm >= 0.
  virtual double value(double norm) const = 0;
  // x*/norm in [0, 1] for a set that is one group: the global minimiser's share of the norm; 0 for norm 0. step >= 0.
  virtual double shrink(double norm, double step) const = 0;
  // d rho / d norm at norm > 0.
  virtual double derivative(double norm) const = 0;

  // R of a whole set.
  virtual double penalty(std::span<const double> norms) const;
  double penalty(std::span<const float> norms) const;
  // x*_g / n_g of a whole set.
  virtual std::vector<double> scales(std::span<const double> norms, double step) const;
  // dR / dn_g; 0 where n_g = 0, where 0 is a subgradient of every penalty here but not its only one.
  virtual std::vector<double> gradient(std::span<const double> norms) const;

  // The proximal step on a set of groups, in place. Group g is made of group g of every part (a ResNeXt group lives in
  // two tensors): n_g^2 = sum over parts. Returns the norms before the step.
  virtual std::vector<float> prox(std::span<const kernels::GroupView> parts, double step, const Stream& stream) const;
  std::vector<float> prox(const kernels::GroupView& whole, double step, const Stream& stream) const {
    return prox(std::span<const kernels::GroupView>(&whole, 1), step, stream);
  }

  // The proximal step of a whole network on the GPU, each set of the table with its own step, in one launch; norms,
  // penalty and zeros go into the table. Throws Error where this program holds no CUDA kernels of the penalty.
  virtual void group_prox(const kernels::GroupTable& table, simt::NativeStream stream) const;
  // The same behind the step of SGD on the groups' elements, in one pass over the weights; `options` [parameters] lies in
  // GPU memory. Returns false, and has done nothing, where the penalty needs all new norms before it shrinks any group:
  // the two steps are then taken one after the other.
  virtual bool sgd_group_prox(const kernels::GroupTable& table, const kernels::SgdOptions* options, simt::NativeStream stream) const;

 private:
  friend std::unique_ptr<Regularizer> make_regularizer(const std::string& name, const RegularizerOptions& given);
  const RegularizerInfo* info_ = nullptr;
  RegularizerOptions options_;
};

// Makes one from options that are complete and in range.
using RegularizerFactory = std::function<std::unique_ptr<Regularizer>(const RegularizerOptions&)>;

struct RegularizerEntry {
  RegularizerInfo info;
  RegularizerFactory make;
};
// By name.
std::map<std::string, RegularizerEntry>& regularizers();
// Returns true so that a namespace-scope constant can hold the call.
bool register_regularizer(RegularizerInfo info, RegularizerFactory make);

// Throws UsageError on an unknown name or option (with the known ones and the nearest) and on a value out of range.
std::unique_ptr<Regularizer> make_regularizer(const std::string& name, const RegularizerOptions& given = {});
// From texts such as "eps=1e-2"; throws UsageError on anything else and on an option given twice.
RegularizerOptions parse_options(std::span<const std::string> texts);
// "above 0 and at most 1e+06"
std::string range_text(const OptionInfo& option);

// n_g of every group over all parts, which must have equally many groups.
std::vector<float> group_norms(std::span<const kernels::GroupView> parts, const Stream& stream);
std::vector<float> group_norms(const kernels::GroupView& whole, const Stream& stream);

}  // namespace hinge::compress
