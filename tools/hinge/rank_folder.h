// The run folder as the other ranks have it: a folder of their own, with what rank 0's held when the run began or went on.
//
// So that all code of a run is the same on every rank, and no file system need be shared.
#pragma once

#include <filesystem>
#include <memory>

#include "engine/core/process_group.h"

namespace hinge::cli {

// Removes the folder behind it.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Every rank calls it: the files under `from` on rank 0 come to lie under `to` on the others. `checkpoints`: those alone, or
// everything but them, metrics and events.
void share_files(ProcessGroup& group, const std::filesystem::path& from, const std::filesystem::path& to, bool checkpoints);

}  // namespace hinge::cli
