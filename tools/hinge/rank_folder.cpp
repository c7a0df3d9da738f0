#include "tools/hinge/rank_folder.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "engine/core/error.h"
#include "engine/io/file.h"

namespace hinge::cli {
namespace {

constexpr const char* kPrefix = "hinge-rank-";
constexpr std::uint64_t kMost = std::uint64_t{1} << 40;

bool is_checkpoint(const std::filesystem::path& path) { return path.filename().string().starts_with("checkpoint"); }
// What rank 0 alone writes.
bool is_record(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  return name == "metrics.jsonl" || name.starts_with("events.") || name == ".lock" || name.ends_with(".html");
}

// Those of processes that were killed: their name ends in a process id that is nobody's.
void remove_left_ones(const std::filesystem::path& place) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(place, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    const int process = std::atoi(name.c_str() + std::strlen(kPrefix));
    if (process > 0 && kill(process, 0) != 0 && errno == ESRCH) std::filesystem::remove_all(entry.path(), ignored);
  }
}

}  // namespace

ScratchFolder::ScratchFolder() {
  const std::filesystem::path place = std::filesystem::temp_directory_path();
  remove_left_ones(place);
  path_ = place / fmt::format("{}{}", kPrefix, getpid());
  std::filesystem::remove_all(path_);  // of an earlier process of this number
  require(std::filesystem::create_directory(path_), "cannot create {}", path_.string());
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void share_files(ProcessGroup& group, const std::filesystem::path& from, const std::filesystem::path& to, bool checkpoints) {
  const bool giving = group.rank() == 0;
  std::vector<std::string> names;
  for (const auto& entry : giving ? std::filesystem::recursive_directory_iterator(from) : std::filesystem::recursive_directory_iterator()) {
    if (entry.is_regular_file() && is_checkpoint(entry.path()) == checkpoints && !is_record(entry.path())) names.push_back(entry.path().lexically_relative(from).string());
  }
  std::ranges::sort(names);
  std::string list;
  for (const std::string& name : names) list += name + '\n';
  list = group.broadcast(list, 0);
  for (std::size_t at = 0; at < list.size();) {
    const std::size_t end = list.find('\n', at);
    const std::string name = list.substr(at, end - at);
    at = end + 1;
    const std::string bytes = group.broadcast(giving ? io::read_file(from / name, kMost) : "", 0);
    if (giving) continue;
    std::filesystem::create_directories((to / name).parent_path());
    io::write_file_atomically(to / name, bytes);
  }
}

}  // namespace hinge::cli
