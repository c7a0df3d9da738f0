// Training on several ranks: the same numbers on each, and those of one rank with the whole batch.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "engine/optim/sgd.h"
#include "engine/train/agreement.h"
#include "engine/train/gradient_sum.h"
#include "engine/train/training_step.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/thread_group.h"
#include "tests/support/tiny.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Images [from, to) of a tensor.
Tensor part_of(const Tensor& all, const Slice& slice) {
  std::vector<std::int64_t> extents = {slice.count()};
  for (int axis = 1; axis < all.shape().rank(); ++axis) extents.push_back(all.dim(axis));
  Tensor part = Tensor::empty(Shape(extents), all.dtype());
  const std::int64_t of_one = all.size() / all.dim(0);
  if (all.dtype() == DType::kInt32) {
    std::copy_n(all.data<std::int32_t>() + slice.begin * of_one, part.size(), part.mutable_data<std::int32_t>());
  } else {
    std::copy_n(all.data() + slice.begin * of_one, part.size(), part.mutable_data());
  }
  return part;
}

struct Trained {
  std::map<std::string, Tensor> values;
  std::vector<StepOutcome> steps;
};

struct Work {
  Tensor images = random_tensor({7, 32, 32, 3}, 3, -1.0f, 1.0f);
  Tensor labels = Tensor::from<std::int32_t>({7}, std::vector<std::int32_t>{1, 2, 3, 9, 0, 5, 5});
  bool synchronize = false;
  int steps = 3;

  // What a rank of `group` (null: alone) has after the steps.
  Trained train(ProcessGroup* group) const {
    Network network = tiny_network(5);
    Sgd optimizer(SgdConfig{.momentum = 0.9f, .decay = 1e-4f});
    TrainingStep step(network, optimizer, {.loss = {}, .group = group, .synchronize_batch_norm = synchronize}, {}, stream_of(Device{}));
    const Slice mine = slice_of(images.dim(0), group);
    Trained trained;
    for (int i = 0; i < steps; ++i) {
      step.run(part_of(images, mine), part_of(labels, mine), 0.05f, static_cast<std::uint64_t>(i), mine, images.dim(0));
      trained.steps.push_back(step.outcome());
    }
    for (const auto& [name, value] : network.values()) trained.values.emplace(name, value.clone());
    return trained;
  }
  std::vector<Trained> train_on(int ranks) const {
    std::vector<Trained> trained(static_cast<std::size_t>(ranks));
    on_ranks(ranks, [&](ProcessGroup& group) { trained[static_cast<std::size_t>(group.rank())] = train(&group); });
    return trained;
  }
};

bool same_bytes(const Trained& a, const Trained& b) {
  bool same = a.values.size() == b.values.size();
  for (const auto& [name, value] : a.values) same = same && std::ranges::equal(value.values<float>(), b.values.at(name).values<float>());
  return same;
}

// The largest difference of two networks' numbers, of 1 + the largest number.
double distance(const Trained& a, const Trained& b) {
  double largest = 0.0, difference = 0.0;
  for (const auto& [name, value] : a.values) {
    const auto x = value.values<float>(), y = b.values.at(name).values<float>();
    for (std::size_t i = 0; i < x.size(); ++i) {
      largest = std::max(largest, static_cast<double>(std::abs(x[i])));
      difference = std::max(difference, static_cast<double>(std::abs(x[i] - y[i])));
    }
  }
  return difference / (1.0 + largest);
}

}  // namespace

TEST_CASE("parts of a batch cover it in order and differ by one image at most") {
  for (const std::int64_t count : {0, 1, 2, 31, 32, 33, 127, 128, 129, 1000}) {
    for (const int size : {1, 2, 3, 7, 64}) {
      std::int64_t next = 0;
      for (int rank = 0; rank < size; ++rank) {
        const Slice slice = slice_of(count, rank, size);
        REQUIRE(slice.begin == next);
        REQUIRE((slice.count() == count / size || slice.count() == (count + size - 1) / size));
        next = slice.end;
      }
      CHECK(next == count);
    }
  }
}

