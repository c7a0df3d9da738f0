// What a structured regulariser is:  R(W) = sum_g rho(||W_g||),  and its proximal step.
//
// For groups that share no element and a penalty of the group norm, the proximal operator of step * R is
//   W_g <- (x* / n_g) W_g,   x* = argmin_{x >= 0}  1/2 (x - n_g)^2 + step * rho(x),   n_g = ||W_g||
// so a regulariser is two scalar functions, written in one file under regularizers/ and found by name.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/core/device.h"
#include "kernels/group_prox.h"

namespace hinge::compress {

using RegularizerOptions = std::map<std::string, double>;

class Regularizer {
 public:
  virtual ~Regularizer() = default;

  // rho(norm), norm >= 0.
  virtual double value(double norm) const = 0;
  // x*/norm in [0, 1]: the global minimiser's share of the norm; 0 for norm = 0. step >= 0.
  virtual double shrink(double norm, double step) const = 0;
  // rho'(norm), norm > 0.
  virtual double derivative(double norm) const = 0;
  // R of a set of groups with these norms.
  virtual double penalty(std::span<const float> norms) const;
  // The proximal step on all groups, in place. A group may consist of several parts: all have the same number of groups,
  // and n_g^2 is the sum over parts. Returns the norms before the step.
  virtual std::vector<float> prox(std::span<const kernels::GroupView> parts, double step, const Stream& stream) const;
};

using RegularizerFactory = std::function<std::unique_ptr<Regularizer>(const RegularizerOptions&)>;

struct RegularizerEntry {
  RegularizerFactory make;
  std::vector<std::string> options;  // names it understands
};
std::map<std::string, RegularizerEntry>& regularizers();
bool register_regularizer(const std::string& name, RegularizerEntry entry);
// Throws UsageError on an unknown name or option, with the known ones and the nearest.
std::unique_ptr<Regularizer> make_regularizer(const std::string& name, const RegularizerOptions& options = {});

// ||W_g|| of every group, over all its parts.
std::vector<float> group_norms(std::span<const kernels::GroupView> parts, const Stream& stream);

// A regulariser from a struct with value(norm), shrink(norm, step) and a static from(options).
template <class Penalty>
class GroupPenalty final : public Regularizer {
 public:
  explicit GroupPenalty(Penalty penalty) : penalty_(penalty) {}
  double value(double norm) const override { return penalty_.value(norm); }
  double shrink(double norm, double step) const override { return penalty_.shrink(norm, step); }
  double derivative(double norm) const override { return penalty_.derivative(norm); }

 private:
  Penalty penalty_;
};

template <class Penalty>
bool register_group_penalty(const std::string& name, std::vector<std::string> options = {}) {
  return register_regularizer(name, {[](const RegularizerOptions& given) -> std::unique_ptr<Regularizer> {
                                       return std::make_unique<GroupPenalty<Penalty>>(Penalty::from(given));
                                     },
                                     std::move(options)});
}

}  // namespace hinge::compress
