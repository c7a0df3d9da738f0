// Saving and loading checkpoints: the order of renames that never leaves a folder without one.
#include "engine/io/checkpoint.h"

#include <zlib.h>

#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/json.h"
#include "engine/io/safetensors.h"

namespace hinge::io {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "hinge-checkpoint-1";

class Checksum {
 public:
  // The size goes in as well, so that "ab" + "c" and "a" + "bc" differ.
  void add(std::span<const std::byte> bytes) {
    const std::uint64_t size = bytes.size();
    value_ = ::crc32_z(value_, reinterpret_cast<const Bytef*>(&size), sizeof(size));
    // Without this test a null pointer would set the checksum back to its initial value.
    if (!bytes.empty()) {
      value_ = ::crc32_z(value_, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
    }
  }
  void add(std::string_view text) { add(std::as_bytes(std::span(text.data(), text.size()))); }
  std::string hex() const { return fmt::format("{:08x}", value_); }

 private:
  uLong value_ = ::crc32_z(0, nullptr, 0);
};

std::string checksum(std::string_view state, const std::map<std::string, Tensor>& tensors) {
  Checksum sum;
  sum.add(kFormat);
  sum.add(state);
  for (const auto& [name, tensor] : tensors) {
    sum.add(name);
    sum.add(name_of(tensor.dtype()));
    sum.add(std::as_bytes(tensor.shape().extents()));
    sum.add(bytes_of(tensor));
  }
  return sum.hex();
}

fs::path newest_path(const fs::path& folder, const std::string& name) {
  return folder / (name + ".safetensors");
}

fs::path previous_path(const fs::path& folder, const std::string& name) {
  return folder / (name + ".previous.safetensors");
}

// An Error, rather than "no", where the folder can't be looked into: a run must not start afresh.
bool is_there(const fs::path& path) {
  std::error_code error;
  const bool found = fs::exists(path, error);
  require(!error, "cannot look for {}: {}", path.string(), error.message());
  return found;
}

// One file, or an Error that names it and says what is wrong with it.
Checkpoint load_file(const fs::path& path) {
  TensorFile file = read_safetensors(path);
  const auto metadata = [&](const char* key) -> const std::string& {
    const auto found = file.metadata.find(key);
    require(found != file.metadata.end(), "{}: not a checkpoint, its metadata has no \"{}\"",
            path.string(), key);
    return found->second;
  };
  require(metadata("format") == kFormat, "{}: format \"{}\", expected \"{}\"", path.string(),
          metadata("format"), kFormat);
  const std::string found = checksum(metadata("state"), file.tensors);
  require(found == metadata("crc32"), "{}: damaged, its content has checksum {}, expected {}",
          path.string(), found, metadata("crc32"));
  nlohmann::json state = parse_json(metadata("state"), path.string() + ": state");
  return {std::move(state), std::move(file.tensors)};
}

}  // namespace

void save_checkpoint(const fs::path& folder, const std::string& name,
                     const Checkpoint& checkpoint) {
  const fs::path newest = newest_path(folder, name);
  const fs::path previous = previous_path(folder, name);
  for (const auto& [tensor_name, tensor] : checkpoint.tensors) {
    require(tensor.defined(), "{}: tensor \"{}\" has no elements", newest.string(), tensor_name);
  }
  const std::string state = json_text(checkpoint.state, newest.string() + ": state");
  const std::string sum = checksum(state, checkpoint.tensors);
  const TensorFile file{checkpoint.tensors,
                        {{"format", kFormat}, {"state", state}, {"crc32", sum}}};

  if (!is_there(newest)) {
    write_safetensors(newest, file);
    return;
  }
  // The old file gets a third name, then the new one takes its first name, and only then the old
  // one replaces the previous. Were the previous replaced first, a damaged old file could push out
  // the only whole one.
  const fs::path aside = partial_path(previous);
  link_or_copy(newest, aside);
  try {
    write_safetensors(newest, file);
    replace_file(aside, previous);
  } catch (const Error&) {
    std::error_code ignored;
    fs::remove(aside, ignored);
    throw;
  }
}

std::optional<Checkpoint> load_checkpoint(const fs::path& folder, const std::string& name) {
  const fs::path newest = newest_path(folder, name);
  const fs::path previous = previous_path(folder, name);
  const bool has_newest = is_there(newest);
  if (!has_newest && !is_there(previous)) return std::nullopt;

  std::string damage = newest.string() + ": missing";
  if (has_newest) {
    try {
      return load_file(newest);
    } catch (const Error& error) {
      damage = error.what();
    }
  }
  try {
    Checkpoint checkpoint = load_file(previous);
    checkpoint.warning = fmt::format("{}; read {} in its place", damage, previous.string());
    return checkpoint;
  } catch (const Error& error) {
    fail("no usable checkpoint {} in {}: {}; {}", name, folder.string(), damage, error.what());
  }
}

}  // namespace hinge::io
