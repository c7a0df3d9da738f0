#include "compress/constants.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "engine/core/error.h"

namespace hinge::compress {
namespace {

using Row = std::vector<double>;

double at(const Tensor& tensor, std::int64_t i) { return static_cast<double>(tensor.data()[i]); }

// Filters of `k` that are zero throughout.
bool is_zero_filter(const Tensor& w, std::int64_t k) {
  const std::int64_t size = w.size() / w.dim(0);
  return std::all_of(w.data() + k * size, w.data() + (k + 1) * size, [](float v) { return v == 0.0f; });
}

class Propagation {
 public:
  Propagation(const Network& network, const ChannelUnits& units, const std::vector<bool>& removed)
      : network_(network), graph_(network.graph()), units_(units), removed_(removed) {}

  std::vector<Row> run() {
    for (int node = 0; node < graph_.size(); ++node) {
      const std::vector<int>& labels = units_.of(node);
      Row row(labels.size(), kVaries);
      for (std::size_t c = 0; c < labels.size(); ++c) {
        if (removed_[static_cast<std::size_t>(labels[c])]) row[c] = value(node, c);
      }
      values_.push_back(std::move(row));
    }
    return std::move(values_);
  }

 private:
  double input(const GraphNode& node, std::size_t i, std::size_t channel) const {
    return values_[static_cast<std::size_t>(node.inputs[i])][channel];
  }
  Tensor weight_of(const GraphNode& node, const char* what) const { return network_.value(node.weights_name() + what); }

  double value(int index, std::size_t c) const {
    const GraphNode& node = graph_.at(index);
    const auto k = static_cast<std::int64_t>(c);
    switch (node.kind) {
      case OpKind::kInput: return kVaries;
      case OpKind::kConv2d: {
        const auto& conv = std::get<ConvAttributes>(node.attributes);
        const Tensor w = weight_of(node, ".weight");
        const double bias = conv.bias ? at(weight_of(node, ".bias"), k) : 0.0;
        if (is_zero_filter(w, k)) return bias;
        if (conv.groups == 1) return kVaries;
        return grouped(node, conv, w, k, bias);
      }
      case OpKind::kLinear: {
        if (!is_zero_filter(weight_of(node, ".weight"), k)) return kVaries;
        return std::get<LinearAttributes>(node.attributes).bias ? at(weight_of(node, ".bias"), k) : 0.0;
      }
      case OpKind::kBatchNorm: {
        const double rstd = 1.0 / std::sqrt(at(weight_of(node, ".running_var"), k) + static_cast<double>(std::get<BatchNormAttributes>(node.attributes).epsilon));
        return (input(node, 0, c) - at(weight_of(node, ".running_mean"), k)) * rstd * at(weight_of(node, ".weight"), k) + at(weight_of(node, ".bias"), k);
      }
      case OpKind::kRelu: {
        const double x = input(node, 0, c);
        const auto ceiling = static_cast<double>(std::get<ReluAttributes>(node.attributes).ceiling);
        if (std::isnan(x)) return x;
        return ceiling > 0.0 ? std::clamp(x, 0.0, ceiling) : std::max(x, 0.0);
      }
      case OpKind::kAdd: return input(node, 0, c) + input(node, 1, c);
      case OpKind::kConcat: {
        std::size_t offset = c;
        for (std::size_t i = 0;; ++i) {
          const std::size_t width = values_[static_cast<std::size_t>(node.inputs[i])].size();
          if (offset < width) return input(node, i, offset);
          offset -= width;
        }
      }
      case OpKind::kAveragePool: {
        const double x = input(node, 0, c);
        return std::get<PoolAttributes>(node.attributes).padding == 0 || x == 0.0 ? x : kVaries;
      }
      case OpKind::kShortcutA: {
        const auto& a = std::get<ShortcutAttributes>(node.attributes);
        const std::int64_t middle = static_cast<std::int64_t>(values_[static_cast<std::size_t>(node.inputs[0])].size());
        return k < a.before || k >= a.before + middle ? 0.0 : input(node, 0, static_cast<std::size_t>(k - a.before));
      }
      case OpKind::kFlatten: {  // (c H + h) W + w
        const std::size_t pixels = units_.of(index).size() / values_[static_cast<std::size_t>(node.inputs[0])].size();
        return input(node, 0, c / pixels);
      }
      default: return input(node, 0, c);  // pooling, dropout: a constant stays what it is
    }
  }

