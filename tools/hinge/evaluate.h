// Scores and speed of a network.
#pragma once

#include <nlohmann/json.hpp>

#include "data/loader.h"
#include "engine/graph/cost.h"
#include "engine/infer/inference_plan.h"
#include "engine/nn/network.h"
#include "engine/ops/loss.h"

namespace hinge::cli {

inline constexpr int kEvaluationBatch = 250;

// On the images at `indices` of `set`. `logits`, where given, receives [images, classes] in the order of `indices`.
Score evaluate(Network& network, const data::ImageSet& set, const data::Normalization& normalization,
               const std::vector<int>& indices, const std::string& label, Tensor* logits = nullptr);

std::vector<int> all_indices(const data::ImageSet& set);
// In order, not augmented, with as many threads as the set should have and room for a batch of each.
data::LoaderOptions loader_options(const data::ImageSet& set, int batch);

// Seconds of one call of each plan on its images, measured in turns so that a noisy machine is fair.
struct Spread {
  double least = 0.0, median = 0.0;
};
std::vector<Spread> seconds_in_turns(std::vector<InferencePlan>& plans, const std::vector<Tensor>& images, int rounds);
// Median milliseconds per image of the networks' inference plans for so many images, over at least `rounds` calls: as many more
// as half a second has room for.
std::vector<double> milliseconds_per_image(const std::vector<Network*>& networks, const Tensor& images, int rounds = 15);

nlohmann::json score_to_json(const Score& score);
nlohmann::json cost_to_json(const Cost& cost);
Tensor labels_tensor(const std::vector<std::int32_t>& labels);

}  // namespace hinge::cli
