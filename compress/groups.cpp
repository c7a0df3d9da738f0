#include "compress/groups.h"

#include <fnmatch.h>

#include <algorithm>
#include <map>
#include <set>

#include "engine/core/error.h"
#include "engine/core/names.h"

namespace hinge::compress {
namespace {

const std::vector<std::string> kModes = {"auto", "decompose", "prune", "mixed", "both"};

bool is_conv(const GraphNode& node, bool pointwise_only = false) {
  const auto* conv = std::get_if<ConvAttributes>(&node.attributes);
  return conv != nullptr && conv->groups == 1 && (!pointwise_only || conv->kernel_h * conv->kernel_w == 1);
}
bool has_window(const GraphNode& node) {
  const auto& conv = std::get<ConvAttributes>(node.attributes);
  return conv.kernel_h * conv.kernel_w > 1;
}

// What surrounds the output channels of one convolution.
class Surroundings {
 public:
  Surroundings(const Graph& graph) : graph_(graph), units_(derive_units(graph)), members_(members_of(graph, units_)) {}

  const ChannelUnits& units() const { return units_; }
  const UnitMembers& members(int unit) const { return members_[static_cast<std::size_t>(unit)]; }

  bool reads_input(int conv) const {
    for (int unit : units_.of(graph_.at(conv).inputs[0])) {
      if (units_.pinned_by[static_cast<std::size_t>(unit)] == 0) return true;
    }
    return false;
  }
  bool removable(int conv) const {
    return all(conv, [&](int unit) { return units_.removable(unit); });
  }
  // No other convolution makes (part of) these channels.
  bool makes_alone(int conv) const {
    return all(conv, [&](int unit) { return nodes(members(unit).makers).size() == 1; });
  }
  bool read_once(int conv) const {
    return all(conv, [&](int unit) { return nodes(members(unit).readers).size() == 1; });
  }
  bool all_readers_pointwise(int conv) const {
    return all(conv, [&](int unit) {
      const auto& readers = members(unit).readers;
      return !readers.empty() && std::ranges::all_of(readers, [&](const auto& slot) { return is_conv(graph_.at(slot.node), true); });
    });
  }
  // A 1x1 convolution reads these channels and no others: its rows play the part of A's columns.
  bool read_whole_by_pointwise(int conv) const {
    const std::set<int> own(units_.of(conv).begin(), units_.of(conv).end());
    return all_readers_pointwise(conv) && all(conv, [&](int unit) {
             return std::ranges::all_of(members(unit).readers, [&](const auto& slot) {
               return std::ranges::all_of(units_.of(graph_.at(slot.node).inputs[0]), [&](int read) { return own.contains(read); });
             });
           });
  }
  // A reader that lends or borrows its weights can't take over what zeroed filters leave behind.
  bool has_shared_reader(int conv) const {
    return !all(conv, [&](int unit) {
      return std::ranges::none_of(members(unit).readers, [&](const auto& slot) {
        const GraphNode& reader = graph_.at(slot.node);
        return !reader.weights_of.empty() ||
               std::ranges::any_of(graph_.nodes, [&](const GraphNode& node) { return node.weights_of == reader.name; });
      });
    });
  }
  // A grouped convolution, or an average over padding, between makers and readers: what a zeroed filter leaves behind is
  // then no constant, so the channel can only go together with its readers' weights.
  int passes_through_window(int conv) const {
    int found = -1;
    all(conv, [&](int unit) {
      for (const auto& slot : members(unit).passers) {
        const GraphNode& node = graph_.at(slot.node);
        const auto* pool = std::get_if<PoolAttributes>(&node.attributes);
        const bool padded_average = node.kind == OpKind::kAveragePool && pool != nullptr && pool->padding > 0;
        if (node.kind == OpKind::kConv2d || padded_average) found = slot.node;
      }
      return true;
    });
    return found;
  }

 private:
  template <class Predicate>
  bool all(int conv, Predicate&& holds) const {
    return std::ranges::all_of(units_.of(conv), holds);
  }
  // Distinct layers among the slots; nodes with shared weights are one.
  std::set<std::string> nodes(const std::vector<UnitMembers::Slot>& slots) const {
    std::set<std::string> result;
    for (const auto& slot : slots) result.insert(graph_.at(slot.node).weights_name());
    return result;
  }

