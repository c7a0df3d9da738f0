#include "tools/hinge/evaluate.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "engine/autograd/node.h"
#include "engine/core/accelerator.h"
#include "tools/hinge/console.h"
#include "tools/hinge/interrupt.h"

namespace hinge::cli {

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

Score evaluate(Network& network, const data::ImageSet& set, const data::Normalization& normalization,
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
    total += score(output, labels.to(stream.device()), stream);
    progress.update(total.images, "");
  }
  return total;
}

std::vector<double> milliseconds_per_image(const std::vector<Network*>& networks, const Tensor& images, int rounds) {
  const NoGradients guard;
  std::vector<std::vector<double>> times(networks.size());
  for (int round = -1; round < rounds; ++round) {  // round -1 warms up and chooses convolutions
    for (std::size_t i = 0; i < networks.size(); ++i) {
      const Stream stream = stream_of(networks[i]->device());
      const Tensor batch = images.to(stream.device());
      stream.synchronize();
      const auto start = std::chrono::steady_clock::now();
      networks[i]->forward(batch, {}, stream);
      stream.synchronize();
      const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - start;
      if (round >= 0) times[i].push_back(elapsed.count() / static_cast<double>(images.dim(0)));
    }
  }
  std::vector<double> medians;
  for (auto& samples : times) {
    std::ranges::sort(samples);
    medians.push_back(samples[samples.size() / 2]);
  }
  return medians;
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
