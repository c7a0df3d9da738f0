#include "kernels/conv_algorithm.h"

#include <stdexcept>

namespace hinge::kernels {
namespace {

MathMode& mode_of_process() {
  static MathMode mode;
  return mode;
}

// Why a trial can't be taken; "" if it can.
std::string refusal(const ConvTrial& trial, const MathMode& mode) {
  if (!trial.worked) return "doesn't do this shape";
  // Written so that a time that is not a number is refused too.
  if (!(trial.milliseconds >= 0.0)) return "has no time";
  if (trial.workspace > mode.workspace_limit) {
    return "needs " + std::to_string(trial.workspace >> 20) + " MiB, at most " +
           std::to_string(mode.workspace_limit >> 20) + " MiB are allowed";
  }
  if (mode.deterministic && !trial.deterministic) return "is not deterministic";
  return "";
}

}  // namespace

const MathMode& math_mode() { return mode_of_process(); }
void set_math_mode(const MathMode& mode) { mode_of_process() = mode; }

std::size_t choose_algorithm(const std::string& key, std::span<const ConvTrial> trials, const MathMode& mode) {
  std::size_t best = trials.size();
  std::string refusals;
  for (std::size_t i = 0; i < trials.size(); ++i) {
    const std::string why = refusal(trials[i], mode);
    if (!why.empty()) {
      refusals += (refusals.empty() ? "" : ", ") + trials[i].name + " " + why;
    } else if (best == trials.size() || trials[i].milliseconds < trials[best].milliseconds) {
      best = i;
    }
  }
  if (best == trials.size()) {
    throw std::runtime_error("conv2d: no algorithm for " + key + (refusals.empty() ? ": none was tried" : ": " + refusals));
  }
  return best;
}

}  // namespace hinge::kernels
