#include "data/shards.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <mutex>
#include <nlohmann/json.hpp>
#include <system_error>

#include "data/tar.h"
#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/json.h"
#include "engine/io/system_calls.h"

namespace hinge::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kFormat = "hinge shards 1";

std::string reason(int error) { return std::generic_category().message(error); }

// A shard, opened when it is first read from and kept open: opening is what takes time on a network.
class ShardFile {
 public:
  explicit ShardFile(fs::path path) : path_(std::move(path)) {}
  ~ShardFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  ShardFile(const ShardFile&) = delete;
  ShardFile& operator=(const ShardFile&) = delete;

  std::string read(std::uint64_t at, std::uint64_t size) const {
    std::string bytes(size, '\0');
    std::uint64_t got = 0;
    while (got < size) {
      const ssize_t more = io::system::read_at(path_, descriptor(), bytes.data() + got, size - got, static_cast<off_t>(at + got));
      if (more < 0 && errno == EINTR) continue;
      const int error = errno;
      require(more >= 0, "cannot read {}: {}", path_.string(), reason(error));
      require(more > 0, "{} is cut off: it ends at byte {}, {} were expected", path_.string(), at + got, at + size);
      got += static_cast<std::uint64_t>(more);
    }
    return bytes;
  }
  const fs::path& path() const { return path_; }

 private:
  int descriptor() const {
    const std::lock_guard lock(mutex_);
    if (descriptor_ < 0) descriptor_ = io::system::open(path_, O_RDONLY);
    const int error = errno;
    require(descriptor_ >= 0, "cannot open {}: {}{}", path_.string(), reason(error), error == EMFILE ? " (a process keeps every shard open: fewer and larger ones, or a higher ulimit -n)" : "");
    return descriptor_;
  }

  fs::path path_;
  mutable std::mutex mutex_;
  mutable int descriptor_ = -1;
};

class ShardStore final : public PictureStore {
 public:
  ShardStore(const fs::path& dir, const char* set, const std::vector<Shard>& shards) : folder_(dir / set), set_(set) {
    for (const Shard& shard : shards) files_.push_back(std::make_unique<ShardFile>(dir / shard.file));
  }

  std::string read(const PictureFile& file) const override {
    const ShardFile& shard = *files_.at(file.shard);
    std::string record = shard.read(file.offset, kTarBlock + file.bytes);
    const std::string name = member_name(set_, file);
    require(record.starts_with(tar_header(name, file.bytes)), "{}: no {} of {} bytes at byte {}, where the index has it", shard.path().string(), name, file.bytes, file.offset);
    return record.substr(kTarBlock);
  }
  std::string place(const PictureFile& file) const override {
    if (file.name.empty()) return folder_.string();
    return fmt::format("{}: {}", files_.at(file.shard)->path().string(), member_name(set_, file));
  }

 private:
  fs::path folder_;  // "shards/train", which names the set though it isn't there
  const char* set_;
  std::vector<std::unique_ptr<ShardFile>> files_;
};

std::uint64_t checked_size(const fs::path& dir, const Shard& shard) {
  struct stat status {};
  const fs::path path = dir / shard.file;
  const int error = io::system::stat(path, &status) == 0 ? 0 : errno;
  require(error == 0, "{}: {}, the index {} has it", path.string(), reason(error), kShardIndex);
  const auto bytes = static_cast<std::uint64_t>(status.st_size);
  require(bytes == shard.bytes, "{} has {} bytes, {} in {}: it is {}", path.string(), bytes, shard.bytes, (dir / kShardIndex).string(), bytes < shard.bytes ? "cut off" : "another file");
  return bytes;
}

// Names and sizes say where every picture lies.
void place_files(ShardedSet& set, const char* name, const std::string& origin) {
  for (std::size_t s = 0; s < set.shards.size(); ++s) {
    const Shard& shard = set.shards[s];
    std::uint64_t at = 0;
    for (std::size_t i = shard.first; i < shard.first + shard.count; ++i) {
      PictureFile& file = set.files[i];
      file.shard = static_cast<std::uint32_t>(s), file.offset = at, file.stamp = shard.checksum;
      require(file.bytes <= shard.bytes && at <= shard.bytes, "{}: {} holds more than its {} bytes", origin, shard.file, shard.bytes);
      tar_header(member_name(name, file), file.bytes);  // throws where no archive could have it
      at += tar_record_bytes(file.bytes);
    }
    require(at + kTarEnd == shard.bytes, "{}: the pictures of {} take {} bytes, it has {}", origin, shard.file, at + kTarEnd, shard.bytes);
  }
}

std::uint32_t parse_checksum(const std::string& text, const std::string& file, const std::string& origin) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  require(text.size() == 8 && error == std::errc() && end == text.data() + text.size(), "{}: the checksum of {} is '{}', expected 8 hexadecimal digits", origin, file, text);
  return value;
}

// get<std::uint64_t>() would make something of -1 and 1.5 too.
std::uint64_t whole_number(const json& value, const char* key, const std::string& file, const std::string& origin) {
  if (!value.is_number_unsigned()) fail("{}: '{}' of {} holds {}, expected a whole number of bytes", origin, key, file, value.is_number() ? value.dump() : value.type_name());
  return value.get<std::uint64_t>();
}

// One that stays in its folder.
bool is_plain(const std::string& name) { return !name.empty() && name[0] != '.' && name.find('/') == std::string::npos && name.find('\0') == std::string::npos; }

