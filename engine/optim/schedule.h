// The learning rate as a function of training progress.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hinge {

struct Schedule {
  enum class Kind { kConstant,
                    kStep,
                    kCosine };
  Kind kind = Kind::kCosine;
  double rate = 0.1;
  double warmup_epochs = 0.0;      // the rate grows linearly from 0 over these
  double epochs = 1.0;             // the cosine ends here
  std::vector<double> milestones;  // epochs at which the step schedule multiplies by `factor`
  double factor = 0.1;
  double final_rate = 0.0;  // of the cosine

  // At `epoch` (fractional: 1.5 is the middle of the second epoch). Cosine: Loshchilov & Hutter, SGDR, ICLR 2017,
  //   rate(t) = final + (rate - final) (1 + cos(pi (t - warmup) / (epochs - warmup))) / 2
  double at(double epoch) const;
};

// "constant", "step" or "cosine"; throws UsageError.
Schedule::Kind schedule_kind_of(const std::string& name);

}  // namespace hinge
