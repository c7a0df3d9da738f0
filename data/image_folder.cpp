#include "data/image_folder.h"

#include <algorithm>
#include <iterator>

#include "data/decode.h"
#include "data/inspection.h"
#include "data/picture_list.h"
#include "data/picture_pixels.h"
#include "data/shards.h"
#include "engine/core/error.h"

namespace hinge::data {
namespace {

namespace fs = std::filesystem;

ImageSet make_set(const char* name, PictureList list, const std::vector<std::string>& classes, const FolderOptions& options) {
  ImageSet set;
  set.name = name;  // without the folder's place: the fingerprint is that of the content
  set.height = set.width = options.size;
  set.channels = 3;
  set.classes = static_cast<int>(classes.size());
  set.class_names = classes;
  for (const PictureFile& file : list.files) set.labels.push_back(file.label);
  set.source = make_pixel_source(std::move(list), options);
  return set;
}

// Names, sizes of files and how they are cropped: pixels are not read for it.
std::uint64_t hash_of_files(const std::vector<PictureFile>& files, const FolderOptions& options) {
  std::string text = fmt::format("{} {} {}\n", options.size, options.resize, options.crop_area);
  for (const PictureFile& file : files) text += fmt::format("{} {}\n", file.name, file.bytes);
  return hash_of(text);
}

}  // namespace

FolderOptions checked(FolderOptions options) {
  if (options.size < 1 || options.size > kLongestSide) fail_usage("--image-size is {}, expected 1 to {}", options.size, kLongestSide);
  if (options.resize == 0) options.resize = options.size * 8 / 7;
  if (options.resize < options.size) fail_usage("--resize {} is below --image-size {}: the centre crop would reach over the edge", options.resize, options.size);
  if (!(options.crop_area > 0.0 && options.crop_area <= 1.0)) fail_usage("--crop-area is {}, expected a share above 0 and up to 1", options.crop_area);
  return options;
}

Dataset load_image_folder(const fs::path& dir, const FolderOptions& asked) {
  const FolderOptions options = checked(asked);
  if (dir.empty()) fail_usage("--data-dir is missing: the folder with train/CLASS and test/CLASS");
  const bool packed = is_packed(dir);
  PictureSets sets = packed ? open_shards(dir) : list_folder(dir, options.threads);

  Dataset dataset;
  dataset.name = "folder";
  dataset.classes = static_cast<int>(sets.classes.size());
  Colours colours;
  Findings found;
  if (options.measure || (!options.test_only && !packed)) colours = keep_whole(sets.train, options, found);
  if (!packed) keep_whole(sets.test, options, found);
  dataset.warnings = std::move(found.warnings);
  std::ranges::move(found.left_out, std::back_inserter(dataset.warnings));
  const std::uint64_t hash = hash_of_files(sets.train.files, options) ^ (hash_of_files(sets.test.files, options) << 1);
  dataset.train = make_set("folder/train", std::move(sets.train), sets.classes, options);
  dataset.test = make_set("folder/test", std::move(sets.test), sets.classes, options);
  if (options.measure) dataset.normalization = colours.normalization();
  dataset.fingerprint = fingerprint_of(dataset, hash);
  return dataset;
}

}  // namespace hinge::data
