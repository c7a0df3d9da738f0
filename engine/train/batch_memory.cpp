#include "engine/train/batch_memory.h"

#include <algorithm>
#include <optional>

#include "engine/optim/sgd.h"
#include "engine/train/training_step.h"

namespace hinge {
namespace {

std::size_t peak_of_step(const Network& network, int batch) {
  Network copy = network.clone();
  const Device device = network.device();
  Sgd optimizer({.momentum = 0.9f});
  TrainingStep step(copy, optimizer, {.graph = false}, {}, stream_of(device));
  const FeatureShape& picture = network.graph().input;
  reset_peak_memory(device);
  step.run(Tensor::zeros({batch, picture.h, picture.w, picture.c}, DType::kFloat32, device), Tensor::zeros({batch}, DType::kInt32, device), 0.0f, 0);
  return memory_use(device).peak;
}

std::optional<BatchMemory> try_step(const Network& network, int batch) {
  release_cached_memory(network.device());
  try {
    return BatchMemory{batch, peak_of_step(network, batch)};
  } catch (const OutOfMemory&) {
    return std::nullopt;
  }
}

}  // namespace

int batch_that_fits(const Network& network, const OutOfMemory& error, int batch) {
  std::optional<BatchMemory> large;
  while (!large && batch > 1) large = try_step(network, batch /= 2);
  if (!large || large->batch == 1) return large ? 1 : 0;
  const std::optional<BatchMemory> small = try_step(network, large->batch / 2);
  if (!small) return large->batch;  // memory was freed in between: what was seen to fit is still true
  for (int candidate = largest_batch(*small, *large, error.limit); candidate > large->batch; candidate -= std::max(1, candidate / 8)) {
    if (try_step(network, candidate)) return candidate;
  }
  return large->batch;
}

std::string with_advice(const OutOfMemory& error, const Network& network, int batch, int pieces) {
  const int piece = (batch + pieces - 1) / pieces, fits = batch_that_fits(network, error, piece);
  if (fits == 0) return fmt::format("{}; not even one image at a time fits", error.what());
  return fmt::format("{}; with a batch of {} instead of {} it fits, or with the same batch in {} pieces (--accumulate {})", error.what(), std::min(batch, fits * pieces), batch, (batch + fits - 1) / fits, (batch + fits - 1) / fits);
}

}  // namespace hinge
