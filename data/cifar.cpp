// Reading CIFAR's binary records: [labels][R plane][G plane][B plane] -> label and pixels [H, W,
// C].
#include "data/cifar.h"

#include <cstdint>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

#include "engine/core/error.h"

namespace hinge::data {
namespace {

namespace fs = std::filesystem;

constexpr int kSide = 32, kChannels = 3;
constexpr std::size_t kPlane = std::size_t{kSide} * kSide;
constexpr std::size_t kImage = kPlane * kChannels;

// One byte of the front of a record, and how many values it can take.
struct LabelByte {
  const char* what;
  int classes;
};

constexpr const char* kSource = "https://www.cs.toronto.edu/~kriz/cifar.html";

struct Layout {
  std::string name;               // as load_dataset knows it
  std::string folder;             // inside the official archive
  std::vector<LabelByte> labels;  // the last one is the label
  std::vector<std::string> train, test;
  std::string class_names;  // optional text file, one name a line

  std::size_t record_bytes() const { return labels.size() + kImage; }
  int classes() const { return labels.back().classes; }
};

const Layout& cifar10_layout() {
  static const Layout layout{"cifar10",
                             "cifar-10-batches-bin",
                             {{"label", 10}},
                             {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                              "data_batch_4.bin", "data_batch_5.bin"},
                             {"test_batch.bin"},
                             "batches.meta.txt"};
  return layout;
}

const Layout& cifar100_layout() {
  static const Layout layout{
      "cifar100", "cifar-100-binary", {{"coarse label", 20}, {"fine label", 100}}, {"train.bin"}, {"test.bin"}, "fine_label_names.txt"};
  return layout;
}

// The folder with the files: `dir` itself, or the archive's folder in it.
fs::path find_folder(const Layout& layout, const fs::path& dir) {
  const fs::path inside = dir / layout.folder;
  for (const fs::path& folder : {inside, dir}) {
    std::error_code ignored;
    if (fs::exists(folder / layout.train.front(), ignored)) return folder;
  }
  fail("{}: no {} in '{}' or '{}'; the binary version of {} is at {}", layout.name,
       layout.train.front(), inside.string(), dir.string(), layout.name, kSource);
}

// Appends the records of `file` to `set`.
void read_records(const Layout& layout, const fs::path& file, ImageSet& set) {
  std::error_code error;
  const std::uintmax_t bytes = fs::file_size(file, error);
  require(!error, "{}: cannot read '{}': {}; the binary version of {} is at {}", layout.name,
          file.string(), error.message(), layout.name, kSource);
  const std::size_t record_bytes = layout.record_bytes();
  require(bytes > 0 && bytes % record_bytes == 0,
          "{}: '{}' has {} bytes, expected a multiple of {} above zero", layout.name, file.string(),
          bytes, record_bytes);

  std::ifstream in(file, std::ios::binary);
  require(in.is_open(), "{}: cannot open '{}'", layout.name, file.string());
  std::vector<std::uint8_t> record(record_bytes);
  const auto records = static_cast<std::size_t>(bytes / record_bytes);
  set.pixels.reserve(set.pixels.size() + records * kImage);
  for (std::size_t r = 0; r < records; ++r) {
    in.read(reinterpret_cast<char*>(record.data()), static_cast<std::streamsize>(record_bytes));
    require(in.good(), "{}: '{}' ends in record {}, expected {} records by its size", layout.name,
            file.string(), r, records);
    for (std::size_t i = 0; i < layout.labels.size(); ++i) {
      require(record[i] < layout.labels[i].classes,
              "{}: '{}' record {} has {} {}, expected less than {}", layout.name, file.string(), r,
              layout.labels[i].what, record[i], layout.labels[i].classes);
    }
    set.labels.push_back(record[layout.labels.size() - 1]);

    const std::uint8_t* planes = record.data() + layout.labels.size();
    const std::size_t begin = set.pixels.size();
    set.pixels.resize(begin + kImage);
    std::uint8_t* pixels = set.pixels.data() + begin;
    for (std::size_t p = 0; p < kPlane; ++p) {
      for (std::size_t c = 0; c < kChannels; ++c)
        pixels[p * kChannels + c] = planes[c * kPlane + p];
    }
  }
}

// The names in `file`, or none when there is no such file.
std::vector<std::string> read_class_names(const Layout& layout, const fs::path& file) {
  std::vector<std::string> names;
  std::ifstream in(file);
  if (!in.is_open()) return names;
  for (std::string line; std::getline(in, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) names.push_back(line);
  }
  require(static_cast<int>(names.size()) == layout.classes(),
          "{}: '{}' has {} class names, expected {}", layout.name, file.string(), names.size(),
          layout.classes());
  return names;
}

ImageSet read_set(const Layout& layout, const std::string& name, const fs::path& folder,
                  const std::vector<std::string>& files) {
  ImageSet set;
  set.name = layout.name + "/" + name;
  set.height = set.width = kSide;
  set.channels = kChannels;
  set.classes = layout.classes();
  for (const std::string& file : files) read_records(layout, folder / file, set);
  set.class_names = read_class_names(layout, folder / layout.class_names);
  return set;
}

Dataset load(const Layout& layout, const fs::path& dir) {
  const fs::path folder = find_folder(layout, dir);
  Dataset dataset;
  dataset.name = layout.name;
  dataset.classes = layout.classes();
  dataset.train = read_set(layout, "train", folder, layout.train);
  dataset.test = read_set(layout, "test", folder, layout.test);
  // The values most papers on CIFAR use, for both data sets.
  dataset.normalization = {{125.3f / 255, 123.0f / 255, 113.9f / 255},
                           {63.0f / 255, 62.1f / 255, 66.7f / 255}};
  return dataset;
}

}  // namespace

Dataset load_cifar10(const fs::path& dir) { return load(cifar10_layout(), dir); }
Dataset load_cifar100(const fs::path& dir) { return load(cifar100_layout(), dir); }

}  // namespace hinge::data
