// Parts of pictures: that they are what decoding the whole gives, or near it where they are scaled.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "data/decode.h"
#include "data/resample.h"
#include "engine/core/error.h"
#include "tests/data/files.h"
#include "tests/support/catch.h"
#include "tests/support/pictures.h"

using namespace hinge;
using namespace hinge::testing;
using namespace hinge::data;

namespace {

std::string_view text(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

Part part_of(const Bytes& bytes, const Wanted& wanted) {
  return decode_part(text(bytes), [&](int, int) { return wanted; });
}

// Of the box's pixels in a part that is not scaled, how many differ from the whole picture's.
int different_pixels(const Picture& whole, const Part& part, const Box& box) {
  int different = 0;
  for (int y = box.top; y < box.top + box.height; ++y) {
    const auto row = [&](const Picture& picture, int top, int left) { return picture.pixels.begin() + ((y - top) * picture.width + box.left - left) * 3; };
    for (int i = 0; i < 3 * box.width; ++i) different += row(whole, 0, 0)[i] != row(part.pixels, part.top, part.left)[i];
  }
  return different;
}

const JpegForm kForms[] = {{.across = 1, .down = 1}, {.across = 2, .down = 1}, {.across = 2, .down = 2}, {.across = 1, .down = 2}, {.across = 4, .down = 1}, {.across = 2, .down = 2, .progressive = true}, {.grey = true}};

// Boxes at the picture's edges, at the borders of blocks and between them.
std::vector<Box> boxes_in(int height, int width) {
  std::vector<Box> boxes = {{0, 0, height, width}};
  for (int top : {0, 1, 7, 8, 15, 16, 17, 31, height - 1}) {
    for (int left : {0, 1, 8, 15, 16, 17, 32, 33, width - 1}) {
      for (int size : {1, 2, 15, 16, 17, 40}) boxes.push_back({top, left, std::min(size, height - top), std::min(size + 3, width - left)});
    }
  }
  return boxes;
}

Resampling whole_box(const Box& box, int size) { return {.box = box, .height = size, .width = size, .top = 0, .left = 0, .size = size}; }

struct Difference {
  int worst = 0;
  double mean = 0.0;
};

// Between the crop of a part that may be scaled and that of the whole picture.
Difference difference_of_crops(const Bytes& jpeg, const Box& box, int size) {
  std::vector<std::uint8_t> ours(static_cast<std::size_t>(size) * static_cast<std::size_t>(size) * 3), exact(ours.size());
  resample(part_of(jpeg, {box, size, size}), whole_box(box, size), ours.data());
  resample(decode_picture(text(jpeg)), whole_box(box, size), exact.data());
  Difference difference;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const int here = std::abs(ours[i] - exact[i]);
    difference.worst = std::max(difference.worst, here), difference.mean += here / static_cast<double>(ours.size());
  }
  return difference;
}

}  // namespace

TEST_CASE("a part that is not scaled has the whole picture's pixels, whatever the sampling and the box") {
  for (const JpegForm& form : kForms) {
    const Bytes jpeg = jpeg_of(noise_picture(61, 83, 3), form);
    const Picture whole = decode_picture(text(jpeg));
    for (const Box& box : boxes_in(61, 83)) {
      const Part part = part_of(jpeg, {box});
      INFO(form.across << "x" << form.down << (form.progressive ? " progressive" : "") << ", box " << box.height << "x" << box.width << " at " << box.top << ", " << box.left);
      REQUIRE(part.eighths == 8);
      REQUIRE((part.top <= box.top && part.left <= box.left && part.top + part.pixels.height >= box.top + box.height && part.left + part.pixels.width >= box.left + box.width));
      REQUIRE(different_pixels(whole, part, box) == 0);
    }
  }
}

TEST_CASE("a part leaves out the rows and columns outside its box") {
  const Bytes jpeg = jpeg_of(smooth_picture(200, 300, 1), JpegForm{});
  const Part part = part_of(jpeg, {{80, 100, 40, 50}});
  CHECK(part.pixels.height <= 40 + 2 * 4);
  CHECK(part.pixels.width <= 50 + 2 * 4 + 16);
  CHECK(part.pixels.pixels.size() == static_cast<std::size_t>(part.pixels.height) * static_cast<std::size_t>(part.pixels.width) * 3);
}

TEST_CASE("a box is scaled as far as it keeps the least size, never below it") {
  const Bytes jpeg = jpeg_of(smooth_picture(260, 300, 2), JpegForm{});
  const auto eighths = [&](int height, int width, int least) { return part_of(jpeg, {{3, 5, height, width}, least, least}).eighths; };
  CHECK(eighths(64, 64, 32) == 4);
  CHECK(eighths(63, 64, 32) == 8);
  CHECK(eighths(64, 63, 32) == 8);
  CHECK(eighths(128, 130, 32) == 2);
  CHECK(eighths(127, 130, 32) == 4);
  CHECK(eighths(256, 256, 32) == 1);
  CHECK(eighths(256, 256, 4) == 1);
  CHECK(eighths(20, 20, 32) == 8);
  CHECK(part_of(jpeg, {{0, 0, 260, 300}}).eighths == 8);
}