  // y_k = bias + sum over the group's inputs; constant at the border too only if nothing but zeros meets the padding.
  double grouped(const GraphNode& node, const ConvAttributes& conv, const Tensor& w, std::int64_t k, double bias) const {
    const std::int64_t in_each = conv.in / conv.groups, window = conv.kernel_h * conv.kernel_w, group = k / (conv.out / conv.groups);
    double sum = bias;
    for (std::int64_t c = 0; c < in_each; ++c) {
      const double x = input(node, 0, static_cast<std::size_t>(group * in_each + c));
      if (x == 0.0) continue;
      if (conv.padding > 0) return kVaries;
      for (std::int64_t t = 0; t < window; ++t) sum += x * at(w, (k * window + t) * in_each + c);
    }
    return sum;
  }

  const Network& network_;
  const Graph& graph_;
  const ChannelUnits& units_;
  const std::vector<bool>& removed_;
  std::vector<Row> values_;
};

// Reads and edits weights by the channel of a reader's input.
class Reader {
 public:
  Reader(const Network& network, int node)
      : node_(network.graph().at(node)), w_(network.value(node_.weights_name() + ".weight")), in_(w_.dim(w_.shape().rank() - 1)), out_(w_.dim(0)), window_(w_.size() / (in_ * out_)) {}

  std::int64_t out() const { return out_; }
  bool ignores(std::int64_t channel) const {
    for (std::int64_t i = channel; i < w_.size(); i += in_) {
      if (w_.data()[i] != 0.0f) return false;
    }
    return true;
  }
  // sum over the window of the weights between input `channel` and output k.
  double sum(std::int64_t channel, std::int64_t k) const {
    double total = 0.0;
    for (std::int64_t t = 0; t < window_; ++t) total += at(w_, (k * window_ + t) * in_ + channel);
    return total;
  }
  // Weights of `to` += factor * weights of `from`, in double before rounding once by the caller's accumulation.
  void add_scaled(std::int64_t to, const std::vector<std::pair<std::int64_t, double>>& from) {
    for (std::int64_t row = 0; row < out_ * window_; ++row) {
      double sum = at(w_, row * in_ + to);
      for (const auto& [channel, factor] : from) sum += factor * at(w_, row * in_ + channel);
      w_.mutable_data()[row * in_ + to] = static_cast<float>(sum);
    }
  }
  void erase(std::int64_t channel) {
    for (std::int64_t i = channel; i < w_.size(); i += in_) w_.mutable_data()[i] = 0.0f;
  }
  // Every output pixel sees the whole window.
  bool sees_all() const {
    const auto* conv = std::get_if<ConvAttributes>(&node_.attributes);
    return conv == nullptr || conv->padding == 0;
  }

 private:
  const GraphNode& node_;
  Tensor w_;
  std::int64_t in_, out_, window_;
};

// Where a constant added to a node's output can go: its bias, the BatchNorm behind it, or on through a 1x1 convolution.
class Shift {
 public:
  explicit Shift(const Graph& graph) : graph_(graph), consumers_(consumers_of(graph)), outputs_(graph.outputs()) {
    for (const GraphNode& node : graph.nodes) {
      if (!node.weights_of.empty()) shared_.insert(node.weights_of);
    }
  }

  bool shared(int node) const { return !graph_.at(node).weights_of.empty() || shared_.contains(graph_.at(node).name); }

  bool possible(int node) const {
    if (shared(node)) return false;
    if (has_bias(node)) return true;
    const int next = only_reader(node);
    if (next < 0 || shared(next)) return false;
    return graph_.at(next).kind == OpKind::kBatchNorm || (pointwise(next) && possible(next));
  }

