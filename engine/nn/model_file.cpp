#include "engine/nn/model_file.h"

#include <nlohmann/json.hpp>

#include "engine/graph/cost.h"
#include "engine/graph/graph_json.h"
#include "engine/io/json.h"
#include "engine/io/safetensors.h"

namespace hinge {
namespace {

constexpr const char* kGraphKey = "hinge.graph";

// out[k][b][a] = in[k][a][b] for filters seen as [K, A, B].
Tensor swap_inner(const Tensor& w, std::int64_t a, std::int64_t b, Shape result) {
  Tensor out = Tensor::empty(result);
  const float* from = w.data();
  float* to = out.mutable_data();
  for (std::int64_t k = 0; k < w.dim(0); ++k) {
    for (std::int64_t i = 0; i < a; ++i) {
      for (std::int64_t j = 0; j < b; ++j) to[(k * b + j) * a + i] = from[(k * a + i) * b + j];
    }
  }
  return out;
}

std::string without_prefix(const std::string& name) {
  constexpr std::string_view kPrefix = "module.";
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

// A graph of 200 bytes can ask for gigabytes of weights: what the file doesn't nearly hold is refused before it is allocated.
// Where only some weights are missing, set_values names them.
void check_holds_weights(const ModelFile& file, const std::string& file_name) {
  constexpr std::int64_t kMissing = 1 << 20;
  std::int64_t held = 0;
  for (const auto& [name, tensor] : file.tensors) held += tensor.size();
  const std::int64_t wanted = cost_of(*file.graph).parameters;
  require(wanted <= 2 * held + kMissing, "{}: its graph has {} parameters, its tensors have {} numbers", file_name, wanted, held);
}

}  // namespace

Tensor filters_to_file_layout(const Tensor& w) {
  require(w.shape().rank() == 4, "filters are {}, expected [K, R, S, C]", w.shape());
  return swap_inner(w, w.dim(1) * w.dim(2), w.dim(3), {w.dim(0), w.dim(3), w.dim(1), w.dim(2)});
}

Tensor filters_from_file_layout(const Tensor& w) {
  require(w.shape().rank() == 4, "filters are {}, expected [K, C, R, S]", w.shape());
  return swap_inner(w, w.dim(1), w.dim(2) * w.dim(3), {w.dim(0), w.dim(2), w.dim(3), w.dim(1)});
}

ModelFile read_model_file(const std::filesystem::path& path) {
  io::TensorFile file = io::read_safetensors(path);
  ModelFile result{.tensors = std::move(file.tensors), .metadata = std::move(file.metadata), .graph = {}};
  if (const auto found = result.metadata.find(kGraphKey); found != result.metadata.end()) {
    try {
      result.graph = graph_from_json(io::parse_json(found->second, path.string() + ": metadata " + kGraphKey));
    } catch (const Error& error) {
      fail("{}: the graph in its metadata can't be used: {}", path.string(), error.what());
    }
  }
  return result;
}

Network network_from(const ModelFile& file, const std::optional<Graph>& graph, const std::string& file_name) {
  const std::optional<Graph>& chosen = file.graph ? file.graph : graph;
  if (!chosen) {
    fail_usage("{}: the file doesn't describe its network; say which it is with --model (and --shortcut)", file_name);
  }
  if (file.graph) check_holds_weights(file, file_name);
  Network network(*chosen);
  std::map<std::string, Tensor> values;
  for (const auto& [stored_name, tensor] : file.tensors) {
    const std::string name = without_prefix(stored_name);
    if (name.ends_with(".num_batches_tracked")) continue;
    const bool filters = network.has_parameter(name) &&
                         network.parameter(name).kind == ParameterKind::kConvWeight &&
                         tensor.shape().rank() == 4 && tensor.dtype() == DType::kFloat32;
    values.emplace(name, filters ? filters_from_file_layout(tensor) : tensor);
  }
  try {
    network.set_values(values);
  } catch (const Error& error) {
    fail("{}: {}", file_name, error.what());
  }
  return network;
}

void write_network(const std::filesystem::path& path, const Network& network, const Metadata& metadata) {
  io::TensorFile file{.tensors = {}, .metadata = metadata};
  for (const auto& [name, tensor] : network.values()) {
    const Tensor here = tensor.to(Device{});
    file.tensors.emplace(name, here.shape().rank() == 4 ? filters_to_file_layout(here) : here);
  }
  file.metadata["format"] = "pt";  // the layout is PyTorch's
  file.metadata["architecture"] = network.graph().architecture;
  file.metadata[kGraphKey] = graph_to_json(network.graph()).dump();
  io::write_safetensors(path, file);
}

}  // namespace hinge
