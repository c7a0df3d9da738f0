// The calls of the system that this room and data make on files: the one place where a test can let them go wrong (engine/core/fault.h).
//
// As POSIX has them, with errno, but for a path in front where POSIX has a descriptor only, and without EINTR from open.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <filesystem>

namespace hinge::io::system {

int open(const std::filesystem::path& path, int flags);  // created files get 0644; always O_CLOEXEC
ssize_t read(const std::filesystem::path& path, int descriptor, void* bytes, std::size_t size);
// From byte `at` on. A fault of read is one of this call too.
ssize_t read_at(const std::filesystem::path& path, int descriptor, void* bytes, std::size_t size, off_t at);
ssize_t write(const std::filesystem::path& path, int descriptor, const void* bytes, std::size_t size);
int sync(const std::filesystem::path& path, int descriptor);
int rename(const std::filesystem::path& from, const std::filesystem::path& to);
int link(const std::filesystem::path& from, const std::filesystem::path& to);
int truncate(const std::filesystem::path& path, int descriptor, off_t size);
int stat(const std::filesystem::path& path, struct ::stat* status);

}  // namespace hinge::io::system
