// A tiny network trained for a few steps on one device or the other, and what became of it.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/optim/sgd.h"
#include "engine/train/training_step.h"
#include "models/registry.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"

namespace hinge::testing {

inline const Device kGpuDevice{Device::Kind::kCuda, 0};
inline constexpr int kBatch = 4;

// resnet8 on 8x8 pictures: every layer of the large ones, in what an emulator can do in a second.
inline Network tiny_resnet(const std::string& shortcut = "A-stride") {
  Graph graph = models::build("resnet8", {.shortcut = shortcut});
  graph.input.h = graph.input.w = 8;
  Network network(std::move(graph));
  initialise(network, 7);
  return network;
}

struct TrainedRun {
  std::map<std::string, Tensor> values, velocities;  // on the CPU
  std::vector<double> losses;
  std::int64_t replays = 0;
  std::string how;
};

// `steps` steps on `device`, each on images of its own.
inline TrainedRun train(const Network& start, Device device, int steps, StepOptions options, Network* teacher = nullptr,
                        const TrainingStep::Look& look = {}) {
  Network network = start.clone();
  network.move_to(device);
  std::optional<Network> own_teacher;
  if (teacher != nullptr) {
    own_teacher.emplace(teacher->clone());
    own_teacher->move_to(device);
    options.teacher = &*own_teacher;
  }
  Sgd optimizer({.momentum = 0.9f, .decay = 1e-3f, .nesterov = true});
  TrainingStep step(network, optimizer, options, look, stream_of(device));
  const FeatureShape& input = start.graph().input;
  TrainedRun run;
  for (int i = 0; i < steps; ++i) {
    const auto seed = static_cast<std::uint64_t>(100 + i);
    const std::int64_t classes = infer_shapes(start.graph()).at(static_cast<std::size_t>(start.graph().output)).size();
    step.run(random_tensor({kBatch, input.h, input.w, input.c}, seed), random_labels(kBatch, classes, seed),
             0.1f / static_cast<float>(1 + i), static_cast<std::uint64_t>(i));
    const StepOutcome outcome = step.outcome();
    CHECK(outcome.images == kBatch);
    run.losses.push_back(outcome.loss);
  }
  for (const auto& [name, tensor] : network.values()) run.values.emplace(name, tensor.to(Device{}));
  for (const auto& [name, tensor] : optimizer.state()) run.velocities.emplace(name, tensor.to(Device{}));
  run.replays = step.replays(), run.how = step.how();
  return run;
}

inline double largest_magnitude(const Tensor& tensor) {
  double largest = 0.0;
  for (const float value : tensor.values()) largest = std::max(largest, std::fabs(static_cast<double>(value)));
  return largest;
}

// The largest difference of any two corresponding elements, in units of the larger tensor's largest element. NaN if
// there is one.
inline double distance(const Tensor& a, const Tensor& b) {
  double worst = 0.0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    const double d = std::fabs(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i]));
    if (!(d <= worst)) worst = d;
  }
  return worst / std::max(1e-30, std::max(largest_magnitude(a), largest_magnitude(b)));
}

}  // namespace hinge::testing
