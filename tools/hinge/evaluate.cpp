#include "tools/hinge/evaluate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "engine/autograd/node.h"
#include "engine/core/accelerator.h"
#include "engine/core/finite.h"
#include "engine/train/agreement.h"
#include "tools/hinge/console.h"
#include "tools/hinge/group.h"
#include "tools/hinge/interrupt.h"

namespace hinge::cli {
namespace {

constexpr double kTimedSeconds = 0.5;

}  // namespace

Tensor labels_tensor(const std::vector<std::int32_t>& labels) {
  return Tensor::from<std::int32_t>({static_cast<std::int64_t>(labels.size())}, labels);
}

data::LoaderOptions loader_options(const data::ImageSet& set, int batch) {
  return {.batch_size = batch, .threads = set.loader_threads, .prefetch = std::max(data::LoaderOptions{}.prefetch, set.loader_threads + 1)};
}

std::vector<int> all_indices(const data::ImageSet& set) {
  std::vector<int> indices(static_cast<std::size_t>(set.count()));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

namespace {

Score evaluate_here(Network& network, const data::ImageSet& set, const data::Normalization& normalization,
                    const std::vector<int>& indices, const std::string& label, Tensor* logits) {
  const NoGradients guard;
  const Stream stream = stream_of(network.device());
  data::Loader loader(set, normalization, indices, loader_options(set, kEvaluationBatch));
  Progress progress(label, static_cast<std::int64_t>(indices.size()));
  Score total;
  loader.start(0);
  while (auto batch = loader.next()) {
    const Tensor output = network.forward(batch->images.to(stream.device()), {}, stream);
    if (logits != nullptr) {
      if (!logits->defined()) *logits = Tensor::empty({static_cast<std::int64_t>(indices.size()), output.dim(1)});
      const Tensor here = output.to(Device{});
      std::copy_n(here.data(), here.size(), logits->mutable_data() + total.images * output.dim(1));
    }
    const Tensor labels = labels_tensor(batch->labels);
    check_labels(labels, output.dim(1));
    const Score here = score(output, labels.to(stream.device()), stream);
    if (!std::isfinite(here.cross_entropy())) {
      require_finite(output, "output", fmt::format("{} ({})", network.graph().architecture, label));
      require_finite(here.cross_entropy(), "cross-entropy", label);
    }
    total += here;
    progress.update(total.images, "");
  }
  return total;
}

}  // namespace

Score evaluate(Network& network, const data::ImageSet& set, const data::Normalization& normalization,
               const std::vector<int>& indices, const std::string& label, Tensor* logits) {
  ProcessGroup* const group = process_group();
  if (group == nullptr) return evaluate_here(network, set, normalization, indices, label, logits);
  require(logits == nullptr, "evaluation: logits of all images are made by one process");
  const Slice mine = slice_of(static_cast<std::int64_t>(indices.size()), group);
  Score score;
  std::optional<NotFinite> found;
  try {
    score = evaluate_here(network, set, normalization, {indices.begin() + mine.begin, indices.begin() + mine.end}, label, nullptr);
  } catch (const NotFiniteError& error) {
    found = error.found;
  }
  throw_together(group, found);
  std::vector<double> sums = {static_cast<double>(score.images), static_cast<double>(score.top1), static_cast<double>(score.top5), score.cross_entropy_sum};
  group->sum(sums);
  return {.images = static_cast<std::int64_t>(sums[0]), .top1 = static_cast<std::int64_t>(sums[1]), .top5 = static_cast<std::int64_t>(sums[2]), .cross_entropy_sum = sums[3]};
}

std::vector<Spread> seconds_in_turns(std::vector<InferencePlan>& plans, const std::vector<Tensor>& images, int rounds) {
  std::vector<std::vector<double>> times(plans.size());
  std::vector<std::vector<Tensor>> outputs(plans.size());
  for (int round = -1; round < rounds; ++round) {  // round -1 warms up
    for (std::size_t i = 0; i < plans.size(); ++i) {
      const Stream stream = stream_of(images[i].device());
      if (round < 0) outputs[i] = plans[i].run(images[i]);
      stream.synchronize();
      const auto start = std::chrono::steady_clock::now();
      plans[i].run_into(images[i], outputs[i]);
      stream.synchronize();
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
      if (round >= 0) times[i].push_back(elapsed.count());
    }
  }
  std::vector<Spread> result;
  for (auto& samples : times) {
    std::ranges::sort(samples);
    result.push_back({samples.front(), samples[samples.size() / 2]});
  }
  return result;
}

std::vector<double> milliseconds_per_image(const std::vector<Network*>& networks, const Tensor& images, int rounds) {
  std::vector<InferencePlan> plans;
  std::vector<Tensor> inputs;
  for (const Network* network : networks) {
    plans.emplace_back(*network, InferenceOptions{.batch = images.dim(0)});
    inputs.push_back(images.to(network->device()));
  }
  // A short call is disturbed more easily: it gets as many rounds as half a second has room for.
  double round = 0.0;
  for (const Spread& spread : seconds_in_turns(plans, inputs, 3)) round += spread.least;
  const int more = static_cast<int>(std::min(400.0, kTimedSeconds / std::max(round, 1e-6)));
  std::vector<double> result;
  for (const Spread& spread : seconds_in_turns(plans, inputs, std::max(rounds, more))) result.push_back(1e3 * spread.median / static_cast<double>(images.dim(0)));
  return result;
}

nlohmann::json score_to_json(const Score& score) {
  return {{"images", score.images},
          {"top1_error", score.top1_error()},
          {"top5_error", score.top5_error()},
          {"cross_entropy", score.cross_entropy()}};
}

nlohmann::json cost_to_json(const Cost& cost) {
  return {{"parameters", cost.parameters}, {"macs", cost.macs}, {"operations", cost.operations}};
}

}  // namespace hinge::cli
