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

// Lies where a packing was begun and isn't finished: from before its first shard until behind the index. Without it a
// train-00000.tar is somebody's own.
constexpr const char* kMarker = ".packing";
constexpr std::string_view kMarkerText = "hinge pack began here and has not finished; its next start with this folder removes the shards\n";

bool is_begun(const fs::path& out) {
  return fs::is_regular_file(fs::symlink_status(out / kMarker)) && io::read_file(out / kMarker).starts_with(kMarkerText);
}

// Looks, and changes nothing: UsageError unless `out` is empty, not there, or has only what a packing left that was interrupted, also
// of a process on another machine. Those files, which are in the way.
std::vector<fs::path> leftovers(const fs::path& out) {
  static const std::regex kOurs("(train|test)-[0-9]{5,}\\.tar(\\.partial-[-_0-9A-Za-z]+)?|shards\\.json\\.partial-[-_0-9A-Za-z]+");
  static const std::regex kBeginning("\\.lock|\\.packing\\.partial-[-_0-9A-Za-z]+");  // of one that was killed before its marker was there
  if (is_packed(out)) fail_usage("--out {} holds packed pictures already; choose another folder, or remove it", out.string());
  if (!fs::exists(out)) return {};
  if (!fs::is_directory(out)) fail_usage("--out {} is no folder", out.string());
  const bool begun = is_begun(out);
  std::vector<fs::path> old;
  for (const fs::directory_entry& entry : fs::directory_iterator(out)) {
    const std::string name = entry.path().filename().string();
    if (std::regex_match(name, kBeginning) || (begun && name == kMarker)) continue;
    const bool ours = begun && std::regex_match(name, kOurs) && fs::is_regular_file(entry.symlink_status());
    if (!ours) fail_usage("--out {} holds '{}', expected no folder, an empty one, or what an interrupted packing left, which has a file {}", out.string(), name, kMarker);
    old.push_back(entry.path());
  }
  return old;
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
  leftovers(out);  // before anything is made in it
  PictureSets sets = list_folder(dir, options.folder.threads);
  const std::uint64_t listed = sets.train.files.size() + sets.test.files.size();
  fs::create_directories(out);
  const io::FolderLock lock(out);
  const std::vector<fs::path> old = leftovers(out);  // once more, now that nobody else packs there

  FolderOptions looking = checked(options.folder);
  Findings found;
  const auto look = [&](PictureList& list, std::uint64_t before) {
    looking.looked = [&, before](std::uint64_t done, std::uint64_t) { options.folder.looked(before + done, listed); };
    keep_whole(list, looking, found);
  };
  const std::uint64_t training = sets.train.files.size();
  look(sets.train, 0);
  look(sets.test, training);
  check_names(sets.train, "train");
  check_names(sets.test, "test");
  io::write_file_atomically(out / kMarker, kMarkerText);
  for (const fs::path& path : old) fs::remove(path);

  Packed packed{.left_out = std::move(found.left_out), .warnings = std::move(found.warnings)};
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
  std::error_code ignored;  // with an index it is whole, whatever else is there
  fs::remove(out / kMarker, ignored);
  return packed;
}

}  // namespace hinge::data
