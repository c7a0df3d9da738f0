// Which of a library's convolution algorithms runs: the decision, apart from any library.
//
// A library tries all it has on a shape and reports a trial for each; the fastest one that is allowed is taken, and kept
// by key for as long as the process lives (and in a run's conv_choices.json, so that a resumed run takes the same).
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "kernels/math_mode.h"

namespace hinge::kernels {

struct ConvTrial {
  std::string name;
  double milliseconds = 0.0;
  std::size_t workspace = 0;  // bytes
  bool worked = false;
  bool deterministic = true;
};

// The index of the fastest trial that worked and that `mode` allows; of equally fast ones the first. Throws
// std::runtime_error that names `key` and says why each was refused where none is left.
std::size_t choose_algorithm(const std::string& key, std::span<const ConvTrial> trials, const MathMode& mode);

}  // namespace hinge::kernels
