#include "data/picture_pixels.h"

#include "data/resample.h"
#include "engine/core/error.h"

namespace hinge::data {
namespace {

class ListedPixels final : public PixelSource {
 public:
  ListedPixels(PictureList list, const FolderOptions& options) : list_(std::move(list)), options_(options) {}

  void read(int i, std::uint8_t* out) const override {
    write(
        i, false, [&](int height, int width) { return centre_crop(height, width, options_.resize, options_.size); }, out);
  }
  void read_crop(int i, std::uint64_t seed, std::uint64_t epoch, std::uint8_t* out) const override {
    const auto crop = [&](int height, int width) {
      const Box box = random_box(height, width, {.least_area = options_.crop_area}, seed, epoch, static_cast<std::uint64_t>(i));
      return Resampling{.box = box, .height = options_.size, .width = options_.size, .top = 0, .left = 0, .size = options_.size};
    };
    write(i, true, crop, out);
  }

 private:
  void write(int i, bool may_scale, auto resampling_of, std::uint8_t* out) const {
    if (i < 0 || static_cast<std::size_t>(i) >= list_.files.size()) fail("{}: image {} was asked for, there are {}", list_.store->place({}), i, list_.files.size());
    const PictureFile& file = list_.files[static_cast<std::size_t>(i)];
    const std::string bytes = list_.store->read(file);
    try {
      Resampling how;
      const Part part = decode_part(bytes, [&](int height, int width) {
        how = resampling_of(height, width);
        return may_scale ? Wanted{how.box, how.height, how.width} : Wanted{box_read_by(how)};
      });
      resample(part, how, out);
    } catch (const Error& error) {
      fail("{}: {}", list_.store->place(file), error.what());
    }
  }

  PictureList list_;
  FolderOptions options_;
};

}  // namespace

std::shared_ptr<const PixelSource> make_pixel_source(PictureList list, const FolderOptions& options) { return std::make_shared<ListedPixels>(std::move(list), options); }

}  // namespace hinge::data
