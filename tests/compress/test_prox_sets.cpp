#include "compress/prox_sets.h"

#include <cmath>
#include <cstring>
#include <memory>

#include "engine/core/error.h"
#include "engine/core/tensor.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/threads.h"

using namespace hinge;
using namespace hinge::compress;

namespace {

// Sets of every kind: rows and columns of matrices from nothing to several pieces (of 65,536 floats), a group larger than a
// piece, and groups that are rows of one tensor and columns of another.
struct Sets {
  std::vector<Tensor> tensors;
  std::vector<std::vector<kernels::GroupView>> parts;

  // Norms of about 0.6 to 2.3: where every penalty shrinks some of them.
  Tensor random(std::int64_t rows, std::int64_t columns, std::int64_t size, std::uint64_t seed) const {
    const float most = static_cast<float>(1 + tensors.size() % 4) / std::sqrt(static_cast<float>(size));
    return testing::random_tensor({rows, columns}, seed + tensors.size(), -most, most);
  }

  explicit Sets(std::uint64_t seed) {
    for (const auto& [groups, size] : {std::pair<std::int64_t, std::int64_t>{0, 9}, {1, 1}, {31, 33}, {128, 127}, {600, 333}, {3, 70000}, {1, 200000}, {1000, 129}}) {
      for (const bool columns : {false, true}) {
        tensors.push_back(random(groups, size, size, seed));
        parts.push_back({{tensors.back().mutable_data(), groups, size, columns ? 1 : size, columns ? groups : 1}});
      }
    }
    for (const std::int64_t groups : {33, 901}) {
      tensors.push_back(random(groups, 70, 120, seed));
      Tensor& rows = tensors.back();
      parts.push_back({{rows.mutable_data(), groups, 70, 70, 1}});
      tensors.push_back(random(50, groups, 120, seed));
      parts.back().push_back({tensors.back().mutable_data(), groups, 50, 1, groups});
    }
  }
};

bool same_bits(const Tensor& a, const Tensor& b) { return a.size() == b.size() && std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(float)) == 0; }

}  // namespace

TEST_CASE("sets that are stepped side by side are each what they are alone, bit by bit, on any number of threads") {
  for (const auto& [name, entry] : regularizers()) {
    const auto regularizer = make_regularizer(name);
    Sets alone(5);
    std::vector<std::vector<float>> expected;
    const auto step_of = [&](std::size_t s) { return s % 5 == 4 ? 0.0 : 0.3 * static_cast<double>(1 + s % 3); };
    {
      const testing::Threads one(1);
      for (std::size_t s = 0; s < alone.parts.size(); ++s) expected.push_back(regularizer->prox(alone.parts[s], step_of(s), Stream()));
    }
    for (const int threads : {1, 2, 5}) {
      INFO(name << " on " << threads << " threads");
      const testing::Threads some(threads);
      Sets together(5);
      std::vector<SetStep> steps;
      for (std::size_t s = 0; s < together.parts.size(); ++s) steps.push_back({together.parts[s], step_of(s)});
      CHECK(prox_sets(*regularizer, steps) == expected);
      std::size_t same = 0, changed = 0;
      const Sets before(5);
      for (std::size_t t = 0; t < together.tensors.size(); ++t) {
        same += same_bits(together.tensors[t], alone.tensors[t]);
        changed += !same_bits(together.tensors[t], before.tensors[t]);
      }
      CHECK(same == together.tensors.size());
      CHECK(changed >= together.tensors.size() / 4);  // l0 leaves groups alone or empties them
    }
  }
}

namespace {

// Refuses groups of a norm above 100.
class Fussy final : public Regularizer {
 public:
  double value(double norm) const override { return norm; }
  double derivative(double) const override { return 1.0; }
  double shrink(double norm, double) const override {
    require(norm <= 100.0, "norm {}", norm);
    return 0.5;
  }
};

}  // namespace

TEST_CASE("what goes wrong in a thread of several is thrown behind them, of several failures that of the first set") {
  REQUIRE(register_regularizer({.name = "fussy"}, [](const RegularizerOptions&) { return std::make_unique<Fussy>(); }));
  {
    const auto fussy = make_regularizer("fussy");
    for (const int threads : {1, 2, 5}) {
      const testing::Threads some(threads);
      // Sets 2 and 4 are refused, the last and the first group of theirs.
      std::vector<Tensor> tensors;
      std::vector<std::vector<kernels::GroupView>> parts;
      for (int s = 0; s < 6; ++s) {
        tensors.push_back(Tensor::full({600, 30}, 0.1f));
        if (s == 2) tensors.back().mutable_data()[600 * 30 - 1] = 222.0f;
        if (s == 4) tensors.back().mutable_data()[0] = 444.0f;
        parts.push_back({{tensors.back().mutable_data(), 600, 30, 30, 1}});
      }
      std::vector<SetStep> steps;
      for (const auto& set : parts) steps.push_back({set, 1.0});
      CHECK_THROWS_WITH(prox_sets(*fussy, steps), testing::contains("norm 222"));
    }
  }
  regularizers().erase("fussy");
}

TEST_CASE("sets side by side: no set is none, and parts of unequally many groups or none at all are refused") {
  const auto regularizer = make_regularizer("l1");
  CHECK(prox_sets(*regularizer, {}).empty());
  Tensor a = testing::random_tensor({4, 3}, 1);
  const Tensor before = a.clone();
  const std::vector<kernels::GroupView> fine = {{a.mutable_data(), 4, 3, 3, 1}}, unequal = {fine[0], {a.mutable_data(), 3, 1, 1, 1}}, none;
  CHECK_THROWS_WITH(prox_sets(*regularizer, std::vector<SetStep>{{fine, 1.0}, {unequal, 1.0}}), testing::contains("one part of set 1 has 4 groups, another 3"));
  CHECK_THROWS_WITH(prox_sets(*regularizer, std::vector<SetStep>{{fine, 1.0}, {none, 1.0}}), testing::contains("set 1 has no part"));
  CHECK(same_bits(a, before));  // refused before anything was stepped
}
