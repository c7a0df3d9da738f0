// Whatever number of a step goes wrong first is the one that is named, and weights stay as they were.
#include <cmath>
#include <limits>

#include "engine/graph/builder.h"
#include "engine/optim/sgd.h"
#include "engine/train/diagnosis.h"
#include "engine/train/training_step.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/tiny.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();

struct Bench {
  Network network = tiny_network(5);
  Tensor images = Tensor::full({3, 32, 32, 3}, 0.25f);
  Tensor labels = Tensor::from<std::int32_t>({3}, std::vector<std::int32_t>{1, 2, 3});
  Sgd optimizer{SgdConfig{.momentum = 0.9f}};

  // What a step reports.
  NotFinite found(const StepOptions& options = {}, float rate = 0.1f) {
    TrainingStep step(network, optimizer, options, {}, stream_of(Device{}));
    try {
      step.run(images, labels, rate, 0);
    } catch (const NotFiniteError& error) {
      return error.found;
    }
    return {.what = "nothing", .name = {}, .index = {}};
  }
};

}  // namespace

TEST_CASE("one number that isn't finite is found wherever it lies, and named by its index") {
  const Shape shape{3, 5, 7, 4};  // 420: whole blocks and a rest
  for (const float bad : {kNan, kInf, -kInf}) {
    for (std::int64_t at = 0; at < shape.size(); ++at) {
      Tensor tensor = Tensor::full(shape, std::numeric_limits<float>::max());
      CHECK(all_finite(tensor.values<float>()));
      tensor.mutable_data()[at] = bad;
      REQUIRE_FALSE(all_finite(tensor.values<float>()));
      const auto found = first_not_finite(tensor, "weight", "w");
      REQUIRE(found.has_value());
      CHECK(found->index == std::vector<std::int64_t>{at / 140, at / 28 % 5, at / 4 % 7, at % 4});
      CHECK(found->count == 1);
    }
  }
  Tensor tensor = Tensor::full(shape, 1.0f);
  tensor.mutable_data()[418] = tensor.mutable_data()[29] = -kInf;
  CHECK(first_not_finite(tensor, "gradient", "a.weight")->to_string() == "gradient of a.weight[0, 1, 0, 1] is -inf (2 of 420 numbers are not finite)");
  CHECK_FALSE(first_not_finite(Tensor::zeros({4}, DType::kInt32), "label", "").has_value());
  CHECK_FALSE(first_not_finite(Tensor::zeros({0}), "weight", "none").has_value());
}

TEST_CASE("a step names the image, the weight or the layer that went wrong first, and changes no weight") {
  SECTION("image") {
    Bench b;
    b.images.mutable_data()[32 * 32 * 3 + 4] = kNan;
    const auto found = b.found();
    CHECK(found.what == "image");
    CHECK(found.index == std::vector<std::int64_t>{1, 0, 1, 1});
  }
  SECTION("weight") {
    Bench b;
    b.network.parameter("layer2.0.conv1.weight").value.mutable_data()[7] = kInf;
    const auto found = b.found();
    CHECK(found.what == "weight");
    CHECK(found.name == "layer2.0.conv1.weight");
    CHECK(found.index == std::vector<std::int64_t>{0, 0, 0, 7});
  }
  SECTION("a layer that overflows") {
    Bench b;
    Tensor weight = b.network.parameter("layer2.0.conv1.weight").value.detached();
    std::fill_n(weight.mutable_data(), weight.size(), 3e38f);
    const auto before = b.network.clone().values();
    const auto found = b.found();
    CHECK(found.what == "output");
    CHECK(found.name == "layer2.0.conv1");
    for (const Parameter* parameter : b.network.parameters()) {
      const Tensor& old = before.at(parameter->name);
      CHECK(std::equal(old.values<float>().begin(), old.values<float>().end(), parameter->value.values<float>().begin()));
    }
    CHECK(b.optimizer.state().empty());
  }
  SECTION("teacher") {
    Bench b;
    Network teacher = tiny_network(6);
    teacher.parameter("linear.bias").value.mutable_data()[2] = kNan;
    const auto found = b.found({.loss = {.distillation_weight = 0.5f}, .teacher = &teacher});
    CHECK(found.name == "the teacher");
    CHECK(found.index == std::vector<std::int64_t>{0, 2});
  }
  SECTION("nothing, where all is well") {
    Bench b;
    CHECK(b.found().what == "nothing");
  }
}

TEST_CASE("a gradient that overflows behind a finite loss is named before it reaches a weight") {
  // logits = second (first x) with first = 0: they are 0 and the loss is log 4, but the gradient of `first` is a sum over
  // classes of +-3e38 times 3/4 and 1/4.
  GraphBuilder build("two", {1, 1, 5});
  Network network(std::move(build).finish(build.linear("second", build.linear("first", build.flatten("flat", build.input()), 6, false), 4, false)));
  Tensor weight = network.parameter("second.weight").value.detached();
  for (std::int64_t i = 0; i < weight.size(); ++i) weight.mutable_data()[i] = i / 6 == 1 ? -3e38f : 3e38f;
  const auto before = network.clone().values();
  Sgd optimizer({.momentum = 0.9f});
  TrainingStep step(network, optimizer, {}, {}, stream_of(Device{}));
  const Tensor labels = Tensor::from<std::int32_t>({1}, std::vector<std::int32_t>{1});
  try {
    step.run(Tensor::full({1, 1, 1, 5}, 1.0f), labels, 0.1f, 0);
    FAIL("nothing was found");
  } catch (const NotFiniteError& error) {
    CHECK(std::string(error.what()) == "gradient of first.weight[0, 0] is inf (30 of 30 numbers are not finite)");
  }
  for (const Parameter* parameter : network.parameters()) {
    CHECK(std::ranges::equal(parameter->value.values<float>(), before.at(parameter->name).values<float>()));
  }
  CHECK(optimizer.state().empty());
}

TEST_CASE("a network's values are finite or the first that isn't is named") {
  Network network = tiny_network(5);
  require_finite(network);
  network.buffer("bn1.running_var").value.mutable_data()[3] = kInf;
  try {
    require_finite(network);
    FAIL("nothing was found");
  } catch (const NotFiniteError& error) {
    CHECK(std::string(error.what()) == "running statistic of bn1.running_var[3] is inf (1 of 16 numbers is not finite)");
  }
}
