#include "data/image_folder.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <cmath>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "data/resample.h"
#include "engine/core/error.h"

namespace hinge::data {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostNamed = 10;  // broken files in one message

struct ImageFile {
  std::string name;  // "CLASS/FILE"
  int label = 0;
  std::uint64_t bytes = 0;
};

class FolderPixels final : public PixelSource {
 public:
  FolderPixels(fs::path folder, std::vector<ImageFile> files, const FolderOptions& options) : folder_(std::move(folder)), files_(std::move(files)), options_(options) {}

  void read(int i, std::uint8_t* out) const override {
    const Picture picture = read_picture(path(i));
    resample(picture, centre_crop(picture.height, picture.width, options_.resize, options_.size), out);
  }
  void read_crop(int i, std::uint64_t seed, std::uint64_t epoch, std::uint8_t* out) const override {
    const Picture picture = read_picture(path(i));
    const Box box = random_box(picture.height, picture.width, {.least_area = options_.crop_area}, seed, epoch, static_cast<std::uint64_t>(i));
    resample(picture, {.box = box, .height = options_.size, .width = options_.size, .top = 0, .left = 0, .size = options_.size}, out);
  }

 private:
  fs::path path(int i) const {
    require(i >= 0 && static_cast<std::size_t>(i) < files_.size(), "{}: image {} was asked for, there are {}", folder_.string(), i, files_.size());
    return folder_ / files_[static_cast<std::size_t>(i)].name;
  }

  fs::path folder_;
  std::vector<ImageFile> files_;
  FolderOptions options_;
};

bool is_picture(const fs::path& file) {
  std::string end = file.extension().string();
  std::ranges::transform(end, end.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return file.filename().string()[0] != '.' && (end == ".jpg" || end == ".jpeg" || end == ".png");
}

// The entries of a folder that `wanted` takes, sorted by name.
template <class Wanted>
std::vector<std::string> names_in(const fs::path& folder, Wanted wanted) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; it != end && !error; it.increment(error)) {
    if (wanted(*it)) names.push_back(it->path().filename().string());
  }
  require(!error, "{}: {}", folder.string(), error.message());
  std::ranges::sort(names);
  return names;
}

std::vector<std::string> classes_in(const fs::path& folder) {
  const auto names = names_in(folder, [](const fs::directory_entry& entry) { return entry.is_directory() && entry.path().filename().string()[0] != '.'; });
  require(!names.empty(), "{}: no folders here, expected one per class", folder.string());
  return names;
}

std::vector<ImageFile> files_in(const fs::path& folder, const std::vector<std::string>& classes, bool all_needed) {
  std::vector<ImageFile> files;
  for (std::size_t label = 0; label < classes.size(); ++label) {
    const fs::path inside = folder / classes[label];
    if (!all_needed && !fs::exists(inside)) continue;
    const auto names = names_in(inside, [](const fs::directory_entry& entry) { return entry.is_regular_file() && is_picture(entry.path()); });
    require(!names.empty(), "{}: no images, expected .jpg, .jpeg or .png files", inside.string());
    for (const std::string& name : names) {
      files.push_back({classes[label] + "/" + name, static_cast<int>(label), static_cast<std::uint64_t>(fs::file_size(inside / name))});
    }
  }
  std::ranges::sort(files, {}, [](const ImageFile& file) { return std::pair(hash_of(file.name), file.name); });
  return files;
}

fs::path test_folder(const fs::path& dir) {
  for (const char* name : {"test", "val"}) {
    if (fs::is_directory(dir / name)) return dir / name;
  }
  fail("{}: neither a folder 'test' nor 'val', expected one with a folder per class", dir.string());
}

// Sums of pixel values and of their squares: whole numbers, so that threads add up to the same in any order.
struct Colours {
  std::array<std::uint64_t, 3> sums{}, squares{};
  std::uint64_t count = 0;  // per channel

  void add(const std::vector<std::uint8_t>& pixels) {
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      const std::uint64_t value = pixels[i];
      sums[i % 3] += value, squares[i % 3] += value * value;
    }
    count += pixels.size() / 3;
  }
  Colours& operator+=(const Colours& other) {
    for (std::size_t c = 0; c < 3; ++c) sums[c] += other.sums[c], squares[c] += other.squares[c];
    count += other.count;
    return *this;
  }
  Normalization normalization() const {
    Normalization result;
    for (std::size_t c = 0; c < 3; ++c) {
      const double n = static_cast<double>(count), mean = static_cast<double>(sums[c]) / n;
      const double variance = std::max(0.0, static_cast<double>(squares[c]) / n - mean * mean);
      result.mean.push_back(static_cast<float>(mean / 255.0));
      result.std.push_back(static_cast<float>(std::max(std::sqrt(variance), 1.0) / 255.0));  // pictures of one colour: a step of 8 bits
    }
    return result;
  }
};

struct Inspection {
  std::vector<std::string> reasons;  // [file]: what is wrong with it, or ""
  Colours colours;
};

