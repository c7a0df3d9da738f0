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
  // Of these threads, skip_broken and cache: every picture is looked at before the first is packed.
  FolderOptions folder = {};
  // Told how many pictures are done; may throw, which ends the packing.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = [](std::uint64_t, std::uint64_t) {};
};

struct Packed {
  std::uint64_t images = 0, shards = 0, bytes = 0;
  std::vector<std::string> warnings;  // broken pictures that were left out
};

// `out` is whole once it has an index, which is written last. What an interrupted packing left there is made anew; an `out` that
// is whole, or holds anything else, is refused with UsageError. Error for broken pictures (unless skipped), names that a tar
// archive or JSON can't hold, and pictures that change meanwhile.
Packed pack_folder(const std::filesystem::path& dir, const std::filesystem::path& out, const PackOptions& options);

}  // namespace hinge::data
