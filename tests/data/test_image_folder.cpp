// Folders of pictures: which images with which labels in which order, what is refused, and that batches are pure functions.
#include "data/image_folder.h"

#include <cmath>
#include <cstdlib>
#include <set>

#include "data/loader.h"
#include "data/resample.h"
#include "engine/core/fault.h"
#include "tests/data/files.h"
#include "tests/support/catch.h"
#include "tests/support/pictures.h"

using namespace hinge;
using namespace hinge::testing;
using namespace hinge::data;
namespace fs = std::filesystem;

namespace {

const FolderOptions kSmall{.size = 16};

std::vector<float> epoch_of(const Dataset& set, LoaderOptions options, std::uint64_t epoch) {
  std::vector<int> indices;
  for (int i = 0; i < set.train.count(); ++i) indices.push_back(i);
  Loader loader(set.train, set.normalization, indices, options);
  loader.start(epoch);
  std::vector<float> values;
  while (const auto batch = loader.next()) values.insert(values.end(), batch->images.values().begin(), batch->images.values().end());
  return values;
}

}  // namespace

TEST_CASE("classes are the folders in order of their names, and every image is there once with its label") {
  const TemporaryFolder folder;
  write_small_folder(folder.path(), 8);
  write_bytes(folder.path() / "train/cat/notes.txt", {'x'});
  write_bytes(folder.path() / "train/cat/.hidden.png", {'x'});
  write_bytes(folder.path() / "train/.cache/a.png", {'x'});
  write_bytes(folder.path() / "train/README.md", {'x'});
  const Dataset set = load_dataset("folder", folder.path(), kSmall);
  CHECK(set.classes == 3);
  CHECK(set.train.class_names == std::vector<std::string>{"bird", "cat", "dog"});
  CHECK(set.train.count() == 24);
  CHECK(set.test.count() == 24);
  for (int label = 0; label < 3; ++label) CHECK(std::ranges::count(set.train.labels, label) == 8);
  CHECK(set.warnings.empty());
  CHECK(std::tuple(set.train.height, set.train.width, set.train.channels) == std::tuple(16, 16, 3));
  // Which are held out does not follow the classes.
  const Split split = hold_out(set.train, 12);
  std::set<int> held_out;
  for (int i : split.held_out) held_out.insert(set.train.labels[static_cast<std::size_t>(i)]);
  CHECK(held_out.size() == 3);
}

TEST_CASE("an image's pixels are those of its file, resized and cropped in the middle") {
  const TemporaryFolder folder;
  write_small_folder(folder.path(), 2);
  const Dataset set = load_dataset("folder", folder.path(), {.size = 16, .resize = 18});
  const char* classes[] = {"bird", "cat", "dog"};
  std::vector<std::uint8_t> pixels(16 * 16 * 3), expected(pixels.size());
  for (int i = 0; i < set.train.count(); ++i) {
    set.train.source->read(i, pixels.data());
    int equal = 0;
    for (const char* name : {"0.png", "1.JPEG"}) {
      const Picture picture = read_picture(folder.path() / "train" / classes[set.train.labels[static_cast<std::size_t>(i)]] / name);
      resample(picture, centre_crop(picture.height, picture.width, 18, 16), expected.data());
      equal += pixels == expected;
    }
    CHECK(equal == 1);
  }
}

TEST_CASE("large JPEGs: images to score are the whole picture's, crops to train on come from a smaller one") {
  const TemporaryFolder folder;
  write_small_folder(folder.path(), 1);
  const Bytes jpeg = jpeg_of(noise_picture(150, 170, 3), JpegForm{});
  for (const char* part : {"train", "val"}) {
    for (const char* name : {"bird", "cat", "dog"}) {
      std::filesystem::remove_all(folder.path() / part / name);
      write_bytes(folder.path() / part / name / "0.jpg", jpeg);
    }
  }
  const Dataset set = load_dataset("folder", folder.path(), {.size = 16, .resize = 18, .crop_area = 0.5});
  const Picture picture = read_picture(folder.path() / "val/dog/0.jpg");
  std::vector<std::uint8_t> pixels(16 * 16 * 3), expected(pixels.size());
  resample(picture, centre_crop(150, 170, 18, 16), expected.data());
  set.test.source->read(0, pixels.data());
  CHECK(pixels == expected);
  const Box box = random_box(150, 170, {.least_area = 0.5}, 1, 2, 0);
  resample(picture, {.box = box, .height = 16, .width = 16, .top = 0, .left = 0, .size = 16}, expected.data());
  set.train.source->read_crop(0, 1, 2, pixels.data());
  CHECK(pixels != expected);
  double difference = 0.0;
  for (std::size_t i = 0; i < pixels.size(); ++i) difference += std::abs(pixels[i] - expected[i]) / static_cast<double>(pixels.size());
  CHECK(difference <= 8.0);  // of noise, the hardest
}

