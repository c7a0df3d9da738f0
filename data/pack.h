// A folder of pictures into shards (shards.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace hinge::data {

inline constexpr std::uint64_t kLeastShardBytes = 4096;

struct PackOptions {
  // Of a shard at most, unless one picture alone is larger.
  std::uint64_t shard_bytes = 256'000'000;
  // Of these threads, skip_broken, cache and looked: every picture is looked at before the first is packed.
  FolderOptions folder = {};
  // Told how many pictures are done; may throw, which ends the packing.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = [](std::uint64_t, std::uint64_t) {};
};

struct Packed {
  std::uint64_t images = 0, shards = 0, bytes = 0;
  std::vector<std::string> left_out;  // a text for each broken picture
  std::vector<std::string> warnings;  // about anything else, such as the cache
};

// `out` is whole once it has an index, which is written last. Until then it has a file .packing, and shards in a folder that has
// it are made anew. An `out` that is whole, or holds anything else, is refused with UsageError before anything in it is touched. Error for broken pictures (unless skipped), names that a tar
// archive or JSON can't hold, and pictures that change meanwhile.
Packed pack_folder(const std::filesystem::path& dir, const std::filesystem::path& out, const PackOptions& options);

}  // namespace hinge::data
