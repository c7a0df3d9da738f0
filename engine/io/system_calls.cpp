#include "engine/io/system_calls.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "engine/core/fault.h"
#include "engine/io/file.h"

namespace hinge::io::system {
namespace {

// -1 with errno set where this call is to fail, else 0.
int failure(Call call, const std::filesystem::path& path) {
  const int error = error_in(call, path.native());
  if (error == 0) return 0;
  errno = error;
  return -1;
}

}  // namespace

int open(const std::filesystem::path& path, int flags) {
  if (failure((flags & O_CREAT) != 0 ? Call::kCreate : Call::kOpen, path) != 0) return -1;
  int descriptor = -1;
  do {
    descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

ssize_t read(const std::filesystem::path& path, int descriptor, void* bytes, std::size_t size) {
  return failure(Call::kRead, path) != 0 ? -1 : ::read(descriptor, bytes, size);
}

ssize_t read_at(const std::filesystem::path& path, int descriptor, void* bytes, std::size_t size, off_t at) {
  return failure(Call::kRead, path) != 0 ? -1 : ::pread(descriptor, bytes, size, at);
}

ssize_t write(const std::filesystem::path& path, int descriptor, const void* bytes, std::size_t size) {
  std::int64_t& budget = faults().fail_write_after_bytes;
  if (budget == 0) {
    errno = faults().error;
    return -1;
  }
  if (budget > 0) size = std::min(size, static_cast<std::size_t>(budget));
  const Fault fault = fault_in(Call::kWrite, path.native());
  if (fault.kind == Fault::Kind::kError) {
    errno = fault.error;
    return -1;
  }
  if (fault.kind != Fault::Kind::kNone) size = std::max<std::size_t>(size / 2, std::min<std::size_t>(size, 1));
  const ssize_t written = ::write(descriptor, bytes, size);
  if (fault.kind == Fault::Kind::kKill) die();
  if (budget > 0 && written > 0) budget -= written;
  return written;
}

int sync(const std::filesystem::path& path, int descriptor) {
  return failure(Call::kSync, path) != 0 ? -1 : ::fsync(descriptor);
}

int rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  return failure(Call::kRename, to) != 0 ? -1 : ::rename(from.c_str(), to.c_str());
}

int link(const std::filesystem::path& from, const std::filesystem::path& to) {
  return failure(Call::kLink, to) != 0 ? -1 : ::link(from.c_str(), to.c_str());
}

int truncate(const std::filesystem::path& path, int descriptor, off_t size) {
  return failure(Call::kTruncate, path) != 0 ? -1 : ::ftruncate(descriptor, size);
}

int stat(const std::filesystem::path& path, struct ::stat* status) {
  return failure(Call::kStat, path) != 0 ? -1 : ::stat(path.c_str(), status);
}

}  // namespace hinge::io::system
