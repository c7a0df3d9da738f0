#include "data/pack.h"

#include <zlib.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <regex>

#include "data/image_folder.h"
#include "data/inspection.h"
#include "data/shards.h"
#include "data/tar.h"
#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/growing_file.h"

namespace hinge::data {
namespace {

namespace fs = std::filesystem;

// Only what packing itself makes may be there, and no index. It is removed, also what a process on another machine left half-written.
void make_room(const fs::path& out) {
  static const std::regex kOurs("(train|test)-[0-9]{5,}\\.tar(\\.partial-[0-9]+)?|shards\\.json\\.partial-[0-9]+");
  std::vector<fs::path> old;
  for (const fs::directory_entry& entry : fs::directory_iterator(out)) {
    const std::string name = entry.path().filename().string();
    if (name == ".lock") continue;
    if (!std::regex_match(name, kOurs)) fail_usage("--out {} holds '{}', expected no folder, an empty one, or what an interrupted packing left", out.string(), name);
    old.push_back(entry.path());
  }
  for (const fs::path& path : old) fs::remove(path);
}

// Everything that could go wrong with names, before anything is written.
void check_names(const PictureList& list, const char* set) {
  for (const PictureFile& file : list.files) {
    tar_header(member_name(set, file), file.bytes);
    try {
      nlohmann::json(file.name).dump();
    } catch (const nlohmann::json::exception&) {
      fail("{}: its name isn't UTF-8, as the index needs it", list.store->place(file));
    }
  }
}

// One set's shards, the last of which is open.
class ShardWriter {
 public:
  ShardWriter(fs::path out, const char* set, std::uint64_t most) : out_(std::move(out)), set_(set), most_(most) {}

  void add(const PictureFile& file, const std::string& content) {
    if (open_ && open_->size() + tar_record_bytes(content.size()) + kTarEnd > most_) finish();
    if (!open_) begin();
    std::string record = tar_header(member_name(set_, file), content.size()) + content;
    record.resize(tar_record_bytes(content.size()), '\0');
    write(record);
    ++result_.shards.back().count;
    result_.files.push_back(file);
  }
  ShardedSet done() {
    if (open_) finish();
    return std::move(result_);
  }

 private:
  void begin() {
    result_.shards.push_back({.file = fmt::format("{}-{:05}.tar", set_, result_.shards.size()), .first = result_.files.size()});
    open_.emplace(out_ / result_.shards.back().file);
  }
  void finish() {
    write(std::string(kTarEnd, '\0'));
    result_.shards.back().bytes = open_->size();
    open_->finish();
    open_.reset();
  }
  void write(const std::string& bytes) {
    open_->append(bytes);
    Shard& shard = result_.shards.back();
    shard.checksum = static_cast<std::uint32_t>(::crc32_z(shard.checksum, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
  }

  fs::path out_;
  const char* set_;
  std::uint64_t most_;
  std::optional<io::GrowingFile> open_;
  ShardedSet result_;
};

}  // namespace

Packed pack_folder(const fs::path& dir, const fs::path& out, const PackOptions& options) {
  if (options.shard_bytes < kLeastShardBytes) fail_usage("--shard-size is {} bytes, expected at least {}", options.shard_bytes, kLeastShardBytes);
  if (is_packed(dir)) fail_usage("--data-dir {} is packed already: it has a file {}", dir.string(), kShardIndex);
  if (is_packed(out)) fail_usage("--out {} holds packed pictures already; choose another folder, or remove it", out.string());
  PictureSets sets = list_folder(dir, options.folder.threads);
  fs::create_directories(out);
  const io::FolderLock lock(out);  // and what other processes left half-written goes
  make_room(out);
  Packed packed;
  const FolderOptions looking = checked(options.folder);
  keep_whole(sets.train, looking, packed.warnings);
  keep_whole(sets.test, looking, packed.warnings);
  check_names(sets.train, "train");
  check_names(sets.test, "test");

  const std::uint64_t total = sets.train.files.size() + sets.test.files.size();
  const auto pack = [&](const PictureList& list, const char* set) {
    ShardWriter writer(out, set, options.shard_bytes);
    for (const PictureFile& file : list.files) {
      const std::string content = list.store->read(file);
      require(content.size() == file.bytes, "{}: it has {} bytes, {} when the folder was listed: it changed meanwhile", list.store->place(file), content.size(), file.bytes);
      writer.add(file, content);
      options.progress(++packed.images, total);
    }
    return writer.done();
  };
  ShardIndex index{.classes = sets.classes, .train = pack(sets.train, "train"), .test = pack(sets.test, "test")};
  for (const ShardedSet* set : {&index.train, &index.test}) {
    packed.shards += set->shards.size();
    for (const Shard& shard : set->shards) packed.bytes += shard.bytes;
  }
  write_index(out, index);
  return packed;
}

}  // namespace hinge::data