ShardedSet parse_set(const json& value, const char* name, const std::vector<std::string>& classes, const std::string& origin) {
  ShardedSet set;
  for (const json& entry : value.at("shards")) {
    Shard shard{.file = entry.at("file").get<std::string>(), .first = set.files.size()};
    require(is_plain(shard.file), "{}: '{}' is no name of a shard", origin, shard.file);
    shard.bytes = whole_number(entry.at("bytes"), "bytes", shard.file, origin);
    shard.checksum = parse_checksum(entry.at("checksum").get<std::string>(), shard.file, origin);
    const json &names = entry.at("names"), &sizes = entry.at("sizes");
    require(names.is_array() && sizes.is_array() && names.size() == sizes.size(), "{}: {} has {} names and {} sizes", origin, shard.file, names.size(), sizes.size());
    shard.count = names.size();
    for (std::size_t i = 0; i < names.size(); ++i) {
      PictureFile file{.name = names[i].get<std::string>(), .label = 0, .bytes = whole_number(sizes[i], "sizes", shard.file, origin)};
      const std::size_t slash = file.name.find('/');
      const auto found = std::ranges::lower_bound(classes, file.name.substr(0, slash));
      require(slash != std::string::npos && is_plain(file.name.substr(slash + 1)) && found != classes.end() && *found == file.name.substr(0, slash), "{}: '{}' of {} is in none of the classes", origin, file.name, shard.file);
      file.label = static_cast<int>(found - classes.begin());
      set.files.push_back(std::move(file));
    }
    set.shards.push_back(std::move(shard));
  }
  require(!set.files.empty(), "{}: no pictures in '{}'", origin, name);
  place_files(set, name, origin);
  return set;
}

json to_json(const ShardedSet& set) {
  json shards = json::array();
  for (const Shard& shard : set.shards) {
    json names = json::array(), sizes = json::array();
    for (std::size_t i = shard.first; i < shard.first + shard.count; ++i) names.push_back(set.files[i].name), sizes.push_back(set.files[i].bytes);
    shards.push_back({{"file", shard.file}, {"bytes", shard.bytes}, {"checksum", fmt::format("{:08x}", shard.checksum)}, {"names", std::move(names)}, {"sizes", std::move(sizes)}});
  }
  return {{"shards", std::move(shards)}};
}

}  // namespace

bool is_packed(const fs::path& dir) {
  std::error_code ignored;
  return fs::exists(dir / kShardIndex, ignored);
}

std::string member_name(const char* set, const PictureFile& file) { return std::string(set) + "/" + file.name; }

ShardIndex parse_index(std::string_view text, const std::string& origin) {
  const json value = io::parse_json(text, origin);
  try {
    const std::string format = value.at("format").get<std::string>();
    require(format == kFormat, "{}: its format is '{}', expected '{}'", origin, format, kFormat);
    ShardIndex index{.classes = value.at("classes").get<std::vector<std::string>>(), .train = {}, .test = {}};
    require(index.classes.size() >= 2 && std::ranges::adjacent_find(index.classes, std::ranges::greater_equal()) == index.classes.end(), "{}: {} classes, expected two or more, sorted, each once", origin, index.classes.size());
    index.train = parse_set(value.at("train"), "train", index.classes, origin);
    index.test = parse_set(value.at("test"), "test", index.classes, origin);
    return index;
  } catch (const json::exception& error) {
    fail("{}: {}", origin, error.what());
  }
}

ShardIndex read_index(const fs::path& dir) {
  const fs::path path = dir / kShardIndex;
  return parse_index(io::read_file(path), path.string());
}

void write_index(const fs::path& dir, const ShardIndex& index) {
  const fs::path path = dir / kShardIndex;
  const json value = {{"format", kFormat}, {"classes", index.classes}, {"train", to_json(index.train)}, {"test", to_json(index.test)}};
  io::write_file_atomically(path, io::json_text(value, path.string()) + "\n");
}

PictureSets open_shards(const fs::path& dir) {
  ShardIndex index = read_index(dir);
  const auto open = [&](ShardedSet& set, const char* name) {
    for (const Shard& shard : set.shards) checked_size(dir, shard);
    return PictureList{std::make_shared<ShardStore>(dir, name, set.shards), std::move(set.files)};
  };
  PictureSets sets{.classes = std::move(index.classes), .train = open(index.train, "train"), .test = open(index.test, "test")};
  return sets;
}

std::uint64_t check_shards(const fs::path& dir, const std::function<void(std::uint64_t done, std::uint64_t total)>& progress) {
  constexpr std::uint64_t kPiece = 1 << 20;
  const ShardIndex index = read_index(dir);
  std::uint64_t total = 0, done = 0;
  for (const ShardedSet* set : {&index.train, &index.test}) {
    for (const Shard& shard : set->shards) total += shard.bytes;
  }
  for (const ShardedSet* set : {&index.train, &index.test}) {
    for (const Shard& shard : set->shards) {
      const std::uint64_t bytes = checked_size(dir, shard);
      const ShardFile file(dir / shard.file);
      uLong checksum = ::crc32(0, nullptr, 0);
      for (std::uint64_t at = 0; at < bytes; at += kPiece) {
        const std::string piece = file.read(at, std::min(kPiece, bytes - at));
        checksum = ::crc32(checksum, reinterpret_cast<const Bytef*>(piece.data()), static_cast<uInt>(piece.size()));
        progress(done += piece.size(), total);
      }
      require(checksum == shard.checksum, "{}: its checksum is {:08x}, {:08x} in {}: it was damaged or changed", file.path().string(), checksum, shard.checksum, kShardIndex);
    }
  }
  return done;
}

}  // namespace hinge::data
