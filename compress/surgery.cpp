#include "compress/surgery.h"

#include <algorithm>
#include <cmath>

namespace hinge::compress {
namespace {

void check(const CompressionPlan& plan, const std::vector<FactorPair>& pairs, const Network& network) {
  require(plan.edits.size() == pairs.size(), "surgery: the plan edits {} layers, the network has {} pairs",
          plan.edits.size(), pairs.size());
  const std::vector<std::int64_t> ranks = ranks_of(network.graph(), pairs);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    require(plan.edits[i].layer == pairs[i].layer && plan.edits[i].rows == ranks[i],
            "surgery: the plan edits {} with {} rows, the network has {} with {}", plan.edits[i].layer,
            plan.edits[i].rows, pairs[i].layer, ranks[i]);
  }
}

// filters [K, R, S, C] -> those of `kept` along K.
Tensor keep_filters(const Tensor& filters, const std::vector<int>& kept) {
  const std::int64_t size = filters.size() / filters.dim(0);
  Tensor result = Tensor::empty({static_cast<std::int64_t>(kept.size()), filters.dim(1), filters.dim(2), filters.dim(3)});
  float* to = result.mutable_data();
  for (int k : kept) to = std::copy_n(filters.data() + k * size, size, to);
  return result;
}

// filters [K, R, S, C] -> those of `kept` along C.
Tensor keep_channels(const Tensor& filters, const std::vector<int>& kept) {
  const std::int64_t c = filters.dim(3), rows = filters.size() / c;
  Tensor result = Tensor::empty({filters.dim(0), filters.dim(1), filters.dim(2), static_cast<std::int64_t>(kept.size())});
  float* to = result.mutable_data();
  for (std::int64_t row = 0; row < rows; ++row) {
    for (int channel : kept) *to++ = filters.data()[row * c + channel];
  }
  return result;
}

}  // namespace

void mask(const CompressionPlan& plan, const std::vector<FactorPair>& pairs, Network& network) {
  check(plan, pairs, network);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    Tensor& a = network.parameter(pairs[i].pointwise + ".weight").value;
    std::vector<bool> keep(static_cast<std::size_t>(plan.edits[i].rows), false);
    for (int row : plan.edits[i].kept_rows) keep[static_cast<std::size_t>(row)] = true;
    const std::int64_t rank = a.dim(3);
    for (std::int64_t e = 0; e < a.size(); ++e) {
      if (!keep[static_cast<std::size_t>(e % rank)]) a.mutable_data()[e] = 0.0f;
    }
  }
}

Network apply(const CompressionPlan& plan, const std::vector<FactorPair>& pairs, const Network& attached) {
  check(plan, pairs, attached);
  Graph graph = attached.graph();
  std::map<std::string, Tensor> values = attached.values();

  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const FactorPair& pair = pairs[i];
    const LayerEdit& edit = plan.edits[i];
    Tensor& spatial = values.at(pair.spatial + ".weight");
    Tensor& pointwise = values.at(pair.pointwise + ".weight");
    const auto rank = static_cast<std::int64_t>(edit.kept_rows.size());
    spatial = keep_filters(spatial, edit.kept_rows);
    pointwise = keep_channels(pointwise, edit.kept_rows);
    auto& first = std::get<ConvAttributes>(graph.at(graph.find(pair.spatial)).attributes);
    auto& second = std::get<ConvAttributes>(graph.at(graph.find(pair.pointwise)).attributes);
    first.out = second.in = rank;
  }

  // Merged layers: the pointwise node becomes the whole convolution and reads what the spatial one read.
  Graph result{.architecture = graph.architecture, .input = graph.input, .nodes = {}, .output = 0};
  std::vector<int> new_index(graph.nodes.size(), -1);
  for (int n = 0; n < graph.size(); ++n) {
    GraphNode node = graph.at(n);
    const auto merged_half = [&](const std::string FactorPair::* half) -> const FactorPair* {
      for (std::size_t i = 0; i < pairs.size(); ++i) {
        if (pairs[i].*half == node.name && plan.edits[i].form == LayerEdit::Form::kMerged) return &pairs[i];
      }
      return nullptr;
    };
    if (merged_half(&FactorPair::spatial) != nullptr) continue;
    if (const FactorPair* pair = merged_half(&FactorPair::pointwise)) {
      const GraphNode& spatial = graph.at(graph.find(pair->spatial));
      ConvAttributes conv = std::get<ConvAttributes>(spatial.attributes);
      const auto& pointwise = std::get<ConvAttributes>(node.attributes);
      conv.out = pointwise.out, conv.bias = pointwise.bias;
      node.name = pair->layer;
      node.inputs = spatial.inputs;
      node.attributes = conv;
      values[pair->layer + ".weight"] =
          merge(values.at(pair->spatial + ".weight"), values.at(pair->pointwise + ".weight"));
      if (conv.bias) values[pair->layer + ".bias"] = values.at(pair->pointwise + ".bias");
      for (const std::string& old : {pair->spatial + ".weight", pair->pointwise + ".weight", pair->pointwise + ".bias"}) {
        values.erase(old);
      }
    }
    for (int& input : node.inputs) input = new_index[static_cast<std::size_t>(input)];
    result.nodes.push_back(std::move(node));
    new_index[static_cast<std::size_t>(n)] = result.size() - 1;
  }
  result.output = new_index[static_cast<std::size_t>(graph.output)];

  Network network(std::move(result));
  network.set_values(values);
  return network;
}

void extend_proof(Proof& proof, Network& masked, Network& shrunken, const Tensor& images, const Stream& stream) {
  const NoGradients guard;
  const Tensor a = masked.forward(images, {}, stream), b = shrunken.forward(images, {}, stream);
  require(a.shape() == b.shape(), "proof: outputs are {} and {}", a.shape(), b.shape());
  proof.images += images.dim(0);
  if (std::isnan(proof.largest_difference)) return;  // a later batch can't mend it
  for (std::int64_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i]));
    if (!(difference <= proof.largest_difference)) proof.largest_difference = difference;  // takes over NaN
    proof.largest_logit = std::max(proof.largest_logit, std::abs(static_cast<double>(a.data()[i])));
    if (std::isnan(proof.largest_difference)) return;
  }
}

}  // namespace hinge::compress
