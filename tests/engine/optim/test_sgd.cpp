#include "engine/optim/sgd.h"

#include <cmath>

#include "engine/autograd/node.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

Parameter make_parameter(const std::string& name, ParameterKind kind, const Shape& shape,
                         std::uint64_t seed) {
  return {name, kind, make_leaf(random_tensor(shape, seed))};
}
std::vector<Parameter*> pointers(std::vector<Parameter>& parameters) {
  std::vector<Parameter*> result;
  for (Parameter& p : parameters) result.push_back(&p);
  return result;
}

}  // namespace

TEST_CASE("twenty steps follow the float64 recurrence in every variant") {
  for (int variant = 0; variant < 32; ++variant) {
    SgdConfig config{.momentum = variant & 1 ? 0.9f : 0.5f,
                     .decay = variant & 2 ? 0.05f : 0.0f,
                     .decoupled = (variant & 4) != 0,
                     .nesterov = (variant & 8) != 0,
                     .decay_norms_and_biases = (variant & 16) != 0};
    if ((variant & 9) == 0) config.momentum = 0.0f;
    INFO("momentum " << config.momentum << ", decay " << config.decay << ", decoupled "
                     << config.decoupled << ", nesterov " << config.nesterov << ", all decay "
                     << config.decay_norms_and_biases);
    std::vector<Parameter> parameters = {
        make_parameter("conv", ParameterKind::kConvWeight, {3, 3, 3, 5}, 1),
        make_parameter("linear", ParameterKind::kLinearWeight, {10, 33}, 2),
        make_parameter("bias", ParameterKind::kBias, {31}, 3),
        make_parameter("scale", ParameterKind::kNormScale, {32}, 4),
        make_parameter("shift", ParameterKind::kNormShift, {1}, 5),
        make_parameter("large", ParameterKind::kConvWeight, {20000}, 6),
        make_parameter("empty", ParameterKind::kBias, {0}, 7),
    };
    parameters[0].rate_scale = 0.25f;
    parameters[1].decay_scale = 0.5f;
    parameters[5].rate_scale = 0.0f;
    std::vector<Array> weights, velocities;
    for (const Parameter& p : parameters) {
      weights.emplace_back(p.value), velocities.emplace_back(Array(p.value.shape()));
    }
    Sgd sgd(config);
    for (int step = 0; step < 20; ++step) {
      const float rate = 0.1f / static_cast<float>(step + 1);
      std::vector<Tensor> gradients;
      for (std::size_t i = 0; i < parameters.size(); ++i) {
        Parameter& p = parameters[i];
        gradients.push_back(random_tensor(p.value.shape(), static_cast<std::uint64_t>(100 + step)));
        const bool decays = config.decay_norms_and_biases || p.kind == ParameterKind::kConvWeight ||
                            p.kind == ParameterKind::kLinearWeight;
        reference::sgd_step(
            {static_cast<double>(rate) * static_cast<double>(p.rate_scale),
             static_cast<double>(config.momentum),
             decays ? static_cast<double>(config.decay) * static_cast<double>(p.decay_scale) : 0.0,
             config.decoupled, config.nesterov},
            Array(gradients[i]), velocities[i], weights[i]);
      }
      sgd.step(pointers(parameters), gradients, rate, {});
    }
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      INFO(parameters[i].name);
      // Twenty steps with some four roundings each, of values below 2; the velocity gathers up
      // to 10.
      CHECK(mismatch(parameters[i].value, weights[i], Array(weights[i].shape, 2.0), 80.0) == "");
      CHECK(mismatch(sgd.state().at(parameters[i].name), velocities[i],
                     Array(weights[i].shape, 10.0), 80.0) == "");
    }
  }
}

