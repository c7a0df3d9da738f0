#include "tests/fuzz/target.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "engine/core/error.h"
#include "tests/fuzz/memory.h"

namespace hinge::fuzz {
namespace {

namespace fs = std::filesystem;

std::vector<Target>& list() {
  static std::vector<Target> all;
  return all;
}

// Removed with all it holds when the process ends.
class OwnFolder {
 public:
  OwnFolder() {
    std::error_code ignored;
    const fs::path parent = fs::is_directory("/dev/shm", ignored) ? fs::path("/dev/shm") : fs::temp_directory_path();
    std::string pattern = (parent / "hinge-fuzz-XXXXXX").string();
    require(::mkdtemp(pattern.data()) != nullptr, "fuzz: cannot create {}", pattern);
    path_ = fs::path(pattern) / "run";
    fs::create_directory(path_);
  }
  ~OwnFolder() {
    std::error_code ignored;
    fs::remove_all(path_.parent_path(), ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

const fs::path& own_folder() {
  static const OwnFolder folder;
  return folder.path();
}

}  // namespace

const std::vector<Target>& targets() { return list(); }

bool add_target(const Target& target) {
  list().push_back(target);
  return true;
}

void promise(bool condition, const char* what) {
  if (!condition) throw std::logic_error(what);
}

bool hold(const Target& target, std::string_view bytes) {
  for (const auto& entry : fs::directory_iterator(own_folder())) fs::remove_all(entry.path());
  const std::size_t most = target.base + target.per_byte * bytes.size();
  bool taken = true;
  std::string refusal;
  std::size_t peak = 0;
  {
    const MemoryWatch watch;
    try {
      target.run(bytes);
    } catch (const Error& error) {
      taken = false;
      refusal = error.what();
    }
    peak = watch.peak();
  }
  if (peak > most) throw std::logic_error(fmt::format("{}: {} bytes of memory for an input of {}, expected at most {}", target.name, peak, bytes.size(), most));
  if (!taken && refusal.find(target.origin) == std::string::npos) {
    throw std::logic_error(fmt::format("{}: the refusal \"{}\" doesn't name {}", target.name, refusal, target.origin));
  }
  // What was written lies beside the input, never above it.
  for (const auto& entry : fs::directory_iterator(own_folder().parent_path())) {
    if (entry.path() != own_folder()) throw std::logic_error(fmt::format("{}: wrote {}", target.name, entry.path().string()));
  }
  return taken;
}

std::string folder() { return own_folder().string(); }

std::string file_of(std::string_view bytes, const std::string& name) {
  const fs::path path = own_folder() / name;
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  require(!out.fail(), "fuzz: cannot write {}", path.string());
  return path.string();
}

std::vector<std::string> names_in_folder() {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(own_folder())) names.push_back(fs::relative(entry.path(), own_folder()).string());
  std::ranges::sort(names);
  return names;
}

}  // namespace hinge::fuzz