  void apply(Network& network, int node, const std::vector<double>& shift) const {
    const std::string& name = graph_.at(node).name;
    if (has_bias(node)) return add(network.parameter(name + ".bias").value, shift, 1.0);
    const int next = only_reader(node);
    if (graph_.at(next).kind == OpKind::kBatchNorm) return add(network.buffer(graph_.at(next).name + ".running_mean").value, shift, -1.0);
    const Reader reader(network, next);
    std::vector<double> passed(static_cast<std::size_t>(reader.out()), 0.0);
    for (std::int64_t k = 0; k < reader.out(); ++k) {
      for (std::size_t c = 0; c < shift.size(); ++c) passed[static_cast<std::size_t>(k)] += reader.sum(static_cast<std::int64_t>(c), k) * shift[c];
    }
    apply(network, next, passed);
  }

 private:
  bool has_bias(int node) const {
    const GraphNode& n = graph_.at(node);
    if (const auto* conv = std::get_if<ConvAttributes>(&n.attributes)) return conv->bias;
    return std::get<LinearAttributes>(n.attributes).bias;
  }
  bool pointwise(int node) const {
    const auto* conv = std::get_if<ConvAttributes>(&graph_.at(node).attributes);
    return conv != nullptr && conv->groups == 1 && conv->kernel_h * conv->kernel_w == 1 && conv->padding == 0;
  }
  int only_reader(int node) const {
    const auto& readers = consumers_[static_cast<std::size_t>(node)];
    const bool output = std::ranges::find(outputs_, node) != outputs_.end();
    return readers.size() == 1 && !output ? readers[0] : -1;
  }
  static void add(Tensor& tensor, const std::vector<double>& shift, double sign) {
    for (std::size_t k = 0; k < shift.size(); ++k) {
      float& value = tensor.mutable_data()[k];
      value = static_cast<float>(static_cast<double>(value) + sign * shift[k]);
    }
  }

