// Picture sets packed into a few large files, for file systems on which a million small ones are slow.
//
//   DIR/train-00000.tar, ...   members train/CLASS/FILE in the set's order, one behind the other (tar.h)
//   DIR/test-00000.tar, ...
//   DIR/shards.json            what is in them: names and sizes, from which every place follows; written last
//
// Pictures are read in place. They are those of the folder that was packed, in its order and under its fingerprint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/picture_list.h"

namespace hinge::data {

inline constexpr const char* kShardIndex = "shards.json";

// One file: pictures [first, first + count) of its set.
struct Shard {
  std::string file;
  std::uint64_t bytes = 0;
  std::uint32_t checksum = 0;  // CRC-32, as zlib's crc32 has it
  std::size_t first = 0, count = 0;
};

struct ShardedSet {
  std::vector<Shard> shards;
  std::vector<PictureFile> files;  // in the set's order
};

struct ShardIndex {
  std::vector<std::string> classes;
  ShardedSet train, test;
};

// Is this a folder of shards, whole because its index is there?
bool is_packed(const std::filesystem::path& dir);

ShardIndex read_index(const std::filesystem::path& dir);
void write_index(const std::filesystem::path& dir, const ShardIndex& index);

// "train/cat/0.jpg": what a picture is called in its archive.
std::string member_name(const char* set, const PictureFile& file);

// Of the index in `text`, which `origin` names in errors. Places and stamps of the files are filled in.
ShardIndex parse_index(std::string_view text, const std::string& origin);

// The pictures of a folder of shards. Looks whether every shard is there and as long as the index says; that a picture lies where
// it should is looked at when it is read. An Error names the shard.
PictureSets open_shards(const std::filesystem::path& dir);

// Reads everything: an Error names the first shard whose checksum differs. How many bytes that were. `progress` is told how many
// are read; may throw, which ends it.
std::uint64_t check_shards(
    const std::filesystem::path& dir, const std::function<void(std::uint64_t done, std::uint64_t total)>& progress = [](std::uint64_t, std::uint64_t) {});

}  // namespace hinge::data