TEST_CASE("gradients of all ranks are added up in buckets of any size, those that come late and those that never come too") {
  const std::vector<std::int64_t> sizes = {1, 31, 32, 33, 127, 0, 128, 129, 1000};
  for (const int ranks : {1, 2, 3, 4}) {
    for (const std::int64_t bucket : {1, 32, 200, 100000}) {
      std::vector<std::vector<Tensor>> sums(static_cast<std::size_t>(ranks));
      int started = 0;
      on_ranks(
          ranks,
          [&](ProcessGroup& group) {
            std::vector<Tensor> gradients;
            for (const std::int64_t size : sizes) {
              Tensor gradient = Tensor::empty({size});  // whole numbers: sums are exact
              for (std::int64_t j = 0; j < size; ++j) gradient.mutable_data()[j] = static_cast<float>((group.rank() + 1) * (j + 100 * static_cast<std::int64_t>(gradients.size())));
              gradients.push_back(gradient);
            }
            const auto by_host = sums_by_host(group);
            GradientSum sum(*by_host, stream_of(Device{}), SumPrecision::kFloat32, bucket);
            for (const std::size_t i : {8, 3, 1, 4, 0, 5}) {
              sum.ready(i, gradients[i]);
              // What was ready is a copy: the tape goes on with its own.
              std::ranges::fill(std::span(gradients[i].mutable_data(), static_cast<std::size_t>(gradients[i].size())), kNan);
            }
            sum.finish(gradients);
            sums[static_cast<std::size_t>(group.rank())] = gradients;
          },
          &started);
      // Of 1000, 33, 31, 127, 1, 0, 32, 128, 129 elements: a bucket that the next doesn't fit into goes as it is.
      const std::map<std::int64_t, int> expected = {{1, 8}, {32, 8}, {200, 4}, {100000, 1}};
      CHECK(started == expected.at(bucket));
      const int factor = ranks * (ranks + 1) / 2;
      for (const auto& gradients : sums) {
        for (std::size_t i = 0; i < sizes.size(); ++i) {
          bool right = gradients[i].size() == sizes[i];
          for (std::int64_t j = 0; j < sizes[i]; ++j) right = right && gradients[i].data()[j] == static_cast<float>(factor * (j + 100 * static_cast<std::int64_t>(i)));
          CHECK(right);
        }
      }
    }
  }
}

TEST_CASE("with synchronised BatchNorm any number of ranks trains what one rank trains with the whole batch") {
  const Work work{.synchronize = true};
  const Trained alone = work.train(nullptr);
  for (const int ranks : {2, 3, 4, 7}) {
    const std::vector<Trained> trained = work.train_on(ranks);
    for (const Trained& rank : trained) {
      CHECK(same_bytes(rank, trained[0]));
      // Three steps of sums in another order: 3 steps x 1e3 terms x 6e-8, and some room for what steps amplify.
      CHECK(distance(rank, alone) <= 2e-5);
      for (std::size_t i = 0; i < alone.steps.size(); ++i) {
        CHECK(rank.steps[i].images == 7);
        CHECK(rank.steps[i].top1 == alone.steps[i].top1);
        CHECK(rank.steps[i].top5 == alone.steps[i].top5);
        CHECK(std::abs(rank.steps[i].loss - alone.steps[i].loss) <= 1e-4);
      }
    }
  }
}

TEST_CASE("without it every rank has the same weights, and running statistics that are the mean of the ranks") {
  const Work work;
  const std::vector<Trained> trained = work.train_on(3);
  for (const Trained& rank : trained) CHECK(same_bytes(rank, trained[0]));
  // Each rank's own statistics: another network than the whole batch's, by far more than rounding.
  CHECK(distance(trained[0], work.train(nullptr)) > 1e-4);
  double mean = 0.0;
  std::map<std::string, std::vector<double>> statistics;  // of the first layer, whose input no weight has changed yet
  for (int rank = 0; rank < 3; ++rank) {
    const Slice mine = slice_of(7, rank, 3);
    Work part{.images = part_of(work.images, mine), .labels = part_of(work.labels, mine), .steps = 1};
    const Trained alone = part.train(nullptr);
    mean += alone.steps[0].loss * static_cast<double>(mine.count()) / 7.0;
    for (const char* name : {"bn1.running_mean", "bn1.running_var"}) {
      const auto values = alone.values.at(name).values<float>();
      statistics[name].resize(values.size());
      for (std::size_t i = 0; i < values.size(); ++i) statistics[name][i] += static_cast<double>(values[i]) / 3.0;
    }
  }
  CHECK(std::abs(trained[0].steps[0].loss - mean) <= 1e-5);
  Work one_step;
  one_step.steps = 1;
  const Trained after_one = one_step.train_on(3)[1];
  for (const auto& [name, want] : statistics) {
    const auto got = after_one.values.at(name).values<float>();
    for (std::size_t i = 0; i < want.size(); ++i) CHECK(std::abs(static_cast<double>(got[i]) - want[i]) <= 1e-6 * (1.0 + std::abs(want[i])));
  }
}

