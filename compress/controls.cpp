#include "compress/controls.h"

#include <cmath>
#include <map>
#include <numeric>

#include "compress/proximal.h"
#include "engine/core/error.h"
#include "engine/core/names.h"
#include "kernels/philox.h"

namespace hinge::compress {
namespace {

const std::vector<std::string> kNames = {"random", "svd", "l1-norm", "fpgm"};

// Filter k of `w` [K, R, S, C] as a pointer; `size` numbers each.
struct Filters {
  Tensor w;
  std::int64_t size() const { return w.size() / w.dim(0); }
  const float* of(int k) const { return w.data() + k * size(); }
};

double l1_norm(const Filters& filters, int k) {
  double sum = 0.0;
  for (std::int64_t i = 0; i < filters.size(); ++i) sum += std::abs(static_cast<double>(filters.of(k)[i]));
  return sum;
}

double distance_to_all(const Filters& filters, int k) {
  double sum = 0.0;
  for (int other = 0; other < filters.w.dim(0); ++other) {
    double squares = 0.0;
    for (std::int64_t i = 0; i < filters.size(); ++i) {
      const double difference = static_cast<double>(filters.of(k)[i]) - static_cast<double>(filters.of(other)[i]);
      squares += difference * difference;
    }
    sum += std::sqrt(squares);
  }
  return sum;
}

// The output channels of the set's layer in the dense network, by group.
std::vector<std::vector<int>> channels_by_group(const GroupSet& set, const Structure& structure) {
  int anchor = -1;
  for (const FactorPair& pair : structure.pairs) {
    if (pair.layer == set.layer) anchor = structure.attached.find(pair.pointwise);
  }
  if (anchor < 0) anchor = structure.attached.find(set.layer);
  std::map<int, std::size_t> group_of;
  for (std::size_t g = 0; g < set.size(); ++g) group_of[set.units[g]] = g;
  std::vector<std::vector<int>> channels(set.size());
  const std::vector<int>& labels = structure.units.of(anchor);
  for (std::size_t c = 0; c < labels.size(); ++c) {
    if (const auto found = group_of.find(labels[c]); found != group_of.end()) channels[found->second].push_back(static_cast<int>(c));
  }
  return channels;
}

}  // namespace

std::vector<std::string> control_names() { return kNames; }

Control control_of(const std::string& name) {
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) fail_usage("unknown control '{}' (known: {}){}", name, fmt::join(kNames, ", "), did_you_mean(name, kNames));
  return static_cast<Control>(found - kNames.begin());
}

bool needs_channels(Control control) { return control == Control::kL1Norm || control == Control::kFpgm; }

void check_control(Control control, const Structure& structure) {
  for (const GroupSet& set : structure.sets) {
    if (needs_channels(control) && set.kind == GroupSet::Kind::kRows) {
      fail_usage("{} ranks filters, but '{}' is a decomposition: use --mode prune", kNames[static_cast<std::size_t>(control)], set.name);
    }
  }
}

Scores control_scores(Control control, const Structure& structure, const Network& dense, Network& attached, std::uint64_t seed,
                      const Stream& stream) {
  check_control(control, structure);
  Scores scores;
  if (control == Control::kSvd) {
    scores = group_scores(penalised_sets(attached, structure), stream);
  } else {
    for (std::size_t s = 0; s < structure.sets.size(); ++s) {
      const GroupSet& set = structure.sets[s];
      std::vector<double> layer(set.size(), 0.0);
      if (control == Control::kRandom) {
        for (std::size_t g = 0; g < layer.size(); ++g) {
          layer[g] = static_cast<double>(uniform(random_words(seed, RandomUse::kRandomGroups, s, g).word[0]));
        }
      } else {
        const Filters filters{dense.value(set.layer + ".weight")};
        const auto channels = channels_by_group(set, structure);
        for (std::size_t g = 0; g < layer.size(); ++g) {
          for (int k : channels[g]) layer[g] += control == Control::kL1Norm ? l1_norm(filters, k) : distance_to_all(filters, k);
        }
      }
      scores.push_back(std::move(layer));
    }
  }
  for (auto& layer : scores) {
    const double mean = std::accumulate(layer.begin(), layer.end(), 0.0) / static_cast<double>(layer.size());
    for (double& score : layer) score = mean > 0.0 ? score / mean : score;
  }
  return scores;
}

}  // namespace hinge::compress
