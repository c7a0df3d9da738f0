#include "engine/optim/weight_average.h"

#include <cmath>

#include "engine/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

TEST_CASE("the average of the weights follows the float64 recurrence, and the weights stay what they are") {
  for (const double decay : {0.5, 0.9, 0.999, 0.99999}) {
    std::map<std::string, Tensor> values;
    for (const std::int64_t size : kCountsThatHurt) values.emplace("of " + std::to_string(size), random_tensor({size}, static_cast<std::uint64_t>(size)));
    std::map<std::string, Array> want;
    for (const auto& [name, value] : values) want.emplace(name, Array(value));
    WeightAverage average(decay, values);
    int updates = 0;
    for (std::int64_t step = 1; step <= 40 * WeightAverage::kStepsBetween; ++step) {
      for (auto& [name, value] : values) {
        const Tensor next = random_tensor(value.shape(), static_cast<std::uint64_t>(1000 * step));
        std::copy_n(next.data(), next.size(), value.mutable_data());
      }
      average.after_step(step, values, Stream());
      if (step % WeightAverage::kStepsBetween == 0) {
        const double keep = std::min(std::pow(decay, WeightAverage::kStepsBetween), (1.0 + updates) / (10.0 + updates));
        for (auto& [name, array] : want) {
          for (std::int64_t i = 0; i < array.size(); ++i) array[i] = keep * array[i] + (1.0 - keep) * static_cast<double>(values.at(name).data()[i]);
        }
        ++updates;
      }
      if (step % 7 != 0 && step % WeightAverage::kStepsBetween != 0) continue;
      for (const auto& [name, array] : want) {
        INFO(name << ", decay " << decay << ", step " << step);
        Array scale(array.shape, 1.0);
        // Three roundings an update of numbers up to 2; errors of earlier updates shrink with the average.
        CHECK(mismatch(average.values().at(name), array, scale, 6.0 * updates) == "");
      }
    }
    CHECK(updates == 40);
  }
}

TEST_CASE("an average goes on from what was saved, and refuses what is another network's") {
  const std::map<std::string, Tensor> values = {{"a", random_tensor({33}, 1)}, {"b", random_tensor({2, 3}, 2)}};
  WeightAverage first(0.99, values), second(0.99, {{"a", random_tensor({33}, 3)}, {"b", random_tensor({2, 3}, 4)}});
  for (std::int64_t step = 1; step <= 24; ++step) first.after_step(step, {{"a", random_tensor({33}, 50)}, {"b", random_tensor({2, 3}, 60)}}, Stream());
  second.restore(first.values());
  for (const auto& [name, tensor] : first.values()) {
    CHECK(same_bytes(tensor, second.values().at(name)));
    CHECK(tensor.data() != second.values().at(name).data());
    CHECK(tensor.data() != values.at(name).data());
  }
  CHECK_THROWS_AS(second.restore({{"a", values.at("a")}}), Error);
  CHECK_THROWS_AS(second.restore({{"a", values.at("a")}, {"c", values.at("b")}}), Error);
  CHECK_THROWS_AS(second.restore({{"a", values.at("a")}, {"b", values.at("a")}}), Error);
  CHECK_THROWS_AS(WeightAverage(1.0, values), Error);
  CHECK_THROWS_AS(WeightAverage(0.0, values), Error);
  CHECK_THROWS_AS(WeightAverage(NAN, values), Error);
}
