// The calls of the system that file.cpp makes: the one place where a test can let them go wrong (engine/core/fault.h).
//
// As POSIX has them, with errno, but for a path in front where POSIX has a descriptor only, and without EINTR from open.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>

namespace hinge::io::system {

int open(const std::filesystem::path& path, int flags);  // created files get 0644; always O_CLOEXEC
ssize_t read(const std::filesystem::path& path, int descriptor, void* bytes, std::size_t size);
ssize_t write(const std::filesystem::path& path, int descriptor, const void* bytes, std::size_t size);
int sync(const std::filesystem::path& path, int descriptor);
int rename(const std::filesystem::path& from, const std::filesystem::path& to);
int link(const std::filesystem::path& from, const std::filesystem::path& to);
int truncate(const std::filesystem::path& path, int descriptor, off_t size);

}  // namespace hinge::io::system
