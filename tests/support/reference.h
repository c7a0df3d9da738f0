// Every operation once more: plain loops in float64, written to be read, never to be fast. And what
// a test needs to hold the engine against them: errors with computed bounds, and derivatives by
// differences.
//
// All arrays are row-major in the engine's layouts: activations [N, H, W, C], filters [K, R, S, C].
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/autograd/node.h"
#include "engine/core/tensor.h"

namespace hinge::testing {

// Sizes at which kernels break: around a vector, around a tile, one, none.
inline const std::vector<std::int64_t> kSizesThatHurt = {1, 31, 32, 33, 127, 128, 129};
inline const std::vector<std::int64_t> kCountsThatHurt = {0, 1, 31, 32, 33,
                                                          127, 128, 129, 1000, 40000};

struct Array {
  Shape shape;
  std::vector<double> data;

  Array() = default;
  explicit Array(Shape shape_, double value = 0.0)
      : shape(shape_), data(static_cast<std::size_t>(shape_.size()), value) {}
  explicit Array(const Tensor& tensor);
  bool defined() const { return shape.rank() > 0; }
  std::int64_t size() const { return static_cast<std::int64_t>(data.size()); }
  // Unchecked: the references' loops ask for it in every turn.
  std::int64_t dim(int axis) const { return shape.extents()[static_cast<std::size_t>(axis)]; }
  double& operator[](std::int64_t i) { return data[static_cast<std::size_t>(i)]; }
  double operator[](std::int64_t i) const { return data[static_cast<std::size_t>(i)]; }
};
Array absolute(const Array& x);

namespace reference {

struct Conv {
  int stride = 1, padding = 0, groups = 1;
};
Array conv2d(const Array& x, const Array& w, const Array& b, const Conv& conv);
Array linear(const Array& x, const Array& w, const Array& b);
Array relu(const Array& x);
Array capped_relu(const Array& x, double ceiling);
Array add(const Array& a, const Array& b);
Array concat(const std::vector<Array>& parts);

struct Window {
  int size = 2, stride = 2, padding = 0;
};
Array max_pool(const Array& x, const Window& window);
Array average_pool(const Array& x, const Window& window);
Array global_average_pool(const Array& x);
Array shortcut_a(const Array& x, std::int64_t before, std::int64_t after, bool pool);
Array flatten(const Array& x);
// keep[i] != 0: x[i] / (1 - rate), else 0.
Array dropout(const Array& x, const std::vector<bool>& keep, double rate);

// Per channel, over all axes but the last; the biased variance.
struct Statistics {
  Array mean, var;
};
Statistics statistics(const Array& x);
Array batch_norm(const Array& x, const Array& gamma, const Array& beta, const Array& residual,
                 const Statistics& statistics, double epsilon);  // before the ReLU
double running(double before, double batch, double momentum);

struct Loss {
  double label_smoothing = 0.0, distillation_weight = 0.0, temperature = 1.0;
};
double classification_loss(const Array& logits, const std::vector<int>& labels,
                           const Array& teacher, const Loss& loss);

struct SgdRule {
  double rate = 0.1, momentum = 0.9, decay = 0.0;
  bool decoupled = false, nesterov = false;
};
void sgd_step(const SgdRule& rule, const Array& gradient, Array& velocity, Array& weight);

}  // namespace reference

// float32's unit roundoff, 2^-24.
inline constexpr double kEpsilon = 5.9604644775390625e-08;

// "" if every |got - want| <= factor * kEpsilon * magnitude, else the first element for which that
// does not hold. `magnitude` is the sum of the absolute values of the terms that make up an
// element. Sequential float32 summation of n random terms errs by about kEpsilon sqrt(n) times the
// partial sums, which are sqrt(n) terms large: by kEpsilon times the sum of |terms|, whatever n.
// The default factor leaves room for the worst of some thousand elements (3.6 was seen in
// convolutions).
std::string mismatch(const Tensor& got, const Array& want, const Array& magnitude,
                     double factor = 8.0);
// The largest |got - want| / magnitude, in units of kEpsilon; NaN if any is NaN.
double worst_error(const Tensor& got, const Array& want, const Array& magnitude);
bool same_bytes(const Tensor& a, const Tensor& b);

// sum of weights[i] y[i], as a recorded scalar: makes a loss of any output.
Tensor weighted_sum(const Tensor& y, const Tensor& weights);

using Function = std::function<Array(const std::vector<Array>&)>;
struct Probe {
  std::int64_t element = 0;
  double derivative = 0.0, magnitude = 0.0;
};
// d sum(weights * f(inputs)) / d inputs[which], by central differences (fourth order) at up to
// `most` elements. `magnitude` is the same derivative of f for absolute inputs and weights: for
// operations that are linear in each input this is the sum of the absolute terms of the gradient.
std::vector<Probe> probe(const Function& f, const std::vector<Array>& inputs, const Array& weights,
                         std::size_t which, int most = 24);
std::string mismatch(const Tensor& gradient, const std::vector<Probe>& probes, double factor = 8.0);

}  // namespace hinge::testing