  const Graph& graph_;
  std::vector<std::vector<int>> consumers_;
  std::vector<int> outputs_;
  std::set<std::string> shared_;
};

// The removed channels that reader `node` still weighs, with their constants.
struct Heard {
  std::int64_t channel;
  int unit;
  double constant;
};
std::vector<Heard> heard_by(const Network& network, const ChannelUnits& units, const std::vector<bool>& removed,
                            const std::vector<Row>& constants, int node) {
  const Graph& graph = network.graph();
  const int source = graph.at(node).inputs[0];
  const Reader reader(network, node);
  std::vector<Heard> heard;
  const std::vector<int>& labels = units.of(source);
  for (std::size_t c = 0; c < labels.size(); ++c) {
    if (!removed[static_cast<std::size_t>(labels[c])] || reader.ignores(static_cast<std::int64_t>(c))) continue;
    const double constant = constants[static_cast<std::size_t>(source)][c];
    require(!std::isnan(constant), "surgery: channel {} of {} varies from image to image and {} reads it: it can't be removed", c,
            graph.at(source).name, graph.at(node).name);
    heard.push_back({static_cast<std::int64_t>(c), labels[c], constant});
  }
  return heard;
}

}  // namespace

std::vector<Row> constant_channels(const Network& network, const ChannelUnits& units, const std::vector<bool>& removed) {
  return Propagation(network, units, removed).run();
}

std::vector<Stranded> stranded_constants(const Network& network, const ChannelUnits& units, const std::vector<bool>& removed) {
  const Graph& graph = network.graph();
  const std::vector<Row> constants = constant_channels(network, units, removed);
  const Shift shift(graph);
  std::vector<Stranded> stranded;
  for (int node = 1; node < graph.size(); ++node) {
    if (!mixes_channels(graph.at(node))) continue;
    const bool takes_all = Reader(network, node).sees_all() && shift.possible(node);
    for (const Heard& h : heard_by(network, units, removed, constants, node)) {
      if (h.constant == 0.0 || takes_all) continue;
      // Its uses meet different constants, and one set of weights can't hold the ratios of all.
      require(!shift.shared(node), "surgery: {} reads the constant {} that removed channel {} leaves, and shares its weights: the channel can't be removed",
              graph.at(node).name, h.constant, h.channel);
      stranded.push_back({node, static_cast<int>(h.channel), h.unit, h.constant});
    }
  }
  return stranded;
}

std::vector<int> choose_carriers(const std::vector<Stranded>& stranded) {
  std::map<int, std::map<int, double>> by_unit;  // unit -> reader -> |constant|
  std::map<int, double> largest;                 // per reader
  std::set<int> open;
  for (const Stranded& s : stranded) {
    double& constant = by_unit[s.unit][s.reader];
    constant = std::max(constant, std::abs(s.constant));
    largest[s.reader] = std::max(largest[s.reader], std::abs(s.constant));
    open.insert(s.reader);
  }
  std::vector<int> carriers;
  while (!open.empty()) {
    // The unit that serves most readers, the one with the largest constants among equals: ratios stay small.
    int best = -1;
    double best_rank = -1.0;
    for (const auto& [unit, readers] : by_unit) {
      double rank = 0.0;
      for (const auto& [reader, constant] : readers) {
        const double share = constant / largest[reader];
        if (open.contains(reader) && share > 0.1) rank += 1.0 + 0.5 * share;
      }
      if (rank > best_rank) best = unit, best_rank = rank;
    }
    carriers.push_back(best);
    for (const auto& [reader, constant] : by_unit[best]) {
      if (constant / largest[reader] > 0.1) open.erase(reader);
    }
  }
  std::ranges::sort(carriers);
  return carriers;
}

void fold_constants(Network& network, const ChannelUnits& units, const std::vector<bool>& removed, const std::vector<int>& carriers) {
  const Graph& graph = network.graph();
  const std::vector<Row> constants = constant_channels(network, units, removed);
  const Shift shift(graph);
  const std::set<int> carrying(carriers.begin(), carriers.end());
  struct Work {
    int node;
    std::vector<Heard> heard;
  };
  std::vector<Work> work;
  for (int node = 1; node < graph.size(); ++node) {
    if (!mixes_channels(graph.at(node))) continue;
    auto heard = heard_by(network, units, removed, constants, node);
    if (!heard.empty()) work.push_back({node, std::move(heard)});
  }
  std::set<std::string> done;  // nodes with shared weights are edited once
  for (const Work& item : work) {
    if (!done.insert(graph.at(item.node).weights_name()).second) continue;
    Reader reader(network, item.node);
    if (reader.sees_all() && shift.possible(item.node)) {
      std::vector<double> bias(static_cast<std::size_t>(reader.out()), 0.0);
      for (const Heard& h : item.heard) {
        for (std::int64_t k = 0; k < reader.out(); ++k) bias[static_cast<std::size_t>(k)] += h.constant * reader.sum(h.channel, k);
      }
      shift.apply(network, item.node, bias);
      for (const Heard& h : item.heard) reader.erase(h.channel);
      continue;
    }
    const Heard* carrier = nullptr;
    for (const Heard& h : item.heard) {
      if (carrying.contains(h.unit) && (carrier == nullptr || std::abs(h.constant) > std::abs(carrier->constant))) carrier = &h;
    }
    std::vector<std::pair<std::int64_t, double>> ratios;
    for (const Heard& h : item.heard) {
      if (&h == carrier || h.constant == 0.0) continue;
      require(carrier != nullptr && carrier->constant != 0.0, "surgery: {} reads the constant {} of channel {} and no carrier was kept for it",
              graph.at(item.node).name, h.constant, h.channel);
      ratios.emplace_back(h.channel, h.constant / carrier->constant);
    }
    if (carrier != nullptr) reader.add_scaled(carrier->channel, ratios);
    for (const Heard& h : item.heard) {
      if (&h != carrier) reader.erase(h.channel);
    }
  }
  // A BatchNorm scales the gradient of a channel without variance by 1/sqrt(epsilon), 316 times: let it state the constant.
  for (int node = 1; node < graph.size(); ++node) {
    if (graph.at(node).kind != OpKind::kBatchNorm || !graph.at(node).weights_of.empty()) continue;
    const std::string& name = graph.at(node).name;
    for (std::size_t c = 0; c < units.of(node).size(); ++c) {
      const double constant = constants[static_cast<std::size_t>(node)][c];
      if (!carrying.contains(units.of(node)[c]) || std::isnan(constant)) continue;
      network.parameter(name + ".weight").value.mutable_data()[c] = 0.0f;
      network.parameter(name + ".bias").value.mutable_data()[c] = static_cast<float>(constant);
      network.buffer(name + ".running_mean").value.mutable_data()[c] = 0.0f;
      network.buffer(name + ".running_var").value.mutable_data()[c] = 1.0f;
    }
  }
}

}  // namespace hinge::compress
