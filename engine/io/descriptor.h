// What file.cpp and growing_file.cpp share: an open file that closes itself, and bytes that all reach it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace hinge::io {

// Asked for in a statement behind the call: the order in which arguments are evaluated is left to compilers.
std::string reason(int error);

class Descriptor {
 public:
  // Negative, with errno set, if the file can't be opened.
  Descriptor(const std::filesystem::path& path, int flags);
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return value_; }
  int release();

 private:
  int value_ = -1;
};

// Writes all of `bytes` and adds to `total` what reached the file. Returns 0 or the errno.
int write_all(const std::filesystem::path& path, int descriptor, std::span<const std::byte> bytes, std::uint64_t& total);

std::filesystem::path folder_of(const std::filesystem::path& path);

// Makes a rename in `folder` outlast a power cut.
void sync_folder(const std::filesystem::path& folder);

inline std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

}  // namespace hinge::io
