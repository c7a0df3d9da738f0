// A file that is written piece by piece, and has its name only when all of it is on the disk. For what is too large to be put
// together in memory; write_file_atomically (file.h) is one piece of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

#include "engine/io/descriptor.h"

namespace hinge::io {

class GrowingFile {
 public:
  // Prepared as partial_path(path). An Error of any call names `path` and how far it came, of `total` bytes where that is known.
  explicit GrowingFile(std::filesystem::path path, std::optional<std::uint64_t> total = {});
  // Unless it is finished nothing of it stays, and what was called `path` before is untouched.
  ~GrowingFile();
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;

  void append(std::string_view bytes) { append(as_bytes(bytes)); }
  void append(std::span<const std::byte> bytes);
  std::uint64_t size() const { return size_; }
  // On the disk, and under its name.
  void finish();

 private:
  void check(int error) const;

  std::filesystem::path path_, partial_;
  std::optional<std::uint64_t> total_;
  Descriptor descriptor_;
  std::uint64_t size_ = 0;
  bool named_ = false;
};

}  // namespace hinge::io