  const Graph& graph_;
  ChannelUnits units_;
  std::vector<UnitMembers> members_;
};

bool matches(const std::vector<std::string>& patterns, const std::string& name) {
  return std::ranges::any_of(patterns, [&](const std::string& p) { return fnmatch(p.c_str(), name.c_str(), 0) == 0; });
}

// Everything a set's units have in common; units with equal signatures stand in one set.
using Role = std::tuple<int, int, int>;  // node; 0 maker, 1 reader, 2 passer; how many channels of the unit

std::vector<Role> signature(const UnitMembers& members) {
  std::map<std::pair<int, int>, int> count;
  for (const auto& slot : members.makers) ++count[{slot.node, 0}];
  for (const auto& slot : members.readers) ++count[{slot.node, 1}];
  for (const auto& slot : members.passers) ++count[{slot.node, 2}];
  std::vector<Role> roles;
  for (const auto& [key, channels] : count) roles.emplace_back(key.first, key.second, channels);
  return roles;
}

class SetBuilder {
 public:
  SetBuilder(const Graph& graph, const ChannelUnits& units, const std::vector<FactorPair>& pairs)
      : graph_(graph), units_(units), members_(members_of(graph, units)) {
    for (const FactorPair& pair : pairs) matrices_.insert(pair.pointwise);
  }

  // The units of `node`'s output channels, cut where their surroundings change.
  // Units that an earlier set holds are left out: convolutions may share a part of their channels.
  void add(std::vector<GroupSet>& sets, const GroupSet& prototype, int node) {
    std::vector<int> order;
    for (int unit : units_.of(node)) {
      if (taken_.insert(unit).second) order.push_back(unit);
    }
    std::size_t begin = 0;
    int pieces = 0;
    while (begin < order.size()) {
      GroupSet set = prototype;
      std::size_t end = begin;
      while (end < order.size() && extends(set, order, begin, end)) ++end;
      if (!units_.removable(order[begin])) {
        begin = end;
        continue;
      }
      if (++pieces > 1) set.name += fmt::format(" #{}", pieces);
      sets.push_back(std::move(set));
      begin = end;
    }
  }

 private:
  const UnitMembers& members(int unit) const { return members_[static_cast<std::size_t>(unit)]; }

  // Adds unit order[end] to `set` if it continues the pattern of those before it.
  bool extends(GroupSet& set, const std::vector<int>& order, std::size_t begin, std::size_t end) const {
    const int unit = order[end];
    const std::vector<Slice> own = slices_of(unit, set.kind);
    if (end == begin) {
      set.slices = own;
    } else {
      if (units_.removable(unit) != units_.removable(order[begin]) || signature(members(unit)) != signature(members(order[begin]))) return false;
      for (std::size_t s = 0; s < own.size(); ++s) {
        const std::vector<int>& all = set.slices[s].channels;
        const std::size_t per = own[s].channels.size();
        for (std::size_t j = 0; j < per; ++j) {  // an arithmetic progression, so that a stride describes it
          const int last = all[all.size() - per + j];
          const int step = end - begin == 1 ? own[s].channels[j] - last : all[per + j] - all[j];
          if (own[s].channels[j] - last != step) return false;
        }
      }
      for (std::size_t s = 0; s < own.size(); ++s) {
        set.slices[s].channels.insert(set.slices[s].channels.end(), own[s].channels.begin(), own[s].channels.end());
      }
    }
    set.units.push_back(unit);
    return true;
  }

