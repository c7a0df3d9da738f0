// Which pictures a set has, and the bytes of their files, wherever they lie.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace hinge::data {

struct PictureFile {
  std::string name;  // "CLASS/FILE"
  int label = 0;
  std::uint64_t bytes = 0;
  std::int64_t stamp = 0;   // another one where the file may have changed: when it was last written, in ns; of a shard, its checksum
  std::uint32_t shard = 0;  // of a packed one (shards.h), which file it lies in and where its record begins
  std::uint64_t offset = 0;
};

// Called from several threads at once.
class PictureStore {
 public:
  virtual ~PictureStore() = default;
  // The file's bytes. An Error names the file.
  virtual std::string read(const PictureFile& file) const = 0;
  // For messages: "pictures/train/dog/1.png". Of no file, the set's folder: "pictures/train", by which the cache knows it.
  virtual std::string place(const PictureFile& file) const = 0;
};

struct PictureList {
  std::shared_ptr<const PictureStore> store;
  std::vector<PictureFile> files;  // in the set's order
};

struct PictureSets {
  std::vector<std::string> classes;  // sorted; a label is the place here
  PictureList train, test;
};

// DIR/train/CLASS/FILE and DIR/test/CLASS/FILE (or val). Every file's size and time are asked for, by so many threads, none is
// opened. Errors are those of load_image_folder (image_folder.h).
PictureSets list_folder(const std::filesystem::path& dir, int threads);

}  // namespace hinge::data