TEST_CASE("batches of a folder do not depend on threads, and crops change with epoch and seed only") {
  const TemporaryFolder folder;
  write_small_folder(folder.path(), 6);
  const Dataset set = load_dataset("folder", folder.path(), kSmall);
  const auto options = [](std::uint64_t seed, int threads) {
    return LoaderOptions{.batch_size = 5, .shuffle = true, .augment = true, .augmentation = {.padding = 4, .seed = seed}, .threads = threads};
  };
  const auto once = epoch_of(set, options(1, 1), 3);
  CHECK(once.size() == 18 * 16 * 16 * 3);
  CHECK(once == epoch_of(set, options(1, 4), 3));
  CHECK(once != epoch_of(set, options(1, 1), 4));
  CHECK(once != epoch_of(set, options(2, 1), 3));
  const auto plain = epoch_of(set, {.batch_size = 5}, 0);
  CHECK(plain == epoch_of(set, {.batch_size = 5, .threads = 3}, 7));
}

TEST_CASE("measured colour statistics give training pixels a mean of 0 and a deviation of 1, for any number of threads") {
  const TemporaryFolder folder;
  write_small_folder(folder.path(), 6);
  const Dataset set = load_dataset("folder", folder.path(), kSmall);
  const auto values = epoch_of(set, {.batch_size = 6}, 0);
  for (std::size_t c = 0; c < 3; ++c) {
    double sum = 0.0, squares = 0.0;
    for (std::size_t i = c; i < values.size(); i += 3) sum += values[i], squares += static_cast<double>(values[i]) * values[i];
    const double n = static_cast<double>(values.size()) / 3.0;
    CHECK(std::fabs(sum / n) <= 1e-4);
    CHECK(std::fabs(squares / n - 1.0) <= 1e-4);
  }
  FolderOptions threaded = kSmall;
  threaded.threads = 4;
  const Dataset again = load_dataset("folder", folder.path(), threaded);
  CHECK(again.normalization.mean == set.normalization.mean);
  CHECK(again.normalization.std == set.normalization.std);
  FolderOptions given = kSmall;
  given.measure = false;
  CHECK(load_dataset("folder", folder.path(), given).normalization.mean.empty());
}

TEST_CASE("broken images are named, all of them, and fatal or left out as asked") {
  const TemporaryFolder folder;
  write_small_folder(folder.path(), 4);
  const Bytes jpeg = jpeg_of(smooth_picture(20, 20, 1));
  write_bytes(folder.path() / "train/cat/cut.jpg", Bytes(jpeg.begin(), jpeg.end() - 40));
  write_bytes(folder.path() / "train/dog/text.png", {'h', 'e', 'l', 'l', 'o'});
  write_bytes(folder.path() / "val/bird/empty.jpg", {});
  const std::string fatal = error_of([&] { load_dataset("folder", folder.path(), kSmall); });
  CHECK_THAT(fatal, contains("2 broken images") && contains("train/cat/cut.jpg: damaged or cut off") && contains("train/dog/text.png: neither") && contains("--broken-images skip"));
  FolderOptions skip = kSmall;
  skip.skip_broken = true;
  const Dataset set = load_dataset("folder", folder.path(), skip);
  CHECK(set.train.count() == 12);
  CHECK(set.test.count() == 12);
  REQUIRE(set.warnings.size() == 3);
  for (const char* name : {"cut.jpg", "text.png", "empty.jpg"}) {
    CHECK(std::ranges::count_if(set.warnings, [&](const std::string& w) { return w.starts_with("left out: ") && w.find(name) != std::string::npos; }) == 1);
  }
  // What is left is what it would be without them.
  for (const char* name : {"train/cat/cut.jpg", "train/dog/text.png", "val/bird/empty.jpg"}) std::filesystem::remove(folder.path() / name);
  CHECK(load_dataset("folder", folder.path(), kSmall).fingerprint == set.fingerprint);
  CHECK(load_dataset("folder", folder.path(), kSmall).train.labels == set.train.labels);
}

