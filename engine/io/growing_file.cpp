#include "engine/io/growing_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/system_calls.h"

namespace hinge::io {
namespace {

void check(bool done, int error, const std::filesystem::path& path, std::uint64_t written) {
  require(done, "cannot write {}: {} (wrote {} bytes)", path.string(), std::generic_category().message(error), written);
}

}  // namespace

GrowingFile::GrowingFile(std::filesystem::path path) : path_(std::move(path)), partial_(partial_path(path_)), descriptor_(system::open(partial_, O_WRONLY | O_CREAT | O_TRUNC)) {
  const int error = errno;
  check(descriptor_ >= 0, error, path_, 0);
}

GrowingFile::~GrowingFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(partial_.c_str());
}

void GrowingFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = system::write(partial_, descriptor_, bytes.data(), bytes.size());
    const int error = written == 0 ? EIO : errno;
    if (written < 0 && error == EINTR) continue;
    check(written > 0, error, path_, size_);
    size_ += static_cast<std::uint64_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void GrowingFile::finish() {
  const bool synced = system::sync(partial_, descriptor_) == 0;
  const int error = errno;
  check(synced, error, path_, size_);
  replace_file(partial_, path_);
  ::close(std::exchange(descriptor_, -1));
}

}  // namespace hinge::io