// Neighbours of the smooth picture differ by up to 4.5 levels, so 8 are less than two pixels, in the box's corners, where a
// scaled pixel that the edge cuts is read whole. On the 400 photographs of imagenette-mini: docs/benchmarks/loader.md.
TEST_CASE("a crop from a scaled part is near the whole picture's: on smooth pictures, to 1.5 levels in the mean and 8 at most") {
  for (const JpegForm& form : kForms) {
    const Bytes jpeg = jpeg_of(smooth_picture(260, 300, 2), {.quality = 98, .across = form.across, .down = form.down, .progressive = form.progressive, .grey = form.grey});
    for (const Box& box : {Box{0, 0, 260, 300}, Box{3, 5, 129, 131}, Box{101, 77, 159, 222}, Box{17, 1, 64, 64}}) {
      for (int size : {16, 31, 32}) {
        INFO(form.across << "x" << form.down << ", box " << box.height << "x" << box.width << " to " << size);
        const Difference difference = difference_of_crops(jpeg, box, size);
        CHECK(difference.worst <= 8);
        CHECK(difference.mean <= 1.5);
        if (form.across == form.down) {
          CHECK(part_of(jpeg, {box, size, size}).eighths < 8);
        } else {  // colours that are coarser in one direction would be blurred
          CHECK(difference.worst == 0);
        }
      }
    }
  }
}

TEST_CASE("PNG and CMYK are decoded whole, and the crop is the same") {
  const Picture picture = smooth_picture(90, 120, 4);
  const Box box{10, 20, 64, 70};
  for (const Bytes& file : {png_of(picture), jpeg_of(picture, {.across = 1, .down = 1, .ink = true})}) {
    const Part part = part_of(file, {box, 32, 32});
    CHECK(part.eighths == 8);
    CHECK(part.pixels.pixels == decode_picture(text(file)).pixels);
    CHECK(difference_of_crops(file, box, 32).worst == 0);
  }
}

TEST_CASE("a part is refused only where the whole picture is, and where its own rows are cut off") {
  for (const JpegForm& form : {JpegForm{}, JpegForm{.progressive = true}}) {
    const Bytes jpeg = jpeg_of(noise_picture(64, 64, 1), form);
    const Wanted top{{0, 0, 16, 64}}, bottom{{48, 0, 16, 64}};
    bool top_came_early = false;
    for (std::size_t size = 0; size + 2 < jpeg.size(); size += 7) {
      const Bytes cut(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(size));
      INFO("cut to " << size << " of " << jpeg.size());
      CHECK(error_of([&] { decode_picture(text(cut)); }) != "no error");
      if (size < jpeg.size() - 40) CHECK(error_of([&] { part_of(cut, bottom); }) != "no error");
      top_came_early |= error_of([&] { part_of(cut, top); }) == "no error";
    }
    CHECK(top_came_early == !form.progressive);  // whose every scan is of the whole picture
  }
  Bytes damaged = jpeg_of(noise_picture(24, 24, 1));
  for (std::size_t i = 0; i < damaged.size(); ++i) {
    damaged[i] ^= 0x55;
    const bool whole = error_of([&] { decode_picture(text(damaged)); }) == "no error";
    const std::string part = error_of([&] { decode_part(text(damaged), [](int height, int width) { return Wanted{{height / 3, width / 3, height - height / 3 - height / 4, width - width / 3}, 1, 1}; }); });
    INFO("byte " << i << ": " << part);
    if (whole) CHECK(part == "no error");
    damaged[i] ^= 0x55;
  }
}

TEST_CASE("a box outside the picture is refused with both") {
  const Bytes jpeg = jpeg_of(noise_picture(24, 24, 1)), png = png_of(noise_picture(24, 24, 1));
  for (const Box& box : {Box{0, 0, 25, 1}, Box{-1, 0, 5, 5}, Box{4, 20, 5, 5}, Box{0, 0, 0, 5}}) {
    for (const Bytes& file : {jpeg, png}) CHECK_THAT(error_of([&] { part_of(file, {box}); }), contains("of a 24x24 picture"));
  }
}

TEST_CASE("a centre crop from the rows and columns that it reads is the whole picture's") {
  for (const auto& [height, width] : {std::pair(61, 83), std::pair(120, 70), std::pair(20, 200)}) {
    const Bytes jpeg = jpeg_of(noise_picture(height, width, 5), JpegForm{});
    const Resampling how = centre_crop(height, width, 36, 32);
    const Box read = box_read_by(how);
    CHECK(read.height * read.width < height * width);
    std::vector<std::uint8_t> ours(32 * 32 * 3), whole(ours.size());
    resample(part_of(jpeg, {read}), how, ours.data());
    resample(decode_picture(text(jpeg)), how, whole.data());
    CHECK(ours == whole);
  }
}