TEST_CASE("an image that breaks behind the first look stops the epoch with its name") {
  const TemporaryFolder folder;
  write_small_folder(folder.path(), 2);
  const Dataset set = load_dataset("folder", folder.path(), kSmall);
  write_bytes(folder.path() / "train/cat/0.png", {'x'});
  CHECK_THAT(error_of([&] { epoch_of(set, {.batch_size = 2, .augment = true}, 0); }), contains("train/cat/0.png"));
  std::filesystem::remove(folder.path() / "train/cat/0.png");
  CHECK_THAT(error_of([&] { epoch_of(set, {.batch_size = 2}, 0); }), contains("train/cat/0.png"));
}

TEST_CASE("the fingerprint follows names, sizes and crops, not the folder's place") {
  const TemporaryFolder folder, other;
  write_small_folder(folder.path(), 2);
  write_small_folder(other.path(), 2);
  const auto fingerprint = [](const std::filesystem::path& dir, const FolderOptions& options) { return load_dataset("folder", dir, options).fingerprint; };
  const std::string first = fingerprint(folder.path(), kSmall);
  CHECK(first == fingerprint(other.path(), kSmall));
  CHECK(first != fingerprint(folder.path(), {.size = 16, .resize = 17}));
  CHECK(first != fingerprint(folder.path(), {.size = 16, .crop_area = 0.5}));
  std::filesystem::rename(other.path() / "train/cat/0.png", other.path() / "train/cat/00.png");
  CHECK(first != fingerprint(other.path(), kSmall));
  std::filesystem::rename(other.path() / "train/cat/00.png", other.path() / "train/cat/0.png");
  write_bytes(other.path() / "val/dog/0.png", png_of(noise_picture(30, 30, 1)));
  CHECK(first != fingerprint(other.path(), kSmall));
}

TEST_CASE("a folder that is no data set is refused with what was expected") {
  const TemporaryFolder folder;
  const auto dir = folder.path();
  const auto refusal = [&](const FolderOptions& options = kSmall) { return error_of([&] { load_dataset("folder", dir, options); }); };
  CHECK_THAT(error_of([] { load_dataset("folder", "", kSmall); }), contains("--data-dir is missing"));
  CHECK_THAT(refusal(), contains("no folder 'train'"));
  std::filesystem::create_directories(dir / "train");
  CHECK_THAT(refusal(), contains("neither a folder 'test' nor 'val'"));
  std::filesystem::create_directories(dir / "val");
  CHECK_THAT(refusal(), contains("no folders here"));
  write_small_folder(dir, 2);
  CHECK(refusal() == "no error");
  write_bytes(dir / "val/fish/0.png", png_of(noise_picture(8, 8, 1)));
  CHECK_THAT(refusal(), contains("'fish' has no folder"));
  std::filesystem::remove_all(dir / "val/fish");
  std::filesystem::create_directories(dir / "train/ant");
  CHECK_THAT(refusal(), contains("ant: no images"));
  std::filesystem::remove_all(dir / "train/ant");
  CHECK_THAT(refusal({.size = 16, .resize = 15}), contains("--resize 15 is below --image-size 16"));
  CHECK_THAT(refusal({.size = 16, .crop_area = 0.0}), contains("--crop-area"));
  // A class may lack test images; 'test' is taken before 'val'.
  std::filesystem::remove_all(dir / "val/dog");
  CHECK(load_dataset("folder", dir, kSmall).test.count() == 4);
  std::filesystem::create_directories(dir / "test");
  std::filesystem::rename(dir / "val/cat", dir / "test/cat");
  CHECK(load_dataset("folder", dir, kSmall).test.count() == 2);
}

