// Networks on disk: safetensors with PyTorch's names and layouts, and the graph in the metadata.
//
// In memory filters are K,R,S,C; in the file K,C,R,S (PyTorch's O,I,H,W). A file written here describes itself: the
// metadata entry "hinge.graph" holds the graph as JSON. Files from elsewhere have none and need a graph from outside.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "engine/nn/network.h"

namespace hinge {

using Metadata = std::map<std::string, std::string>;

struct ModelFile {
  std::map<std::string, Tensor> tensors;  // as in the file
  Metadata metadata;
  std::optional<Graph> graph;  // where the file describes itself
};
ModelFile read_model_file(const std::filesystem::path& path);

// The network of a file: its own graph, or `graph` where it has none. A prefix "module." (PyTorch's DataParallel) and
// entries "num_batches_tracked" are dropped. Throws Error naming the file and every name or shape that doesn't fit.
Network network_from(const ModelFile& file, const std::optional<Graph>& graph, const std::string& file_name);

// Writes atomically; `metadata` is added to the graph's.
void write_network(const std::filesystem::path& path, const Network& network, const Metadata& metadata = {});

// [K, R, S, C] <-> [K, C, R, S]
Tensor filters_to_file_layout(const Tensor& w);
Tensor filters_from_file_layout(const Tensor& w);

}  // namespace hinge
