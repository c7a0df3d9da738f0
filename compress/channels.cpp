#include "compress/channels.h"

#include <map>
#include <numeric>

#include "engine/core/error.h"

namespace hinge::compress {
namespace {

// Disjoint sets with path halving; the root is the smallest member, so that unit numbers follow the graph's order.
class DisjointSets {
 public:
  int add() {
    parent_.push_back(static_cast<int>(parent_.size()));
    return parent_.back();
  }
  int root(int x) {
    while (parent_[static_cast<std::size_t>(x)] != x) {
      int& up = parent_[static_cast<std::size_t>(x)];
      up = parent_[static_cast<std::size_t>(up)];
      x = up;
    }
    return x;
  }
  void join(int a, int b) {
    a = root(a), b = root(b);
    if (a != b) parent_[static_cast<std::size_t>(std::max(a, b))] = std::min(a, b);
  }
  int size() const { return static_cast<int>(parent_.size()); }

 private:
  std::vector<int> parent_;
};

class Derivation {
 public:
  explicit Derivation(const Graph& graph) : graph_(graph), shapes_(infer_shapes(graph)) {}

  ChannelUnits run() {
    for (int node = 0; node < graph_.size(); ++node) labels_.push_back(label(node));
    std::vector<int> keeper(static_cast<std::size_t>(sets_.size()), -1);
    const auto pin = [&](int node) {
      for (int channel : labels_[static_cast<std::size_t>(node)]) keeper[static_cast<std::size_t>(sets_.root(channel))] = node;
    };
    pin(0);
    for (int output : graph_.outputs()) pin(output);

    ChannelUnits units;
    std::vector<int> number(static_cast<std::size_t>(sets_.size()), -1);
    for (auto& labels : labels_) {
      for (int& channel : labels) {
        const auto root = static_cast<std::size_t>(sets_.root(channel));
        if (number[root] < 0) {
          number[root] = units.count();
          units.pinned_by.push_back(keeper[root]);
        }
        channel = number[root];
      }
    }
    units.unit_of = std::move(labels_);
    return units;
  }

 private:
  using Labels = std::vector<int>;

  Labels fresh(std::int64_t count) {
    Labels result;
    for (std::int64_t c = 0; c < count; ++c) result.push_back(sets_.add());
    return result;
  }
  const Labels& input(const GraphNode& node, std::size_t i = 0) const {
    return labels_[static_cast<std::size_t>(node.inputs[i])];
  }

  Labels label(int index) {
    const GraphNode& node = graph_.at(index);
    switch (node.kind) {
      case OpKind::kInput: return fresh(graph_.input.c);
      case OpKind::kConv2d:
      case OpKind::kLinear: return layer(node);
      case OpKind::kAdd: {
        for (std::size_t c = 0; c < input(node).size(); ++c) sets_.join(input(node, 0)[c], input(node, 1)[c]);
        return input(node);
      }
      case OpKind::kConcat: {
        Labels all;
        for (std::size_t i = 0; i < node.inputs.size(); ++i) all.insert(all.end(), input(node, i).begin(), input(node, i).end());
        return all;
      }
      case OpKind::kShortcutA: {
        const auto& a = std::get<ShortcutAttributes>(node.attributes);
        Labels all = fresh(a.before);
        all.insert(all.end(), input(node).begin(), input(node).end());
        const Labels after = fresh(a.after);
        all.insert(all.end(), after.begin(), after.end());
        return all;
      }
      case OpKind::kFlatten: {  // in PyTorch's order: feature (c H + h) W + w
        const FeatureShape in = shapes_[static_cast<std::size_t>(node.inputs[0])];
        Labels all;
        for (int channel : input(node)) all.insert(all.end(), static_cast<std::size_t>(in.h * in.w), channel);
        return all;
      }
      default: return shared(node, input(node));
    }
  }

  Labels layer(const GraphNode& node) {
    const auto* conv = std::get_if<ConvAttributes>(&node.attributes);
    const std::int64_t out = conv ? conv->out : std::get<LinearAttributes>(node.attributes).out;
    Labels labels = fresh(out);
    if (conv != nullptr && conv->groups > 1) {
      const std::int64_t in_each = conv->in / conv->groups, out_each = conv->out / conv->groups;
      for (std::int64_t k = 0; k < out; ++k) {
        const std::int64_t group = k / out_each;
        for (std::int64_t c = 0; c < in_each; ++c) {
          sets_.join(labels[static_cast<std::size_t>(k)], input(node)[static_cast<std::size_t>(group * in_each + c)]);
        }
      }
    }
    return shared(node, labels);
  }

