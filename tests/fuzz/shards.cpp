// The index of packed pictures.
#include "data/shards.h"

#include "data/tar.h"
#include "tests/fuzz/target.h"

using namespace hinge;
using namespace hinge::fuzz;

// JSON's values take up to 200 bytes for two of text; so do the names that are made of them.
HINGE_FUZZ_TARGET(shards, "shards.json", kMiB, 512) {
  const data::ShardIndex index = data::parse_index(bytes, "shards.json");
  for (const data::ShardedSet* set : {&index.train, &index.test}) {
    std::size_t files = 0;
    for (const data::Shard& shard : set->shards) {
      promise(shard.first == files, "shards follow each other");
      files += shard.count;
      for (std::size_t i = shard.first; i < files; ++i) {
        const data::PictureFile& file = set->files[i];
        promise(file.label >= 0 && static_cast<std::size_t>(file.label) < index.classes.size(), "labels are of classes");
        promise(file.offset + data::tar_record_bytes(file.bytes) + data::kTarEnd <= shard.bytes, "pictures lie in their shards");
      }
    }
    promise(files == set->files.size() && files > 0, "every picture is in a shard");
  }
}
