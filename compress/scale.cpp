#include "compress/scale.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace hinge::compress {

double frobenius_norm(const Tensor& tensor) {
  double squares = 0.0;
  const Tensor here = tensor.to(Device{});
  for (float value : here.values()) squares += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(squares);
}

ScaleKeeper::ScaleKeeper(const Structure& structure, const Network& network) {
  const Graph& graph = structure.attached;
  const auto consumers = consumers_of(graph);
  const auto outputs = graph.outputs();
  const std::vector<FeatureShape> shapes = infer_shapes(graph);
  // Follows channels [offset, offset + count) of `node` to BatchNorms; false if anything else reads them.
  const auto follow = [&](auto&& self, int node, std::int64_t offset, std::int64_t count, std::vector<Reader>& found) -> bool {
    if (std::ranges::find(outputs, node) != outputs.end()) return false;
    for (int next : consumers[static_cast<std::size_t>(node)]) {
      const GraphNode& reader = graph.at(next);
      switch (reader.kind) {
        case OpKind::kBatchNorm:
          if (!reader.weights_of.empty()) return false;
          found.push_back({reader.name, offset, count});
          break;
        case OpKind::kMaxPool:
        case OpKind::kAveragePool:
        case OpKind::kGlobalAveragePool:
          if (!self(self, next, offset, count, found)) return false;
          break;
        case OpKind::kConcat: {
          std::int64_t start = 0;
          for (int input : reader.inputs) {
            if (input == node && !self(self, next, start + offset, count, found)) return false;
            start += shapes[static_cast<std::size_t>(input)].c;
          }
          break;
        }
        default: return false;
      }
    }
    return !found.empty();
  };
  std::set<int> banks;
  for (const GroupSet& set : structure.sets) {
    for (const Slice& slice : set.slices) banks.insert(slice.node);
  }
  for (int node : banks) {
    std::vector<Reader> found;
    const std::string& name = graph.at(node).name;
    if (!follow(follow, node, 0, shapes[static_cast<std::size_t>(node)].c, found)) continue;
    readers_[name] = std::move(found);
    norms_[name] = frobenius_norm(network.value(name + ".weight"));
  }
}

void ScaleKeeper::restore(Network& network) const {
  const auto multiply = [](Tensor& tensor, std::int64_t first, std::int64_t count, double factor) {
    Tensor here = tensor.to(Device{});  // rare, and of a few values: not worth a kernel
    float* values = here.mutable_data() + first;
    for (std::int64_t i = 0; i < count; ++i) values[i] = static_cast<float>(static_cast<double>(values[i]) * factor);
    tensor.copy_from(here);
  };
  for (const auto& [name, readers] : readers_) {
    Tensor& filters = network.parameter(name + ".weight").value;
    const double now = frobenius_norm(filters), before = norms_.at(name);
    if (!(now > 0.0) || !(before > 0.0)) continue;
    const double factor = before / now;
    multiply(filters, 0, filters.size(), factor);
    if (network.has_parameter(name + ".bias")) {
      Tensor& bias = network.parameter(name + ".bias").value;
      multiply(bias, 0, bias.size(), factor);
    }
    for (const Reader& reader : readers) {
      multiply(network.buffer(reader.norm + ".running_mean").value, reader.offset, reader.count, factor);
      multiply(network.buffer(reader.norm + ".running_var").value, reader.offset, reader.count, factor * factor);
    }
  }
}

}  // namespace hinge::compress
