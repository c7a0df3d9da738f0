// IDX files, plain or compressed. The first byte says whether images or labels are meant, or a whole folder of both.
#include "data/idx.h"

#include "tests/fuzz/target.h"

using namespace hinge;
using namespace hinge::fuzz;

// zlib expands by at most 1032; growing a vector holds the old and the new at once, and runs a chunk of 1 MiB ahead.
HINGE_FUZZ_TARGET(idx, "input.gz", 8 * kMiB, 4 * 1032) {
  if (bytes.empty()) return;
  const bool labels = bytes[0] & 1;
  const std::string path = file_of(bytes.substr(1), "input.gz");
  if (labels) {
    promise(!data::read_idx_labels(path).empty(), "a file of labels has labels");
  } else {
    const data::IdxImages images = data::read_idx_images(path);
    const auto extent = [](int value) { return static_cast<std::size_t>(value); };
    promise(images.pixels.size() == extent(images.count) * extent(images.height) * extent(images.width), "as many pixels as the header says");
  }
}
