// Training crops a second of one core, from files to normalised floats, as one round for tools/bench/loader_throughput.py: one line of JSON.
//
//   whole    every picture decoded whole, then its box resampled
//   crop     as hinge train does it: no more is decoded than the box needs
//   packed   the same from shards
//   stages   milliseconds a picture of what crop does, taken one by one
//
// Times are processor time of the process, which other programs on the machine lengthen less than time on the wall.
#include <ctime>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "data/augment.h"
#include "data/decode.h"
#include "data/image_folder.h"
#include "data/loader.h"
#include "data/picture_list.h"
#include "data/resample.h"
#include "engine/core/error.h"

namespace {

using namespace hinge;
using namespace hinge::data;

struct Options {
  std::string pictures, shards;
  int size = 224, images = 2000;
  std::uint64_t epoch = 0;
};

const Normalization kImageNet{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};

double processor_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

Resampling random_crop(int height, int width, const Options& options, int i) {
  const Box box = random_box(height, width, {}, 0, options.epoch, static_cast<std::uint64_t>(i));
  return {.box = box, .height = options.size, .width = options.size, .top = 0, .left = 0, .size = options.size};
}

// What hinge did before there were parts of pictures.
class WholePictures final : public PixelSource {
 public:
  WholePictures(PictureList list, const Options& options) : list_(std::move(list)), options_(options) {}
  void read(int i, std::uint8_t* out) const override { read_crop(i, 0, 0, out); }
  void read_crop(int i, std::uint64_t, std::uint64_t, std::uint8_t* out) const override {
    const Picture picture = decode_picture(list_.store->read(list_.files[static_cast<std::size_t>(i)]));
    resample(picture, random_crop(picture.height, picture.width, options_, i), out);
  }

 private:
  PictureList list_;
  Options options_;
};

// The first `images` of shuffled epochs, one thread beside this one, which waits.
double images_per_second(const ImageSet& set, const Options& options) {
  std::vector<int> indices;
  for (int i = 0; i < options.images; ++i) indices.push_back(i % set.count());
  Loader loader(set, kImageNet, indices, {.batch_size = 50, .shuffle = true, .augment = true});
  const double start = processor_seconds();
  loader.start(options.epoch);
  int images = 0;
  while (const auto batch = loader.next()) images += static_cast<int>(batch->labels.size());
  return images / (processor_seconds() - start);
}

nlohmann::json stages(const PictureList& list, const Options& options) {
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(options.size) * static_cast<std::size_t>(options.size) * 3);
  std::vector<float> values(pixels.size());
  const Normalizer normalizer(kImageNet);
  double read = 0.0, decode = 0.0, resampling = 0.0, normalise = 0.0;
  for (int i = 0; i < options.images; ++i) {
    const double begin = processor_seconds();
    const std::string bytes = list.store->read(list.files[static_cast<std::size_t>(i) % list.files.size()]);
    const double is_read = processor_seconds();
    Resampling how;
    const Part part = decode_part(bytes, [&](int height, int width) {
      how = random_crop(height, width, options, i);
      return Wanted{how.box, options.size, options.size};
    });
    const double is_decoded = processor_seconds();
    resample(part, how, pixels.data());
    const double is_resampled = processor_seconds();
    write_image(pixels.data(), options.size, options.size, 3, normalizer, {.flip = i % 2 == 0}, 0, values.data());
    const double end = processor_seconds();
    read += is_read - begin, decode += is_decoded - is_read, resampling += is_resampled - is_decoded, normalise += end - is_resampled;
  }
  const double per_image = 1e3 / options.images;
  return {{"read", read * per_image}, {"decode", decode * per_image}, {"resample", resampling * per_image}, {"normalise", normalise * per_image}};
}

void measure(const Options& options) {
  const FolderOptions folder{.size = options.size, .measure = false};
  Dataset files = load_dataset("folder", options.pictures, folder);
  const PictureList list = list_folder(options.pictures, 1).train;
  ImageSet whole = files.train;
  whole.source = std::make_shared<WholePictures>(list, options);
  nlohmann::json result = {{"whole", images_per_second(whole, options)}, {"crop", images_per_second(files.train, options)}};
  if (!options.shards.empty()) result["packed"] = images_per_second(load_dataset("folder", options.shards, folder).train, options);
  result["stages"] = stages(list, options);
  fmt::print("{}\n", result.dump());
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Training crops a second of one core");
  app.add_option("PICTURES", options.pictures, "Folder with train/CLASS and val/CLASS")->required();
  app.add_option("--shards", options.shards, "The same, packed");
  app.add_option("--size", options.size);
  app.add_option("--images", options.images)->check(CLI::PositiveNumber);
  app.add_option("--epoch", options.epoch, "Other boxes");
  CLI11_PARSE(app, argc, argv);
  try {
    measure(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "loader_throughput: {}\n", error.what());
    return 1;
  }
  return 0;
}
