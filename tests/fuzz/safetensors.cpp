// A safetensors file: what is taken can be asked for every tensor, and comes back the same when written.
#include "engine/io/safetensors.h"

#include "tests/fuzz/target.h"

using namespace hinge;
using namespace hinge::fuzz;

// 64 bytes a byte: "[]," in a shape is a JSON value and its vector, a key lies in the tree and in the set of keys seen.
HINGE_FUZZ_TARGET(safetensors, "input.safetensors", kMiB, 64) {
  const io::SafetensorsFile file{std::string(bytes), "input.safetensors"};
  for (const std::string& name : file.names()) {
    const Tensor tensor = file.tensor(name);
    promise(io::bytes_of(tensor).size() == tensor.bytes(), "a tensor has as many bytes as its shape says");
    promise(tensor.bytes() <= 2 * bytes.size(), "a tensor is no larger than the file (half numbers become twice as large)");
  }
  const io::TensorFile read = io::parse_safetensors(bytes, "input.safetensors");
  const std::string header = io::serialize_header(read, "input.safetensors");
  promise(header.size() % 8 == 0, "a header ends where elements are aligned");
}