  // Nodes with the same weights: what one loses, all lose, inputs and outputs alike.
  Labels shared(const GraphNode& node, Labels labels) {
    if (node.weights_of.empty()) return labels;
    const int owner = graph_.find(node.weights_of);
    const auto join_all = [&](const Labels& a, const Labels& b) {
      require(a.size() == b.size(), "channels: '{}' and '{}' share weights and have {} and {} channels", node.name,
              node.weights_of, a.size(), b.size());
      for (std::size_t c = 0; c < a.size(); ++c) sets_.join(a[c], b[c]);
    };
    join_all(labels, labels_[static_cast<std::size_t>(owner)]);
    join_all(input(node), input(graph_.at(owner)));
    return labels;
  }

  const Graph& graph_;
  std::vector<FeatureShape> shapes_;
  DisjointSets sets_;
  std::vector<Labels> labels_;
};

}  // namespace

ChannelUnits derive_units(const Graph& graph) { return Derivation(graph).run(); }

bool mixes_channels(const GraphNode& node) {
  if (node.kind == OpKind::kLinear) return true;
  const auto* conv = std::get_if<ConvAttributes>(&node.attributes);
  return conv != nullptr && conv->groups == 1;
}

std::vector<UnitMembers> members_of(const Graph& graph, const ChannelUnits& units) {
  std::vector<UnitMembers> members(static_cast<std::size_t>(units.count()));
  const auto at = [&](int unit) -> UnitMembers& { return members[static_cast<std::size_t>(unit)]; };
  for (int node = 0; node < graph.size(); ++node) {
    const bool mixes = mixes_channels(graph.at(node));
    const std::vector<int>& made = units.of(node);
    for (int c = 0; c < static_cast<int>(made.size()); ++c) {
      auto& list = mixes ? at(made[static_cast<std::size_t>(c)]).makers : at(made[static_cast<std::size_t>(c)]).passers;
      list.push_back({node, c});
    }
    if (!mixes) continue;
    const std::vector<int>& read = units.of(graph.at(node).inputs[0]);
    for (int c = 0; c < static_cast<int>(read.size()); ++c) at(read[static_cast<std::size_t>(c)]).readers.push_back({node, c});
  }
  return members;
}

std::string explain_unit(const Graph& graph, const ChannelUnits& units, int unit) {
  std::map<int, std::vector<int>> channels;  // node -> its channels of this unit
  for (int node = 0; node < graph.size(); ++node) {
    for (int c = 0; c < static_cast<int>(units.of(node).size()); ++c) {
      if (units.of(node)[static_cast<std::size_t>(c)] == unit) channels[node].push_back(c);
    }
  }
  const auto say = [&](int node) {
    return fmt::format("channel {} of {}", fmt::join(channels.at(node), ", "), graph.at(node).name);
  };
  std::string text;
  const auto append = [&](const std::string& more) { text += (text.empty() ? "" : "; ") + more; };
  for (const auto& [node, list] : channels) {
    const GraphNode& n = graph.at(node);
    if (n.kind == OpKind::kAdd) {
      append(fmt::format("{} is added to {} by {}", say(n.inputs[0]), say(n.inputs[1]), n.name));
    } else if (const auto* conv = std::get_if<ConvAttributes>(&n.attributes); conv != nullptr && conv->groups > 1) {
      append(fmt::format("{} in {} groups turns {} into {}", n.name, conv->groups, say(n.inputs[0]), say(node)));
    } else if (!n.weights_of.empty()) {
      append(fmt::format("{} has the weights of {}", n.name, n.weights_of));
    }
  }
  const int keeper = units.pinned_by[static_cast<std::size_t>(unit)];
  if (keeper == 0) append("it reads the network's input");
  if (keeper > 0) append(fmt::format("{} is an output of the network", graph.at(keeper).name));
  return text;
}

}  // namespace hinge::compress
