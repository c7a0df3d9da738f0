// Reading and writing whole files: the one thin layer through which the engine's bytes reach a
// disk.
//
// A file written here is either the old one or the new one, never half of either: the bytes go to
// NAME.partial-HOST-PID in the same folder, are flushed to the disk, and take the name by a rename.
// Of processes that write one file at once the last one's stays, also where they are on several
// machines, or in containers with a host name each. One writer at a time in a process; FolderLock
// keeps a second process out of a run's folder.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace hinge::io {

// The whole file. An Error names the file and the reason.
std::string read_file(const std::filesystem::path& path, std::uint64_t max_bytes = 4ULL << 30);

// Writes the concatenation of `parts` under the name `path`. On failure the file that was there
// before is untouched, no temporary file stays behind, and the Error says how far it came. What a
// process of this machine that was killed left of an earlier attempt is removed.
// "cannot write run/model.safetensors: No space left on device (wrote 4096 of 1079040 bytes)".
void write_file_atomically(const std::filesystem::path& path,
                           std::span<const std::span<const std::byte>> parts);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

// Renames `from` to `to` in the same folder, replacing `to`; both names are on the disk on return.
void replace_file(const std::filesystem::path& from, const std::filesystem::path& to);

// A second name for the same bytes: a hard link, or a copy where the file system has no links.
void link_or_copy(const std::filesystem::path& from, const std::filesystem::path& to);

// The name under which this process prepares `path`: "PATH.partial-box-1234".
std::filesystem::path partial_path(const std::filesystem::path& path);

// A log of lines, such as metrics.jsonl, or of records, opened for appending and created if missing.
class AppendFile {
 public:
  explicit AppendFile(std::filesystem::path path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  // Appends `text` and a newline in one write(). On failure no part of the line stays in the file.
  void line(std::string_view text);
  // Appends `bytes` in one write(); the same on failure.
  void append(std::string_view bytes);
  std::uint64_t size() const;
  // Forgets everything behind the first `bytes` bytes.
  void truncate(std::uint64_t bytes);

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// Holds FOLDER/.lock, with our process id in it, until destroyed. If it is taken, throws an Error:
// "run/a is in use by process 1234". Partial files of processes of this
// machine that died are removed on entry.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_ = -1;
};

// For tests: after `fail_write_after_bytes` further bytes every write() fails with `error`.
// A negative count means that nothing fails. Not for use from several threads.
struct FaultInjection {
  std::int64_t fail_write_after_bytes = -1;
  int error = ENOSPC;
};
FaultInjection& faults();

}  // namespace hinge::io
