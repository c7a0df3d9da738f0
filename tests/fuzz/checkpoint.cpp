// A run's checkpoint: bytes with a right checksum are taken, saved beside and read back; names inside lead nowhere. A wrong
// checksum is put right once: behind it is what no mutation reaches by chance.
#include "engine/io/checkpoint.h"

#include <nlohmann/json.hpp>
#include <regex>

#include "engine/core/error.h"
#include "engine/io/json.h"
#include "tests/fuzz/target.h"

using namespace hinge;
using namespace hinge::fuzz;

namespace {

std::optional<io::Checkpoint> load(std::string bytes) {
  file_of(bytes, "checkpoint.safetensors");
  try {
    return io::load_checkpoint(folder(), "checkpoint");
  } catch (const Error& error) {
    static const std::regex kChecksums("checksum ([0-9a-f]{8}), expected ([0-9a-f]{8});");
    std::cmatch found;
    if (!std::regex_search(error.what(), found, kChecksums)) throw;
    const std::size_t place = bytes.find(found[2].str());
    if (place == std::string::npos) throw;  // written with escapes
    file_of(bytes.replace(place, 8, found[1].str()), "checkpoint.safetensors");
  }
  return io::load_checkpoint(folder(), "checkpoint");
}

}  // namespace

HINGE_FUZZ_TARGET(checkpoint, "checkpoint.safetensors", kMiB, 96) {
  const std::optional<io::Checkpoint> found = load(std::string(bytes));
  promise(found.has_value(), "a file that is there is read or refused");
  io::save_checkpoint(folder(), "copy", *found);
  const std::optional<io::Checkpoint> again = io::load_checkpoint(folder(), "copy");
  promise(again && io::json_text(again->state, "") == io::json_text(found->state, ""), "a state survives being saved");
  promise(again->tensors.size() == found->tensors.size(), "tensors survive being saved");
  promise(names_in_folder() == std::vector<std::string>({"checkpoint.safetensors", "copy.safetensors"}), "nothing but the copy is written");
}