TEST_CASE("norms and biases do not decay when told so, and a rate_scale of zero freezes") {
  const auto after = [](ParameterKind kind, bool all, float rate_scale) {
    std::vector<Parameter> one = {{"p", kind, make_leaf(Tensor::full({4}, 1.0f)), rate_scale}};
    Sgd sgd({.momentum = 0.0f, .decay = 0.5f, .decay_norms_and_biases = all});
    sgd.step(pointers(one), std::vector{Tensor::zeros({4})}, 0.5f, {});
    return one[0].value.data()[0];
  };
  for (const ParameterKind kind :
       {ParameterKind::kBias, ParameterKind::kNormScale, ParameterKind::kNormShift}) {
    CHECK(after(kind, false, 1.0f) == 1.0f);
    CHECK(after(kind, true, 1.0f) == 0.75f);
  }
  for (const ParameterKind kind : {ParameterKind::kConvWeight, ParameterKind::kLinearWeight}) {
    CHECK(after(kind, false, 1.0f) == 0.75f);
    CHECK(after(kind, false, 0.0f) == 1.0f);
  }
}

TEST_CASE("gradients are read, never written") {
  std::vector<Parameter> one = {make_parameter("p", ParameterKind::kConvWeight, {100}, 1)};
  const Tensor gradient = random_tensor({100}, 2), before = gradient.clone();
  Sgd sgd({.momentum = 0.9f, .decay = 0.1f, .nesterov = true});
  sgd.step(pointers(one), std::vector{gradient}, 0.1f, {});
  CHECK(same_bytes(gradient, before));
}

TEST_CASE("a run that goes on from its saved state has the same bytes as one that never stopped") {
  const SgdConfig config{.momentum = 0.9f, .decay = 1e-3f, .nesterov = true};
  const auto steps = [](Sgd& sgd, std::vector<Parameter>& parameters, int first, int last) {
    for (int step = first; step < last; ++step) {
      sgd.step(pointers(parameters),
               std::vector{random_tensor({1000}, static_cast<std::uint64_t>(step + 10))}, 0.1f, {});
    }
  };
  std::vector<Parameter> through = {make_parameter("p", ParameterKind::kConvWeight, {1000}, 1)};
  Sgd whole(config);
  steps(whole, through, 0, 10);

  std::vector<Parameter> stopped = {make_parameter("p", ParameterKind::kConvWeight, {1000}, 1)};
  Sgd first(config), second(config);
  steps(first, stopped, 0, 5);
  second.restore(first.state());
  steps(first, stopped, 5, 6);  // the copy must not move with its origin
  stopped[0].value = make_leaf(random_tensor({1000}, 1));
  Sgd replay(config);
  steps(replay, stopped, 0, 5);
  steps(second, stopped, 5, 10);
  CHECK(same_bytes(stopped[0].value, through[0].value));
  CHECK(same_bytes(second.state().at("p"), whole.state().at("p")));
}

TEST_CASE("settings, gradients and states that do not fit are refused") {
  CHECK_THROWS_WITH(Sgd({.momentum = 1.0f}), contains("momentum 1"));
  CHECK_THROWS_WITH(Sgd({.momentum = -0.1f}), contains("momentum"));
  CHECK_THROWS_WITH(Sgd({.decay = -1.0f}), contains("decay -1"));
  CHECK_THROWS_WITH(Sgd({.momentum = 0.0f, .nesterov = true}), contains("Nesterov"));
  std::vector<Parameter> one = {make_parameter("weight", ParameterKind::kConvWeight, {4}, 1)};
  Sgd sgd({});
  CHECK_THROWS_WITH(sgd.step(pointers(one), {}, 0.1f, {}),
                    contains("1 parameters") && contains("0 gradients"));
  CHECK_THROWS_WITH(sgd.step(pointers(one), std::vector{Tensor::zeros({5})}, 0.1f, {}),
                    contains("weight") && contains("[4]") && contains("[5]"));
  // A state of the network before it was pruned.
  sgd.restore({{"weight", Tensor::zeros({6})}});
  CHECK_THROWS_WITH(sgd.step(pointers(one), std::vector{Tensor::zeros({4})}, 0.1f, {}),
                    contains("weight") && contains("[4]") && contains("velocity [6]"));
}
