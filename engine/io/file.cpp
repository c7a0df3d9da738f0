// Whole files through the calls of system_calls.h.
#include "engine/io/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <mutex>
#include <set>
#include <system_error>
#include <utility>

#include "engine/core/error.h"
#include "engine/io/descriptor.h"
#include "engine/io/growing_file.h"
#include "engine/io/system_calls.h"

namespace hinge::io {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPartialMark = ".partial-";

// This machine's name in a file's: letters, digits, '-' and '_'.
std::string host_name() {
  char text[256] = "";
  if (::gethostname(text, sizeof text - 1) != 0 || text[0] == '\0') return "unknown";
  std::string name = text;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-') c = '_';
  }
  return name;
}

// The number that makes up all of `text`; 0 if it isn't one.
pid_t process_id(std::string_view text) {
  pid_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  return error == std::errc() && end == text.data() + text.size() && id > 0 ? id : 0;
}

// Removes what processes of this machine that no longer exist were writing into `folder` when they died: files whose names begin
// with `begin`. Of another machine's processes nothing is known here. A name without a machine is an older version's, and was
// always taken for this one's. An own id is another process's too, of a container that was restarted.
void remove_orphans(const fs::path& folder, std::string_view begin = {}) {
  const std::string here = host_name();
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const std::size_t mark = name.rfind(kPartialMark);
    if (mark == std::string::npos || !name.starts_with(begin)) continue;
    std::string_view writer = std::string_view(name).substr(mark + kPartialMark.size());
    if (const std::size_t dash = writer.rfind('-'); dash != std::string_view::npos) {
      if (writer.substr(0, dash) != here) continue;
      writer.remove_prefix(dash + 1);
    }
    const pid_t id = process_id(writer);
    const bool gone = id == ::getpid() || (::kill(id, 0) != 0 && errno == ESRCH);
    if (id > 0 && gone) fs::remove(entry.path(), ignored);
  }
}

// Before the first time this process writes `path`.
void remove_orphans_of(const fs::path& path) {
  static std::mutex mutex;
  static auto* seen = new std::set<fs::path>;  // never destroyed: files are written late
  const std::lock_guard lock(mutex);
  if (!seen->insert(fs::absolute(path)).second) return;
  remove_orphans(folder_of(path), path.filename().string() + std::string(kPartialMark));
}

}  // namespace

FaultInjection& faults() {
  static FaultInjection injection;
  return injection;
}

std::string read_file(const fs::path& path, std::uint64_t max_bytes) {
  const Descriptor descriptor(path, O_RDONLY);
  require(descriptor.get() >= 0, "cannot read {}: {}", path.string(), reason(errno));
  struct stat status {};
  const bool looked = ::fstat(descriptor.get(), &status) == 0;
  require(looked, "cannot read {}: {}", path.string(), reason(errno));
  const auto expected = static_cast<std::uint64_t>(std::max<off_t>(status.st_size, 0));
  require(expected <= max_bytes, "cannot read {}: it has {} bytes, at most {} are expected",
          path.string(), expected, max_bytes);

  // One byte more than the size, so that the end of the file is seen without growing the buffer.
  std::string content(expected + 1, '\0');
  std::size_t size = 0;
  while (true) {
    if (size == content.size()) content.resize(content.size() + (1 << 16));
    const ssize_t got = system::read(path, descriptor.get(), content.data() + size, content.size() - size);
    if (got < 0 && errno == EINTR) continue;
    require(got >= 0, "cannot read {}: {}", path.string(), reason(errno));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
    require(size <= max_bytes, "cannot read {}: it has more than the {} bytes expected at most",
            path.string(), max_bytes);
  }
  content.resize(size);
  return content;
}

fs::path partial_path(const fs::path& path) {
  return fmt::format("{}{}{}-{}", path.string(), kPartialMark, host_name(), ::getpid());
}

void write_file_atomically(const fs::path& path,
                           std::span<const std::span<const std::byte>> parts) {
  std::uint64_t total = 0;
  for (const auto& part : parts) total += part.size();
  remove_orphans_of(path);
  GrowingFile file(path, total);
  for (const auto& part : parts) file.append(part);
  file.finish();
}