  std::vector<Slice> slices_of(int unit, GroupSet::Kind kind) const {
    const UnitMembers& m = members(unit);
    const auto collect = [&](const std::vector<UnitMembers::Slot>& slots, Slice::Side side) {
      std::map<int, std::vector<int>> by_node;
      for (const auto& slot : slots) {
        if (graph_.at(slot.node).weights_of.empty()) by_node[slot.node].push_back(slot.channel);
      }
      std::vector<Slice> result;
      for (auto& [node, channels] : by_node) result.push_back({node, side, std::move(channels)});
      return result;
    };
    const auto makers = collect(m.makers, Slice::Side::kOut), readers = collect(m.readers, Slice::Side::kIn);
    if (kind == GroupSet::Kind::kRows) return readers;
    const auto all_of = [&](const std::vector<Slice>& slices, auto&& holds) {
      return !slices.empty() && std::ranges::all_of(slices, [&](const Slice& s) { return holds(graph_.at(s.node)); });
    };
    if (all_of(makers, [&](const GraphNode& node) { return matrices_.contains(node.name); })) return makers;
    std::vector<Slice> sides;
    const auto pointwise = [](const GraphNode& node) { return is_conv(node, true); };
    if (all_of(makers, pointwise)) sides = makers;
    if (all_of(readers, pointwise)) sides.insert(sides.end(), readers.begin(), readers.end());
    return sides.empty() ? makers : sides;
  }

