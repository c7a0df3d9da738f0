#include "engine/train/batch_memory.h"

#include <algorithm>
#include <optional>

#include "engine/optim/sgd.h"
#include "engine/train/training_step.h"

namespace hinge {
namespace {

std::size_t peak_of_step(const Network& network, int batch, DType activations, int pieces) {
  Network copy = network.clone();
  const Device device = network.device();
  Sgd optimizer({.momentum = 0.9f});
  TrainingStep step(copy, optimizer, {.graph = false, .activations = activations, .pieces = pieces}, {}, stream_of(device));
  const FeatureShape& picture = network.graph().input;
  reset_peak_memory(device);
  step.run(Tensor::zeros({batch, picture.h, picture.w, picture.c}, DType::kFloat32, device), Tensor::zeros({batch}, DType::kInt32, device), 0.0f, 0);
  return memory_use(device).peak;
}

std::optional<BatchMemory> try_step(const Network& network, int batch, DType activations, int pieces = 1) {
  release_cached_memory(network.device());
  try {
    return BatchMemory{batch, peak_of_step(network, batch, activations, pieces)};
  } catch (const OutOfMemory&) {
    return std::nullopt;
  }
}

}  // namespace

int batch_that_fits(const Network& network, const OutOfMemory& error, int batch, DType activations) {
  std::optional<BatchMemory> large;
  while (!large && batch > 1) large = try_step(network, batch /= 2, activations);
  if (!large || large->batch == 1) return large ? 1 : 0;
  const std::optional<BatchMemory> small = try_step(network, large->batch / 2, activations);
  if (!small) return large->batch;  // memory was freed in between: what was seen to fit is still true
  for (int candidate = largest_batch(*small, *large, error.limit); candidate > large->batch; candidate -= std::max(1, candidate / 8)) {
    if (try_step(network, candidate, activations)) return candidate;
  }
  return large->batch;
}

std::string with_advice(const OutOfMemory& error, const Network& network, const StepSize& step) {
  const int fits = batch_that_fits(network, error, (step.images + step.pieces - 1) / step.pieces, step.activations);
  if (fits == 0) return fmt::format("{}; not even one image at a time fits", error.what());
  std::string text = error.what();
  const int smaller = fits * step.pieces;
  if (smaller < step.images) text += fmt::format("; with a batch of {} instead of {} it fits", smaller * step.ranks, step.images * step.ranks);
  // All images lie on the device, and gradients twice: a few pieces more than that many may be wanted.
  for (int pieces = (step.images + fits - 1) / fits; pieces <= step.images; pieces += std::max(1, pieces / 4)) {
    if (pieces > step.pieces && try_step(network, step.images, step.activations, pieces)) return text + fmt::format("; or with --accumulate {}", pieces);
  }
  return text;
}

}  // namespace hinge