TEST_CASE("real JPEGs are read as Pillow reads them") {
  const char* variable = std::getenv("HINGE_SHARED");
  const std::filesystem::path folder = std::filesystem::path(variable ? variable : "../shared") / "data/imagenette-mini";
  if (!std::filesystem::exists(folder)) {
    WARN("skipped: no images at " << folder.string());
    return;
  }
  const Dataset set = load_dataset("folder", folder, {.size = 64, .threads = 2});
  CHECK(set.classes == 10);
  CHECK(set.train.count() + set.test.count() == 600);
  CHECK(set.warnings.empty());
  for (std::size_t c = 0; c < 3; ++c) {  // near ImageNet's 0.45 and 0.25
    CHECK(set.normalization.mean[c] > 0.38f);
    CHECK(set.normalization.mean[c] < 0.52f);
    CHECK(set.normalization.std[c] > 0.20f);
    CHECK(set.normalization.std[c] < 0.33f);
  }
  std::string python;
  for (const char* candidate : {"/usr/bin/python3", "python3"}) {
    if (python.empty() && std::system((std::string(candidate) + " -c 'import PIL, numpy' >/dev/null 2>&1").c_str()) == 0) python = candidate;
  }
  if (python.empty()) {
    WARN("skipped the comparison: no Python here has Pillow and numpy (Debian: python3-pil, python3-numpy)");
    return;
  }
  std::vector<std::filesystem::path> files;
  for (const std::string& name : set.test.class_names) {
    std::set<std::filesystem::path> in_class;
    for (const auto& entry : std::filesystem::directory_iterator(folder / "val" / name)) in_class.insert(entry.path());
    files.insert(files.end(), in_class.begin(), std::next(in_class.begin(), 3));
  }
  const TemporaryFolder scratch;
  std::string command = python + " " HINGE_SOURCE_DIR "/tests/data/pillow_pixels.py 73 64 " + (scratch.path() / "pixels").string();
  for (const auto& file : files) command += " " + file.string();
  REQUIRE(std::system(command.c_str()) == 0);
  const Bytes theirs = read_bytes(scratch.path() / "pixels");
  std::vector<std::uint8_t> ours(64 * 64 * 3);
  REQUIRE(theirs.size() == files.size() * ours.size());
  // Pillow rounds between the two sides.
  double sum = 0.0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const Picture picture = read_picture(files[i]);
    resample(picture, centre_crop(picture.height, picture.width, 73, 64), ours.data());
    int worst = 0;
    for (std::size_t p = 0; p < ours.size(); ++p) {
      const int difference = std::abs(ours[p] - theirs[i * ours.size() + p]);
      sum += difference, worst = std::max(worst, difference);
    }
    INFO(files[i].string());
    CHECK(worst <= 2);
  }
  CHECK(sum / static_cast<double>(theirs.size()) <= 0.5);
}

TEST_CASE("a picture that can't be asked for is an error and not a picture less; one that is gone is passed over") {
  const TemporaryFolder folder;
  write_small_folder(folder.path(), 2);
  const int whole = load_dataset("folder", folder.path(), kSmall).train.count();
  fs::create_symlink("nowhere.png", folder.path() / "train/cat/link.png");
  CHECK(load_dataset("folder", folder.path(), kSmall).train.count() == whole);
  for (const auto& [code, reason] : {std::pair("EIO", "Input/output error"), {"EACCES", "Permission denied"}}) {
    set_faults(fmt::format("stat:1:{}:train/cat/0.png", code));
    const std::string error = error_of([&] { load_dataset("folder", folder.path(), kSmall); });
    set_faults("");
    CHECK_THAT(error, contains((folder.path() / "train/cat/0.png").string() + ": " + reason));
  }
}

TEST_CASE("a picture that a folder doesn't have is refused with the folder's name") {
  const TemporaryFolder folder;
  write_small_folder(folder.path(), 2);
  const Dataset set = load_dataset("folder", folder.path(), kSmall);
  std::vector<std::uint8_t> pixels(set.train.image_bytes());
  CHECK_THAT(error_of([&] { set.train.source->read(-1, pixels.data()); }), contains((folder.path() / "train").string() + ": image -1 was asked for, there are 6"));
}
