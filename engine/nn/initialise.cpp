#include <cmath>
#include <numbers>

#include "engine/nn/network.h"
#include "kernels/philox.h"

namespace hinge {
namespace {

// FNV-1a, 64 bits: gives each parameter a stream of random numbers of its own.
std::uint64_t hash_of(const std::string& text) {
  std::uint64_t hash = 14695981039346656037ull;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return hash;
}

// Box & Muller (1958), in double so that every machine rounds alike to float.
float standard_normal(const PhiloxWords& words) {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - static_cast<double>(uniform(words.word[0]))));
  return static_cast<float>(radius * std::cos(2.0 * std::numbers::pi * static_cast<double>(uniform(words.word[1]))));
}

}  // namespace

void initialise(Network& network, std::uint64_t seed) {
  for (Parameter* parameter : network.parameters()) {
    Tensor& value = parameter->value;
    const std::uint64_t key = seed ^ hash_of(parameter->name);
    const auto words = [&](std::int64_t i) {
      return random_words(key, RandomUse::kInitialise, 0, static_cast<std::uint64_t>(i));
    };
    if (parameter->kind == ParameterKind::kConvWeight) {
      const double fan_in = static_cast<double>(value.dim(1) * value.dim(2) * value.dim(3));
      const float deviation = static_cast<float>(std::sqrt(2.0 / fan_in));
      for (std::int64_t i = 0; i < value.size(); ++i) {
        value.mutable_data()[i] = deviation * standard_normal(words(i));
      }
    } else if (parameter->kind == ParameterKind::kLinearWeight) {
      const float bound = 1.0f / std::sqrt(static_cast<float>(value.dim(1)));
      for (std::int64_t i = 0; i < value.size(); ++i) {
        value.mutable_data()[i] = bound * (2.0f * uniform(words(i).word[0]) - 1.0f);
      }
    } else {
      const float constant = parameter->kind == ParameterKind::kNormScale ? 1.0f : 0.0f;
      std::fill_n(value.mutable_data(), value.size(), constant);
    }
  }
}

}  // namespace hinge
