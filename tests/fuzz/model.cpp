// A model file from end to end: tensors, the graph in the metadata, the network of both. What is taken is written under the
// name it is given, whatever names are inside.
#include "engine/nn/model_file.h"

#include "engine/nn/onnx_file.h"
#include "tests/fuzz/target.h"

using namespace hinge;
using namespace hinge::fuzz;

// The base is what a graph that needs no weights (pools, additions) may take by itself.
HINGE_FUZZ_TARGET(model, "input.safetensors", 16 * kMiB, 96) {
  const std::string path = file_of(bytes, "input.safetensors");
  const Network network = network_from(read_model_file(path), std::nullopt, path);
  const std::string copy = folder() + "/copy.safetensors";
  write_network(copy, network);
  const Network again = network_from(read_model_file(copy), std::nullopt, copy);
  promise(again.graph() == network.graph(), "a network survives being written");
  promise(names_in_folder() == std::vector<std::string>({"copy.safetensors", "input.safetensors"}), "nothing but the copy is written");
}
