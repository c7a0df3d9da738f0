// Gradient accumulation: a step in pieces is the step of the whole batch where layers look at one image at a time, and that of as
// many ranks where BatchNorm looks at all.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/graph/builder.h"
#include "engine/optim/sgd.h"
#include "engine/train/training_step.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/thread_group.h"
#include "tests/support/tiny.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

// Convolution, ReLU, dropout, linear: no layer that looks at more than one image.
Network without_batch_norm(float rate) {
  GraphBuilder g("plain", {8, 8, 3});
  const int hidden = g.relu("relu", g.conv("conv", 0, 6, {.bias = true}));
  Network network(std::move(g).finish(g.linear("fc", g.dropout("drop", g.flatten("flat", hidden), rate), 10)));
  initialise(network, 3);
  return network;
}

struct Steps {
  int images = 7;
  int count = 3;
  float distillation = 0.0f;
  ProcessGroup* group = nullptr;

  Tensor pictures(const Network& network) const {
    const FeatureShape& input = network.graph().input;
    return random_tensor({images, input.h, input.w, input.c}, 41, -1.0f, 1.0f);
  }
  Tensor labels() const { return random_labels(images, 10, 17); }

  // The network after the steps, each in `pieces`, and what they came to.
  std::pair<Network, std::vector<StepOutcome>> take(const Network& start, int pieces) const {
    Network network = start.clone(), teacher = start.clone();
    Sgd optimizer(SgdConfig{.momentum = 0.9f, .decay = 1e-4f});
    TrainingStep step(network, optimizer, {.loss = {.label_smoothing = 0.1f, .distillation_weight = distillation}, .seed = 5, .teacher = distillation > 0.0f ? &teacher : nullptr, .group = group, .pieces = pieces}, {}, stream_of(Device{}));
    const Slice mine = slice_of(images, group);
    std::vector<StepOutcome> outcomes;
    for (int i = 0; i < count; ++i) {
      step.run(pictures(network).rows(mine.begin, mine.end), labels().rows(mine.begin, mine.end), 0.05f, static_cast<std::uint64_t>(i), mine, images);
      outcomes.push_back(step.outcome());
    }
    return {std::move(network), outcomes};
  }
};

// The largest difference of two networks' numbers, of 1 + the largest number; parameters alone, where that is asked for.
double distance(const Network& a, const Network& b, bool statistics = true) {
  double largest = 0.0, difference = 0.0;
  const auto there = b.values();
  for (const auto& [name, value] : a.values()) {
    if (!statistics && name.find("running_") != std::string::npos) continue;
    const auto x = value.values<float>(), y = there.at(name).values<float>();
    for (std::size_t i = 0; i < x.size(); ++i) {
      largest = std::max(largest, static_cast<double>(std::abs(x[i])));
      const double d = static_cast<double>(std::abs(x[i] - y[i]));
      if (!(d <= difference)) difference = d;
    }
  }
  return difference / (1.0 + largest);
}

// Three steps of sums in another order: 3 steps x 1e3 terms x 6e-8, and some room.
constexpr double kBound = 2e-5;

}  // namespace

TEST_CASE("in any number of pieces a step without BatchNorm is the step of the whole batch, its dropout and its teacher included") {
  for (const float rate : {0.0f, 0.4f}) {
    for (const float distillation : {0.0f, 0.6f}) {
      const Network start = without_batch_norm(rate);
      const Steps steps{.distillation = distillation};
      const auto [whole, want] = steps.take(start, 1);
      CHECK(distance(start, whole) > 100 * kBound);
      for (const int pieces : {2, 3, 7, 8, 1000}) {  // more pieces than images: one image a piece
        const auto [network, got] = steps.take(start, pieces);
        CHECK(distance(network, whole) <= kBound);
        for (std::size_t i = 0; i < want.size(); ++i) {
          CHECK(got[i].images == 7);
          CHECK(got[i].top1 == want[i].top1);
          CHECK(got[i].top5 == want[i].top5);
          CHECK(std::abs(got[i].loss - want[i].loss) <= 1e-5 * want[i].loss);
        }
      }
    }
  }
}

TEST_CASE("with BatchNorm pieces train the weights that as many ranks train, whose parts they are") {
  const Network start = tiny_network(5);
  for (const int parts : {2, 4}) {
    // Running statistics, which pieces move one after another and ranks by their mean, play no part in training.
    const Network accumulated = Steps{.images = 8, .count = 2}.take(start, parts).first;
    std::vector<Network> of_ranks;
    for (int rank = 0; rank < parts; ++rank) of_ranks.push_back(start.clone());
    on_ranks(parts, [&](ProcessGroup& group) { of_ranks[static_cast<std::size_t>(group.rank())] = Steps{.images = 8, .count = 2, .group = &group}.take(start, 1).first; });
    CHECK(distance(accumulated, of_ranks[0], false) <= kBound);
    CHECK(distance(accumulated, Steps{.images = 8, .count = 2}.take(start, 1).first, false) > 10 * kBound);
    if (parts < 4) continue;
    // Two ranks with two pieces each have the same parts too.
    on_ranks(2, [&](ProcessGroup& group) { of_ranks[static_cast<std::size_t>(group.rank())] = Steps{.images = 8, .count = 2, .group = &group}.take(start, 2).first; });
    CHECK(distance(of_ranks[0], of_ranks[1]) == 0.0);
    CHECK(distance(accumulated, of_ranks[0], false) <= kBound);
  }
}

TEST_CASE("a batch of which some rank has fewer images than pieces is taken in as many pieces by all") {
  // 5 images on 2 ranks are 2 and 3: two pieces on both, though three are asked for.
  const Network start = tiny_network(5);
  std::vector<Network> trained;
  for (int i = 0; i < 4; ++i) trained.push_back(start.clone());
  on_ranks(2, [&](ProcessGroup& group) { trained[static_cast<std::size_t>(group.rank())] = Steps{.images = 5, .group = &group}.take(start, 3).first; });
  on_ranks(2, [&](ProcessGroup& group) { trained[static_cast<std::size_t>(2 + group.rank())] = Steps{.images = 5, .group = &group}.take(start, 2).first; });
  for (const Network& network : trained) CHECK(distance(network, trained[0]) == 0.0);
}

TEST_CASE("a number that isn't finite in one piece is named by its place in the batch, and no weight changes") {
  Network network = tiny_network(5);
  const Network before = network.clone();
  Sgd optimizer(SgdConfig{});
  TrainingStep step(network, optimizer, {.pieces = 3}, {}, stream_of(Device{}));
  Tensor images = random_tensor({7, 32, 32, 3}, 3, -1.0f, 1.0f);
  images.mutable_data()[5 * 3072 + 17] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH(step.run(images, random_labels(7, 10, 17), 0.05f, 0), contains("image of the batch[5, 0, 5, 2] is inf (1 of "));
  CHECK(distance(network, before, false) == 0.0);
  CHECK_THROWS_WITH(TrainingStep(network, optimizer, {.pieces = 0}, {}, stream_of(Device{})), contains("in 0 pieces, expected 1 or more"));
}