// Decodes every file once.
Inspection inspect(const PixelSource& source, std::size_t files, const FolderOptions& options) {
  Inspection result{std::vector<std::string>(files), {}};
  std::mutex mutex;
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(options.size) * static_cast<std::size_t>(options.size) * 3);
    Colours colours;
    for (std::size_t i = next++; i < files; i = next++) {
      try {
        source.read(static_cast<int>(i), pixels.data());
        colours.add(pixels);
      } catch (const std::exception& error) {
        result.reasons[i] = error.what();
      }
    }
    const std::lock_guard lock(mutex);
    result.colours += colours;
  };
  std::vector<std::jthread> threads;
  for (int t = 1; t < options.threads; ++t) threads.emplace_back(work);
  work();
  threads.clear();  // joins
  return result;
}

// The files that are whole; the others become warnings, or an Error that names them.
std::vector<ImageFile> whole_files(std::vector<ImageFile> files, const Inspection& inspection, bool skip, std::vector<std::string>& warnings) {
  std::vector<ImageFile> whole;
  std::vector<std::string> broken;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (inspection.reasons[i].empty()) {
      whole.push_back(std::move(files[i]));
    } else {
      broken.push_back(inspection.reasons[i]);
    }
  }
  if (skip) {
    for (const std::string& reason : broken) warnings.push_back("left out: " + reason);
  } else if (!broken.empty()) {
    const std::size_t named = std::min(broken.size(), kMostNamed);
    fail("{} broken image{}, which --broken-images skip leaves out:\n  {}{}", broken.size(), broken.size() == 1 ? "" : "s",
         fmt::join(broken.begin(), broken.begin() + static_cast<std::ptrdiff_t>(named), "\n  "), named < broken.size() ? "\n  ..." : "");
  }
  return whole;
}

ImageSet make_set(const fs::path& folder, const std::vector<ImageFile>& files, const std::vector<std::string>& classes, const FolderOptions& options) {
  ImageSet set;
  set.name = folder.string();
  set.height = set.width = options.size;
  set.channels = 3;
  set.classes = static_cast<int>(classes.size());
  set.class_names = classes;
  for (const ImageFile& file : files) set.labels.push_back(file.label);
  set.source = std::make_shared<FolderPixels>(folder, files, options);
  return set;
}

// Names, sizes of files and how they are cropped: pixels are not read for it.
std::uint64_t hash_of_files(const std::vector<ImageFile>& files, const FolderOptions& options) {
  std::string text = fmt::format("{} {} {}\n", options.size, options.resize, options.crop_area);
  for (const ImageFile& file : files) text += fmt::format("{} {}\n", file.name, file.bytes);
  return hash_of(text);
}

FolderOptions checked(FolderOptions options) {
  if (options.size < 1 || options.size > kLongestSide) fail_usage("--image-size is {}, expected 1 to {}", options.size, kLongestSide);
  if (options.resize == 0) options.resize = options.size * 8 / 7;
  if (options.resize < options.size) fail_usage("--resize {} is below --image-size {}: the centre crop would reach over the edge", options.resize, options.size);
  if (!(options.crop_area > 0.0 && options.crop_area <= 1.0)) fail_usage("--crop-area is {}, expected a share above 0 and up to 1", options.crop_area);
  return options;
}

}  // namespace

Dataset load_image_folder(const fs::path& dir, const FolderOptions& asked) {
  const FolderOptions options = checked(asked);
  if (dir.empty()) fail_usage("--data-dir is missing: the folder with train/CLASS and test/CLASS");
  require(fs::is_directory(dir / "train"), "folder {}: no folder 'train' in it, expected one with a folder per class", dir.string());
  const fs::path train = dir / "train", test = test_folder(dir);
  const std::vector<std::string> classes = classes_in(train);
  require(classes.size() >= 2, "{}: one class, '{}', expected two or more", train.string(), classes[0]);
  for (const std::string& name : classes_in(test)) {
    require(std::ranges::binary_search(classes, name), "{}: the class '{}' has no folder in {}", test.string(), name, train.string());
  }

  Dataset dataset;
  dataset.name = "folder";
  dataset.classes = static_cast<int>(classes.size());
  const auto load = [&](const fs::path& folder, bool look, Colours* colours) {
    std::vector<ImageFile> files = files_in(folder, classes, folder == train);
    if (look) {
      const Inspection inspection = inspect(FolderPixels(folder, files, options), files.size(), options);
      files = whole_files(std::move(files), inspection, options.skip_broken, dataset.warnings);
      require(!files.empty(), "{}: not one image is whole", folder.string());
      if (colours != nullptr) *colours = inspection.colours;
    }
    return files;
  };
  Colours colours;
  const std::vector<ImageFile> training = load(train, !options.test_only || options.measure, &colours), testing = load(test, true, nullptr);
  dataset.train = make_set(train, training, classes, options);
  dataset.test = make_set(test, testing, classes, options);
  if (options.measure) dataset.normalization = colours.normalization();
  dataset.train.name = "folder/train", dataset.test.name = "folder/test";  // the fingerprint is that of the content, not of the place
  dataset.fingerprint = fingerprint_of(dataset, hash_of_files(training, options) ^ (hash_of_files(testing, options) << 1));
  return dataset;
}

}  // namespace hinge::data
