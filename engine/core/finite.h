// Numbers that are not finite: whether there are any, where the first is, and the error that says so.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/tensor.h"

namespace hinge {

// Where numbers stopped being finite.
struct NotFinite {
  std::string what;                 // "image", "weight", "gradient", "output", "loss", "norm", ...
  std::string name;                 // of the tensor or layer; "" where there is only one
  std::vector<std::int64_t> index;  // of the first, in the order of memory; empty for a single number
  double value = 0.0;               // NaN or an infinity
  std::int64_t count = 1, of = 1;   // how many of the tensor's numbers aren't finite

  // "gradient of layer1.0.conv1.weight[3, 0, 0, 2] is inf (12 of 432 numbers are not finite)"
  std::string to_string() const;
};

class NotFiniteError : public Error {
 public:
  explicit NotFiniteError(NotFinite found) : Error(found.to_string()), found(std::move(found)) {}
  NotFinite found;
};

// False for a NaN or an infinity among them. On the CPU; 0.1 ns a number, so a step can ask this of every gradient.
bool all_finite(std::span<const float> values);

// The first number of `tensor` that isn't finite; nothing where all are, or where it holds whole numbers. A tensor on a
// device is copied first.
std::optional<NotFinite> first_not_finite(const Tensor& tensor, const std::string& what, const std::string& name);

// Throws NotFiniteError unless all are finite.
void require_finite(const Tensor& tensor, const std::string& what, const std::string& name);
void require_finite(double value, const std::string& what, const std::string& name);

}  // namespace hinge
