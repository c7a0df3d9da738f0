#include "engine/io/growing_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/system_calls.h"

namespace hinge::io {

GrowingFile::GrowingFile(std::filesystem::path path, std::optional<std::uint64_t> total) : path_(std::move(path)), partial_(partial_path(path_)), total_(total), descriptor_(partial_, O_WRONLY | O_CREAT | O_TRUNC) {
  check(descriptor_.get() >= 0 ? 0 : errno);
}

GrowingFile::~GrowingFile() {
  if (!named_) ::unlink(partial_.c_str());
}

void GrowingFile::append(std::span<const std::byte> bytes) { check(write_all(partial_, descriptor_.get(), bytes, size_)); }

void GrowingFile::finish() {
  check(system::sync(partial_, descriptor_.get()) == 0 ? 0 : errno);
  check(system::rename(partial_, path_) == 0 ? 0 : errno);
  named_ = true;
  ::close(descriptor_.release());
  sync_folder(folder_of(path_));
}

void GrowingFile::check(int error) const {
  if (error == 0) return;
  fail("cannot write {}: {} (wrote {}{} bytes)", path_.string(), reason(error), size_, total_ ? fmt::format(" of {}", *total_) : "");
}

}  // namespace hinge::io
