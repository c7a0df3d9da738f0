#include "engine/io/descriptor.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "engine/core/error.h"
#include "engine/io/system_calls.h"

namespace hinge::io {

namespace fs = std::filesystem;

std::string reason(int error) { return std::generic_category().message(error); }

Descriptor::Descriptor(const fs::path& path, int flags) : value_(system::open(path, flags)) {}

Descriptor::~Descriptor() {
  if (value_ >= 0) ::close(value_);
}

int Descriptor::release() { return std::exchange(value_, -1); }

int write_all(const fs::path& path, int descriptor, std::span<const std::byte> bytes, std::uint64_t& total) {
  while (!bytes.empty()) {
    const ssize_t written = system::write(path, descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    if (written == 0) return EIO;
    total += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return 0;
}

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

void sync_folder(const fs::path& folder) {
  const Descriptor descriptor(folder, O_RDONLY | O_DIRECTORY);
  require(descriptor.get() >= 0, "cannot open folder {}: {}", folder.string(), reason(errno));
  // EINVAL and ENOTSUP: the file system has no such operation, so there is nothing to wait for.
  const bool synced = system::sync(folder, descriptor.get()) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS;
  require(synced, "cannot flush folder {}: {}", folder.string(), reason(errno));
}

}  // namespace hinge::io
