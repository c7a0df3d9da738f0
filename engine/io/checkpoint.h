// Checkpoints: tensors and a JSON state in one safetensors file, protected by a checksum.
//
//   FOLDER/NAME.safetensors            the newest
//   FOLDER/NAME.previous.safetensors   the one before
//   __metadata__: {"format": "hinge-checkpoint-1", "state": JSON text, "crc32": 8 hex digits}
//
// The checksum covers the state's text and the name, type, shape and elements of every tensor.
// While a checkpoint is saved, at every instant at least one whole checkpoint has one of the two
// names, so a process may be killed at any point.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/core/tensor.h"

namespace hinge::io {

struct Checkpoint {
  nlohmann::json state;
  std::map<std::string, Tensor> tensors;
  // Set by load_checkpoint if the newest file was unusable: which file, why, and what was read
  // in its place. Empty otherwise; not saved.
  std::string warning = {};
};

// Writes FOLDER/NAME.safetensors and keeps the one before as FOLDER/NAME.previous.safetensors.
// Creates no folder. If the new file can't be written, both files are as they were.
void save_checkpoint(const std::filesystem::path& folder, const std::string& name,
                     const Checkpoint& checkpoint);

// The newest whole checkpoint; nothing if there is neither file. Throws an Error that names each
// file and its damage if none of those present is whole.
std::optional<Checkpoint> load_checkpoint(const std::filesystem::path& folder,
                                          const std::string& name);

}  // namespace hinge::io
