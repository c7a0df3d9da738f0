// What one step of a prepared network takes.
#pragma once

#include <string>

namespace hinge {

struct StepTime {
  std::string name;      // of its nodes: "layer1.0.conv1.0 + layer1.0.conv1.1 + relu"
  std::string form;      // of a convolution, linear layer or pair: how it is computed; "" for other steps
  double seconds = 0.0;  // of a call, the part of the wall clock that it took; on a GPU by itself, by the device's clock
};

}  // namespace hinge
