// Data sets by name, and the things true of every one of them: images by index, the split, the
// fingerprint.
#include "data/dataset.h"

#include <algorithm>
#include <numeric>
#include <span>
#include <string_view>

#include "data/cifar.h"
#include "data/idx.h"
#include "data/image_folder.h"
#include "engine/core/error.h"
#include "engine/core/hash.h"

namespace hinge::data {
namespace {

struct Source {
  const char* name;
  Dataset (*load)(const std::filesystem::path& dir);  // null: load_image_folder, which has options
};

constexpr Source kSources[] = {
    {"cifar10", &load_cifar10},
    {"cifar100", &load_cifar100},
    {"fashion-mnist", &load_fashion_mnist},
    {"folder", nullptr},
};

// Fewest insertions, deletions and substitutions that turn `from` into `to` (Levenshtein).
std::size_t edit_distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < from.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < to.size(); ++j) {
      const std::size_t substituted = diagonal + (from[i] == to[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

[[noreturn]] void fail_unknown(const std::string& name) {
  const std::vector<std::string> known = dataset_names();
  const auto nearest = std::ranges::min_element(
      known, {}, [&](const std::string& candidate) { return edit_distance(name, candidate); });
  fail_usage("data set '{}' is not known; known are {}; the nearest is '{}'", name,
             fmt::join(known, ", "), *nearest);
}

void add_set(Hash& hash, const ImageSet& set) {
  hash.add(set.name);
  for (int size : {set.height, set.width, set.channels, set.classes, set.count()}) {
    hash.add(static_cast<std::uint64_t>(size));
  }
  for (std::int32_t label : set.labels) hash.add(static_cast<std::uint64_t>(label));
  hash.add(set.pixels);
}

}  // namespace

const std::uint8_t* ImageSet::image(int i) const {
  require(i >= 0 && i < count(), "{}: image {} was asked for, there are {}", name, i, count());
  const std::size_t begin = static_cast<std::size_t>(i) * image_bytes();
  require(begin + image_bytes() <= pixels.size(), "{}: image {} ends at byte {}, there are {}",
          name, i, begin + image_bytes(), pixels.size());
  return pixels.data() + begin;
}

std::vector<std::string> dataset_names() {
  std::vector<std::string> names;
  for (const Source& source : kSources) names.emplace_back(source.name);
  return names;
}

Dataset load_dataset(const std::string& name, const std::filesystem::path& dir, const FolderOptions& folder) {
  const auto* source = std::ranges::find_if(
      kSources, [&](const Source& candidate) { return name == candidate.name; });
  if (source == std::end(kSources)) fail_unknown(name);
  if (source->load == nullptr) return load_image_folder(dir, folder);
  Dataset dataset = source->load(dir);
  dataset.fingerprint = fingerprint_of(dataset);
  return dataset;
}

Split hold_out(const ImageSet& set, int held_out) {
  require(held_out >= 0 && held_out < set.count(),
          "{}: {} images were to be held out, expected 0 to {} of {}", set.name, held_out,
          set.count() - 1, set.count());
  Split split;
  split.train.resize(static_cast<std::size_t>(set.count() - held_out));
  split.held_out.resize(static_cast<std::size_t>(held_out));
  std::iota(split.train.begin(), split.train.end(), 0);
  std::iota(split.held_out.begin(), split.held_out.end(), set.count() - held_out);
  return split;
}

std::uint64_t hash_of(std::string_view text) {
  Hash hash;
  hash.add(text);
  return hash.value();
}

std::string fingerprint_of(const Dataset& dataset, std::uint64_t more) {
  Hash hash;
  hash.add(dataset.name);
  if (more != 0) hash.add(more);
  add_set(hash, dataset.train);
  add_set(hash, dataset.test);
  return fmt::format("{:016x}", hash.value());
}

}  // namespace hinge::data
