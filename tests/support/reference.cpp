#include "tests/support/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace hinge::testing {

Array::Array(const Tensor& tensor) {
  if (!tensor.defined()) return;
  shape = tensor.shape();
  data.assign(tensor.values().begin(), tensor.values().end());
}

Array absolute(const Array& x) {
  Array result = x;
  for (double& value : result.data) value = std::fabs(value);
  return result;
}

namespace reference {
namespace {

// x[n, h, w, c] of a picture.
std::int64_t at(const Array& x, std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) {
  return ((n * x.dim(1) + h) * x.dim(2) + w) * x.dim(3) + c;
}
bool inside(const Array& x, std::int64_t h, std::int64_t w) {
  return h >= 0 && h < x.dim(1) && w >= 0 && w < x.dim(2);
}
std::int64_t channels(const Array& x) { return x.dim(x.shape.rank() - 1); }

// body(n, h, w, c, element) for every element of a picture-shaped array.
template <class Body>
void each(const Array& x, const Body& body) {
  std::int64_t i = 0;
  for (std::int64_t n = 0; n < x.dim(0); ++n) {
    for (std::int64_t h = 0; h < x.dim(1); ++h) {
      for (std::int64_t w = 0; w < x.dim(2); ++w) {
        for (std::int64_t c = 0; c < x.dim(3); ++c) body(n, h, w, c, i++);
      }
    }
  }
}

Array pooled(const Array& x, const Window& window) {
  const auto extent = [&](int axis) {
    return (x.dim(axis) + 2 * window.padding - window.size) / window.stride + 1;
  };
  return Array({x.dim(0), extent(1), extent(2), x.dim(3)});
}

double log_sum_exp(const Array& x, std::int64_t row, double temperature) {
  double sum = 0.0;
  for (std::int64_t k = 0; k < x.dim(1); ++k) sum += std::exp(x[row * x.dim(1) + k] / temperature);
  return std::log(sum);
}

}  // namespace

Array conv2d(const Array& x, const Array& w, const Array& b, const Conv& conv) {
  const std::int64_t r_count = w.dim(1), s_count = w.dim(2), c_count = w.dim(3);
  const std::int64_t filters_per_group = w.dim(0) / conv.groups;
  Array y({x.dim(0), (x.dim(1) + 2 * conv.padding - r_count) / conv.stride + 1,
           (x.dim(2) + 2 * conv.padding - s_count) / conv.stride + 1, w.dim(0)});
  each(y, [&](auto n, auto p, auto q, auto k, auto i) {
    double sum = b.defined() ? b[k] : 0.0;
    const std::int64_t first_c = k / filters_per_group * c_count;
    for (std::int64_t r = 0; r < r_count; ++r) {
      for (std::int64_t s = 0; s < s_count; ++s) {
        const std::int64_t h = p * conv.stride - conv.padding + r;
        const std::int64_t v = q * conv.stride - conv.padding + s;
        if (!inside(x, h, v)) continue;
        const std::int64_t filter = ((k * r_count + r) * s_count + s) * c_count;
        const std::int64_t pixel = at(x, n, h, v, first_c);
        for (std::int64_t c = 0; c < c_count; ++c) sum += w[filter + c] * x[pixel + c];
      }
    }
    y[i] = sum;
  });
  return y;
}

Array linear(const Array& x, const Array& w, const Array& b) {
  const std::int64_t n_count = x.dim(0), c_count = x.dim(1), k_count = w.dim(0);
  Array y({n_count, k_count});
  for (std::int64_t n = 0; n < n_count; ++n) {
    for (std::int64_t k = 0; k < k_count; ++k) {
      double sum = b.defined() ? b[k] : 0.0;
      for (std::int64_t c = 0; c < c_count; ++c) sum += x[n * c_count + c] * w[k * c_count + c];
      y[n * k_count + k] = sum;
    }
  }
  return y;
}

Array relu(const Array& x) {
  Array y = x;
  for (double& value : y.data) value = value > 0.0 ? value : 0.0;
  return y;
}

Array capped_relu(const Array& x, double ceiling) {
  Array y = x;
  for (double& value : y.data) value = value > 0.0 ? std::min(value, ceiling) : 0.0;
  return y;
}

Array add(const Array& a, const Array& b) {
  Array c = a;
  for (std::int64_t i = 0; i < c.size(); ++i) c[i] += b[i];
  return c;
}

Array concat(const std::vector<Array>& parts) {
  std::int64_t total = 0;
  for (const Array& part : parts) total += part.dim(3);
  Array y({parts[0].dim(0), parts[0].dim(1), parts[0].dim(2), total});
  std::int64_t first = 0;
  for (const Array& part : parts) {
    each(part,
         [&](auto n, auto h, auto w, auto c, auto i) { y[at(y, n, h, w, first + c)] = part[i]; });
    first += part.dim(3);
  }
  return y;
}

Array max_pool(const Array& x, const Window& window) {
  Array y = pooled(x, window);
  each(y, [&](auto n, auto p, auto q, auto c, auto i) {
    y[i] = -std::numeric_limits<double>::infinity();
    for (std::int64_t r = 0; r < window.size; ++r) {
      for (std::int64_t s = 0; s < window.size; ++s) {
        const std::int64_t h = p * window.stride - window.padding + r;
        const std::int64_t w = q * window.stride - window.padding + s;
        if (inside(x, h, w)) y[i] = std::max(y[i], x[at(x, n, h, w, c)]);
      }
    }
  });
  return y;
}

Array average_pool(const Array& x, const Window& window) {
  Array y = pooled(x, window);
  each(y, [&](auto n, auto p, auto q, auto c, auto i) {
    for (std::int64_t r = 0; r < window.size; ++r) {
      for (std::int64_t s = 0; s < window.size; ++s) {
        const std::int64_t h = p * window.stride - window.padding + r;
        const std::int64_t w = q * window.stride - window.padding + s;
        if (inside(x, h, w)) y[i] += x[at(x, n, h, w, c)] / (window.size * window.size);
      }
    }
  });
  return y;
}

Array global_average_pool(const Array& x) {
  Array y({x.dim(0), 1, 1, x.dim(3)});
  each(x, [&](auto n, auto, auto, auto c, auto i) {
    y[at(y, n, 0, 0, c)] += x[i] / static_cast<double>(x.dim(1) * x.dim(2));
  });
  return y;
}

Array shortcut_a(const Array& x, std::int64_t before, std::int64_t after, bool pool) {
  const auto halved = [&](int axis) { return pool ? x.dim(axis) / 2 : (x.dim(axis) + 1) / 2; };
  Array y({x.dim(0), halved(1), halved(2), before + x.dim(3) + after});
  each(y, [&](auto n, auto p, auto q, auto k, auto i) {
    const std::int64_t c = k - before;
    if (c < 0 || c >= x.dim(3)) return;
    if (!pool) {
      y[i] = x[at(x, n, 2 * p, 2 * q, c)];
      return;
    }
    for (int pixel = 0; pixel < 4; ++pixel) {
      y[i] += 0.25 * x[at(x, n, 2 * p + pixel / 2, 2 * q + pixel % 2, c)];
    }
  });
  return y;
}

Array flatten(const Array& x) {
  Array y({x.dim(0), x.dim(1) * x.dim(2) * x.dim(3)});
  each(x, [&](auto n, auto h, auto w, auto c, auto i) {
    y[((n * x.dim(3) + c) * x.dim(1) + h) * x.dim(2) + w] = x[i];
  });
  return y;
}

Array dropout(const Array& x, const std::vector<bool>& keep, double rate) {
  Array y(x.shape);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    if (keep[static_cast<std::size_t>(i)]) y[i] = x[i] / (1.0 - rate);
  }
  return y;
}

