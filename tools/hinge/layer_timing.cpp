#include "tools/hinge/layer_timing.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/infer/inference_plan.h"

namespace hinge::cli {
namespace {

// "layer1.0.conv1.0 + layer1.0.conv1.1 + relu" belongs to layer1.0.conv1 if the original has one.
std::string layer_of(const std::string& step, const std::set<std::string>& layers) {
  const std::string first = step.substr(0, step.find(' '));
  if (layers.contains(first)) return first;
  const std::size_t dot = first.rfind('.');
  const std::string whole = dot == std::string::npos ? first : first.substr(0, dot);
  return layers.contains(whole) ? whole : first;
}

double median(std::vector<double> samples) {
  std::ranges::sort(samples);
  return samples.empty() ? 0.0 : samples[samples.size() / 2];
}

}  // namespace

LayerTimings layer_timings(const Network& original, const Network& compressed, std::int64_t batch, int rounds) {
  LayerTimings result{.batch = batch, .method = "", .layers = {}};
  require(original.device() == compressed.device(), "times of layers: one network lies on {}, the other on {}", original.device().to_string(), compressed.device().to_string());
  const FeatureShape& in = original.graph().input;
  const Tensor images = Tensor::full({batch, in.h, in.w, in.c}, 0.5f, original.device());
  // On the CPU the library's own pass has no steps; among the others images in lanes win from half a register's images on.
  InferencePlan before(original, {.batch = batch});
  const bool has_steps = !original.device().is_cpu() || before.method() != InferenceMethod::kLibrary;
  const InferenceMethod method = has_steps ? before.method() : batch >= 8 ? InferenceMethod::kImages
                                                                          : InferenceMethod::kChannels;
  if (before.method() != method) before = InferencePlan(original, {.batch = batch, .method = method});
  InferencePlan after(compressed, {.batch = batch, .method = method});
  result.method = name_of(method);

  std::set<std::string> layers;
  for (const GraphNode& node : original.graph().nodes) layers.insert(node.name);
  std::vector<std::string> order;
  std::map<std::string, std::pair<std::vector<double>, std::vector<double>>> samples;
  // A GPU's steps are captured one by one and replayed for all rounds at once.
  const int at_once = original.device().is_cpu() ? 1 : rounds;
  for (int round = 0; round < rounds; round += at_once) {
    for (const bool is_after : {false, true}) {
      std::map<std::string, double> sums;
      for (const StepTime& step : (is_after ? after : before).profile(images, at_once)) {
        const std::string layer = layer_of(step.name, layers);
        if (!samples.contains(layer)) samples[layer], order.push_back(layer);
        sums[layer] += step.seconds;
      }
      for (const auto& [layer, seconds] : sums) (is_after ? samples[layer].second : samples[layer].first).push_back(1e3 * seconds / static_cast<double>(batch));
    }
  }
  for (const std::string& layer : order) result.layers.push_back({layer, median(samples[layer].first), median(samples[layer].second)});
  return result;
}

nlohmann::json to_json(const LayerTimings& timings) {
  if (timings.layers.empty()) return nullptr;
  nlohmann::json json = {{"batch", timings.batch}, {"method", timings.method}, {"layers", nlohmann::json::array()}};
  for (const LayerTiming& layer : timings.layers) json["layers"].push_back({{"layer", layer.layer}, {"before", layer.before}, {"after", layer.after}});
  return json;
}

}  // namespace hinge::cli
