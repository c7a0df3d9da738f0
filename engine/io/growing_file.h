// A file that is written piece by piece, and has its name only when all of it is on the disk. For what is too large to be put
// together in memory for write_file_atomically (file.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace hinge::io {

class GrowingFile {
 public:
  // Prepared as partial_path(path). An Error of any call names `path` and how far it came.
  explicit GrowingFile(std::filesystem::path path);
  // Unless it is finished nothing of it stays, and what was called `path` before is untouched.
  ~GrowingFile();
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;

  void append(std::string_view bytes);
  std::uint64_t size() const { return size_; }
  // On the disk, and under its name.
  void finish();

 private:
  std::filesystem::path path_, partial_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace hinge::io