Statistics statistics(const Array& x) {
  const std::int64_t c_count = channels(x), rows = x.size() / c_count;
  Statistics result{Array({c_count}), Array({c_count})};
  for (std::int64_t i = 0; i < x.size(); ++i) {
    result.mean[i % c_count] += x[i] / static_cast<double>(rows);
  }
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const double centred = x[i] - result.mean[i % c_count];
    result.var[i % c_count] += centred * centred / static_cast<double>(rows);
  }
  return result;
}

Array batch_norm(const Array& x, const Array& gamma, const Array& beta, const Array& residual,
                 const Statistics& statistics, double epsilon) {
  Array y(x.shape);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const std::int64_t c = i % channels(x);
    y[i] = gamma[c] * (x[i] - statistics.mean[c]) / std::sqrt(statistics.var[c] + epsilon) +
           beta[c] + (residual.defined() ? residual[i] : 0.0);
  }
  return y;
}

double running(double before, double batch, double momentum) {
  return (1.0 - momentum) * before + momentum * batch;
}

double classification_loss(const Array& logits, const std::vector<int>& labels,
                           const Array& teacher, const Loss& loss) {
  const std::int64_t rows = logits.dim(0), classes = logits.dim(1);
  const double weight = teacher.defined() ? loss.distillation_weight : 0.0;
  double total = 0.0;
  for (std::int64_t row = 0; row < rows; ++row) {
    double cross_entropy = 0.0, divergence = 0.0;
    for (std::int64_t k = 0; k < classes; ++k) {
      const double x = logits[row * classes + k];
      const double target =
          loss.label_smoothing / static_cast<double>(classes) +
          (labels[static_cast<std::size_t>(row)] == k ? 1 - loss.label_smoothing : 0);
      cross_entropy -= target * (x - log_sum_exp(logits, row, 1.0));
      if (!teacher.defined()) continue;
      const double t = loss.temperature;
      const double log_teacher = teacher[row * classes + k] / t - log_sum_exp(teacher, row, t);
      divergence += std::exp(log_teacher) * (log_teacher - (x / t - log_sum_exp(logits, row, t)));
    }
    total +=
        (1.0 - weight) * cross_entropy + weight * loss.temperature * loss.temperature * divergence;
  }
  return total / static_cast<double>(rows);
}