void write_file_atomically(const fs::path& path, std::string_view text) {
  const std::span<const std::byte> parts[] = {as_bytes(text)};
  write_file_atomically(path, parts);
}

void replace_file(const fs::path& from, const fs::path& to) {
  const bool renamed = system::rename(from, to) == 0;
  require(renamed, "cannot rename {} to {}: {}", from.string(), to.string(), reason(errno));
  // rename() does nothing if both names already mean the same file.
  if (from != to) ::unlink(from.c_str());
  sync_folder(folder_of(to));
}

void link_or_copy(const fs::path& from, const fs::path& to) {
  ::unlink(to.c_str());
  if (system::link(from, to) != 0) write_file_atomically(to, read_file(from, UINT64_MAX));
}

AppendFile::AppendFile(fs::path path) : path_(std::move(path)) {
  Descriptor descriptor(path_, O_WRONLY | O_CREAT | O_APPEND);
  require(descriptor.get() >= 0, "cannot append to {}: {}", path_.string(), reason(errno));
  descriptor_ = descriptor.release();
}

AppendFile::~AppendFile() { ::close(descriptor_); }

void AppendFile::line(std::string_view text) {
  require(text.find('\n') == std::string_view::npos,
          "cannot append to {}: a line break inside of a line", path_.string());
  append(std::string(text) + '\n');
}

void AppendFile::append(std::string_view whole) {
  const std::uint64_t before = size();
  std::uint64_t written = 0;
  const int error = write_all(path_, descriptor_, as_bytes(whole), written);
  if (error == 0) return;
  // Readers expect whole lines and records, so a begun one is taken back.
  const bool clean = written == 0 || system::truncate(path_, descriptor_, static_cast<off_t>(before)) == 0;
  fail("cannot append to {}: {} (wrote {} of {} bytes{})", path_.string(), reason(error), written,
       whole.size(), clean ? "" : ", and they could not be taken back");
}

std::uint64_t AppendFile::size() const {
  struct stat status {};
  const bool looked = ::fstat(descriptor_, &status) == 0;
  require(looked, "cannot tell the size of {}: {}", path_.string(), reason(errno));
  return static_cast<std::uint64_t>(status.st_size);
}

void AppendFile::truncate(std::uint64_t bytes) {
  require(bytes <= size(), "cannot cut {} to {} bytes: it has {}", path_.string(), bytes, size());
  const bool cut = system::truncate(path_, descriptor_, static_cast<off_t>(bytes)) == 0;
  require(cut, "cannot cut {}: {}", path_.string(), reason(errno));
}

FolderLock::FolderLock(const fs::path& folder) {
  const fs::path path = folder / ".lock";
  Descriptor descriptor(path, O_RDWR | O_CREAT);
  require(descriptor.get() >= 0, "cannot lock {}: {}", folder.string(), reason(errno));
  if (::flock(descriptor.get(), LOCK_EX | LOCK_NB) != 0) {
    require(errno == EWOULDBLOCK, "cannot lock {}: {}", folder.string(), reason(errno));
    const pid_t holder = process_id(read_file(path, 1 << 10));
    // Between taking the lock and writing its id the holder is nameless.
    if (holder == 0) fail("{} is in use by another process", folder.string());
    fail("{} is in use by process {}", folder.string(), holder);
  }
  const std::string id = std::to_string(::getpid());
  std::uint64_t written = 0;
  int error = system::truncate(path, descriptor.get(), 0) == 0 ? 0 : errno;
  if (error == 0) error = write_all(path, descriptor.get(), as_bytes(id), written);
  require(error == 0, "cannot lock {}: {}", folder.string(), reason(error));
  remove_orphans(folder);
  descriptor_ = descriptor.release();
}

FolderLock::~FolderLock() {
  // The file stays: removing it would let two processes hold locks on two files of one name.
  // An id that stays behind does no harm: whoever takes the lock next overwrites it.
  [[maybe_unused]] const int emptied = ::ftruncate(descriptor_, 0);
  ::close(descriptor_);
}

}  // namespace hinge::io