TEST_CASE("a number that goes wrong on one rank stops all of them with that rank's finding, and no weight has changed") {
  for (const bool synchronize : {false, true}) {
    Work work{.synchronize = synchronize};
    work.images.mutable_data()[5 * 3072 + 17] = kNan;  // image 5 of 7: rank 2's of 3
    std::vector<std::string> said(3);
    std::vector<bool> unchanged(3);
    on_ranks(3, [&](ProcessGroup& group) {
      Network network = tiny_network(5);
      const Network before = tiny_network(5);
      Sgd optimizer(SgdConfig{});
      TrainingStep step(network, optimizer, {.loss = {}, .group = &group, .synchronize_batch_norm = synchronize}, {}, stream_of(Device{}));
      const Slice mine = slice_of(7, &group);
      const auto rank = static_cast<std::size_t>(group.rank());
      try {
        step.run(part_of(work.images, mine), part_of(work.labels, mine), 0.05f, 0, mine, 7);
      } catch (const NotFiniteError& error) {
        said[rank] = error.what();
      }
      unchanged[rank] = true;
      for (const Parameter* parameter : network.parameters()) {
        unchanged[rank] = unchanged[rank] && std::ranges::equal(parameter->value.values<float>(), before.parameter(parameter->name).value.values<float>());
      }
    });
    for (std::size_t rank = 0; rank < 3; ++rank) {
      CHECK_THAT(said[rank], contains("image of the batch[5, 0, 5, 2] is nan (1 of "));
      CHECK(unchanged[rank]);
    }
  }
}

TEST_CASE("what one rank found is thrown on every rank, the lowest whose own work it was first") {
  const auto found_by = [](int ranks, const std::vector<int>& finders, const std::vector<int>& beginners) {
    std::vector<std::string> said(static_cast<std::size_t>(ranks), "nothing");
    on_ranks(ranks, [&](ProcessGroup& group) {
      std::optional<NotFinite> found;
      if (std::ranges::find(finders, group.rank()) != finders.end()) found = NotFinite{.what = "gradient", .name = fmt::format("w{}", group.rank()), .index = {3, 0, 1}, .value = -INFINITY, .count = 2, .of = 9};
      try {
        throw_together(&group, found, std::ranges::find(beginners, group.rank()) != beginners.end());
      } catch (const NotFiniteError& error) {
        said[static_cast<std::size_t>(group.rank())] = error.what();
      }
    });
    for (const std::string& text : said) CHECK(text == said[0]);
    return said[0];
  };
  CHECK(found_by(3, {}, {}) == "nothing");
  CHECK(found_by(3, {1}, {1}) == "gradient of w1[3, 0, 1] is -inf (2 of 9 numbers are not finite)");
  CHECK_THAT(found_by(4, {0, 1, 2, 3}, {2, 3}), contains("w2["));
  CHECK_THAT(found_by(4, {0, 1, 2, 3}, {}), contains("w0["));
  CHECK_NOTHROW(throw_together(nullptr, std::nullopt));
  CHECK_THROWS_AS(throw_together(nullptr, NotFinite{.what = "loss", .name = {}, .index = {}}), NotFiniteError);
}

TEST_CASE("ranks that hold different numbers are told so, by the first tensor and rank") {
  for (const int wrong : {0, 1, 2}) {
    std::vector<std::string> said(3);
    on_ranks(3, [&](ProcessGroup& group) {
      Network network = tiny_network(5);
      const auto values = network.values();
      require_same(&group, values, "before");
      // One bit of one number. Where it is rank 0's, the others are the ones that differ.
      if (group.rank() == wrong) {
        float& number = network.parameter("layer1.0.conv1.weight").value.mutable_data()[77];
        number = std::nextafter(number, 1.0f);
      }
      try {
        require_same(&group, network.values(), "train, epoch 4");
      } catch (const Error& error) {
        said[static_cast<std::size_t>(group.rank())] = error.what();
      }
    });
    for (const std::string& text : said) CHECK(text == fmt::format("train, epoch 4: 'layer1.0.conv1.weight' of rank {} isn't what rank 0 has; ranks that train together must hold the same numbers", wrong == 0 ? 1 : wrong));
  }
}