void sgd_step(const SgdRule& rule, const Array& gradient, Array& velocity, Array& weight) {
  for (std::int64_t i = 0; i < weight.size(); ++i) {
    const double d = gradient[i] + (rule.decoupled ? 0.0 : rule.decay * weight[i]);
    velocity[i] = rule.momentum * velocity[i] + d;
    const double step = rule.nesterov ? d + rule.momentum * velocity[i] : velocity[i];
    weight[i] -= rule.rate * step + (rule.decoupled ? rule.rate * rule.decay * weight[i] : 0.0);
  }
}

}  // namespace reference

std::string mismatch(const Tensor& got, const Array& want, const Array& magnitude, double factor) {
  if (!(got.shape() == want.shape))
    return fmt::format("shape {}, expected {}", got.shape(), want.shape);
  for (std::int64_t i = 0; i < want.size(); ++i) {
    const double error = std::fabs(static_cast<double>(got.data()[i]) - want[i]);
    const double tolerance = factor * kEpsilon * magnitude[i];
    if (!(error <= tolerance)) {
      return fmt::format("element {} of {}: {}, expected {}; error {:.3g}, tolerance {:.3g}", i,
                         want.shape, got.data()[i], want[i], error, tolerance);
    }
  }
  return "";
}

double worst_error(const Tensor& got, const Array& want, const Array& magnitude) {
  double worst = 0.0;
  for (std::int64_t i = 0; i < want.size(); ++i) {
    const double error = std::fabs(static_cast<double>(got.data()[i]) - want[i]);
    if (error == 0.0) continue;
    const double ratio = error / (kEpsilon * magnitude[i]);
    if (!(ratio <= worst)) worst = ratio;
    if (std::isnan(worst)) break;
  }
  return worst;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

Tensor weighted_sum(const Tensor& y, const Tensor& weights) {
  double sum = 0.0;
  for (std::int64_t i = 0; i < y.size(); ++i) {
    sum += static_cast<double>(y.data()[i]) * static_cast<double>(weights.data()[i]);
  }
  return record("weighted_sum", {y}, Tensor::full({1}, static_cast<float>(sum)),
                [weights](const Tensor& dy, const Stream&) -> Gradients {
                  Tensor dx = weights.clone();
                  for (float& value : std::span(dx.mutable_data(), weights.values().size())) {
                    value *= dy.item();
                  }
                  return {dx};
                });
}

namespace {

double derivative(const Function& f, std::vector<Array>& inputs, const Array& weights,
                  std::size_t which, std::int64_t element) {
  constexpr double kStep = 1e-5;
  const double middle = inputs[which][element];
  const auto loss_at = [&](double steps) {
    inputs[which][element] = middle + steps * kStep;
    const Array y = f(inputs);
    double sum = 0.0;
    for (std::int64_t i = 0; i < y.size(); ++i) sum += weights[i] * y[i];
    return sum;
  };
  const double near = loss_at(1) - loss_at(-1), far = loss_at(2) - loss_at(-2);
  inputs[which][element] = middle;
  return (8.0 * near - far) / (12.0 * kStep);
}

}  // namespace

std::vector<Probe> probe(const Function& f, const std::vector<Array>& inputs, const Array& weights,
                         std::size_t which, int most) {
  std::vector<Array> values = inputs, magnitudes;
  for (const Array& input : inputs) magnitudes.push_back(absolute(input));
  const Array absolute_weights = absolute(weights);
  const std::int64_t size = inputs[which].size();
  const std::int64_t count = std::min<std::int64_t>(most, size);
  std::vector<Probe> probes;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t element = count == size ? i : (i * 104729 + 7) % size;
    // Differences err by about 1e-16 / kStep = 1e-11 of the loss: 1e-2 kEpsilon covers that.
    probes.push_back({element, derivative(f, values, weights, which, element),
                      derivative(f, magnitudes, absolute_weights, which, element) + 1e-2});
  }
  return probes;
}

std::string mismatch(const Tensor& gradient, const std::vector<Probe>& probes, double factor) {
  for (const Probe& probe : probes) {
    const double got = static_cast<double>(gradient.data()[probe.element]);
    const double error = std::fabs(got - probe.derivative);
    const double tolerance = factor * kEpsilon * probe.magnitude;
    if (!(error <= tolerance)) {
      return fmt::format(
          "gradient element {} of {}: {}, expected {}; error {:.3g}, tolerance {:.3g}",
          probe.element, gradient.shape(), got, probe.derivative, error, tolerance);
    }
  }
  return "";
}

}  // namespace hinge::testing