  const Graph& graph_;
  const ChannelUnits& units_;
  std::vector<UnitMembers> members_;
  std::set<std::string> matrices_;
  std::set<int> taken_;
};

}  // namespace

Mode mode_of(const std::string& name) {
  const auto found = std::ranges::find(kModes, name);
  if (found == kModes.end()) fail_usage("unknown mode '{}' (known: {}){}", name, fmt::join(kModes, ", "), did_you_mean(name, kModes));
  return static_cast<Mode>(found - kModes.begin());
}
std::string_view name_of(Mode mode) { return kModes[static_cast<std::size_t>(mode)]; }

GroupChoice choose_groups(const Graph& dense, const GroupOptions& options) {
  const Surroundings around(dense);
  const Mode mode = options.mode;
  std::vector<int> convs;
  std::map<int, std::string> refused;
  std::map<std::string, std::string> lent;  // to whom a convolution's weights also belong
  for (const GraphNode& node : dense.nodes) {
    if (!node.weights_of.empty()) lent[node.weights_of] = node.name;
  }
  for (int node = 1; node < dense.size(); ++node) {
    if (dense.at(node).kind != OpKind::kConv2d) continue;
    if (!is_conv(dense.at(node)))
      refused[node] = "it is grouped: its channels go with those of the convolutions around it";
    else if (!dense.at(node).weights_of.empty())
      refused[node] = fmt::format("it shares the weights of {}", dense.at(node).weights_of);
    else if (lent.contains(dense.at(node).name))
      refused[node] = fmt::format("it shares its weights with {}", lent[dense.at(node).name]);
    else if (matches(options.exclude, dense.at(node).name))
      refused[node] = "excluded";
    else if (around.reads_input(node))
      refused[node] = "it reads the network's input and is left whole";
    else
      convs.push_back(node);
  }

  std::set<int> channels, rows;
  std::set<int> pruned_units;
  for (int conv : convs) {
    const bool bounded = is_conv(dense.at(conv), true) || around.read_whole_by_pointwise(conv);
    const bool inner = around.makes_alone(conv) && around.read_once(conv);
    const int window = around.passes_through_window(conv);
    const bool prunable = around.removable(conv) && (options.residual || around.makes_alone(conv)) &&
                          !around.has_shared_reader(conv) && (window < 0 || around.all_readers_pointwise(conv));
    const bool wanted = (mode == Mode::kAuto && inner && bounded) || mode == Mode::kPrune || (mode == Mode::kMixed && inner) || mode == Mode::kBoth;
    if (!prunable || !wanted) continue;
    const auto& units = around.units().of(conv);
    // A residual stream is named after the first convolution that makes it.
    if (std::ranges::all_of(units, [&](int unit) { return pruned_units.contains(unit); })) continue;
    channels.insert(conv);
    pruned_units.insert(units.begin(), units.end());
  }
  const auto touches_pruned = [&](int conv) {
    const auto pruned = [&](int unit) { return pruned_units.contains(unit); };
    return std::ranges::any_of(around.units().of(conv), pruned) || std::ranges::any_of(around.units().of(dense.at(conv).inputs[0]), pruned);
  };
  GroupChoice choice;
  for (int conv : convs) {
    const bool window = has_window(dense.at(conv));
    const bool attachable = window || around.makes_alone(conv);
    const bool bounded = is_conv(dense.at(conv), true) || around.read_whole_by_pointwise(conv);
    bool decompose = false;
    switch (mode) {
      case Mode::kAuto: decompose = attachable && !touches_pruned(conv); break;
      case Mode::kDecompose: decompose = attachable; break;
      case Mode::kPrune: break;
      case Mode::kMixed: decompose = attachable && window && !channels.contains(conv); break;
      case Mode::kBoth: decompose = attachable && !(channels.contains(conv) && bounded); break;
    }
    const std::string& name = dense.at(conv).name;
    const bool matrix_for_columns = channels.contains(conv) && around.makes_alone(conv) && !bounded;
    if (decompose) choice.rows.push_back(name);
    if (channels.contains(conv)) choice.channels.push_back(name);
    if (decompose || matrix_for_columns) choice.attach.push_back(name);
    if (decompose || channels.contains(conv) || touches_pruned(conv)) continue;
    const std::string why = explain_unit(dense, around.units(), around.units().of(conv)[0]);
    refused[conv] = why.empty() ? fmt::format("mode {} leaves it alone", name_of(mode)) : why;
  }
  for (const auto& [node, reason] : refused) choice.refused.push_back({dense.at(node).name, reason});
  return choice;
}

std::vector<GroupSet> group_sets(const Graph& attached, const ChannelUnits& units, const std::vector<FactorPair>& pairs,
                                 const GroupChoice& choice) {
  SetBuilder builder(attached, units, pairs);
  std::map<std::string, const FactorPair*> pair_of;
  for (const FactorPair& pair : pairs) pair_of[pair.layer] = &pair;
  std::vector<std::pair<int, std::vector<GroupSet>>> placed;  // by node, so that the result is in the graph's order
  const auto place = [&](const std::string& layer, GroupSet::Kind kind) {
    const auto pair = pair_of.find(layer);
    const bool rows = kind == GroupSet::Kind::kRows;
    require(!rows || pair != pair_of.end(), "groups: {} has no matrix attached", layer);
    const int node = attached.find(pair == pair_of.end() ? layer : rows ? pair->second->spatial
                                                                        : pair->second->pointwise);
    const GroupSet prototype{.name = rows ? layer + " rank" : layer + " channels", .layer = layer, .block = block_of(layer), .kind = kind, .units = {}, .slices = {}};
    std::vector<GroupSet> sets;
    builder.add(sets, prototype, node);
    placed.emplace_back(node, std::move(sets));
  };
  for (const std::string& layer : choice.rows) place(layer, GroupSet::Kind::kRows);
  for (const std::string& layer : choice.channels) place(layer, GroupSet::Kind::kChannels);
  std::ranges::stable_sort(placed, {}, [](const auto& entry) { return entry.first; });
  std::vector<GroupSet> all;
  for (auto& [node, sets] : placed) {
    for (GroupSet& set : sets) all.push_back(std::move(set));
  }
  return all;
}

std::vector<kernels::GroupView> views_of(const GroupSet& set, const Graph& attached, Network& network) {
  std::vector<kernels::GroupView> views;
  const auto groups = static_cast<std::int64_t>(set.size());
  for (const Slice& slice : set.slices) {
    Tensor& w = network.parameter(attached.at(slice.node).name + ".weight").value;
    const std::int64_t c = w.dim(3), filter = w.size() / w.dim(0);
    const std::size_t per = slice.channels.size() / set.size();
    for (std::size_t j = 0; j < per; ++j) {
      const std::int64_t start = slice.channels[j];
      const std::int64_t step = groups > 1 ? slice.channels[per + j] - start : 0;
      if (slice.side == Slice::Side::kOut) {
        views.push_back({w.mutable_data() + start * filter, groups, filter, step * filter, 1});
      } else {
        views.push_back({w.mutable_data() + start, groups, w.size() / c, step, c});
      }
    }
  }
  return views;
}

}  // namespace hinge::compress
