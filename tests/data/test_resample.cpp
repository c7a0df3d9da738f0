// Resizing and cropping: what must hold for any picture and any box.
#include "data/resample.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/core/error.h"
#include "tests/data/files.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::data;

namespace {

Picture make_picture(int height, int width, auto value) {
  Picture picture{height, width, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) picture.pixels.push_back(static_cast<std::uint8_t>(value(y, x, c)));
    }
  }
  return picture;
}

std::vector<std::uint8_t> resampled(const Picture& picture, const Resampling& how) {
  std::vector<std::uint8_t> out(static_cast<std::size_t>(how.size) * static_cast<std::size_t>(how.size) * 3);
  resample(picture, how, out.data());
  return out;
}

Resampling whole(const Picture& picture, int size) {
  return {.box = {0, 0, picture.height, picture.width}, .height = size, .width = size, .top = 0, .left = 0, .size = size};
}

}  // namespace

TEST_CASE("a picture of the size asked for comes back as it is") {
  const Picture picture = make_picture(17, 17, [](int y, int x, int c) { return testing::pattern(1, y, x, c); });
  CHECK(resampled(picture, whole(picture, 17)) == picture.pixels);
}

TEST_CASE("one colour stays that colour at every size") {
  for (int colour : {0, 1, 127, 255}) {
    const Picture picture = make_picture(13, 29, [&](int, int, int) { return colour; });
    for (int size : {1, 2, 7, 13, 31, 64}) {
      for (std::uint8_t value : resampled(picture, whole(picture, size))) CHECK(value == colour);
    }
  }
}

TEST_CASE("halving takes the weights of the triangle, and a whole picture's mean stays") {
  // scale 2, reach 2, centre of output 1 at 3: inputs 1 to 4 with distances 1.5, 0.5, 0.5, 1.5 -> weights 1, 3, 3, 1 of 8.
  const Picture ramp = make_picture(1, 8, [](int, int x, int) { return x * x; });
  const auto out = resampled(ramp, {.box = {0, 0, 1, 8}, .height = 1, .width = 4, .top = 0, .left = 1, .size = 1});
  const double expected = (1 * 1 + 3 * 4 + 3 * 9 + 1 * 16) / 8.0;
  CHECK(out[0] == static_cast<int>(std::lround(expected)));
  const Picture noise = make_picture(64, 64, [](int y, int x, int c) { return testing::pattern(3, y, x, c); });
  const auto mean = [](const std::vector<std::uint8_t>& v) { return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size()); };
  CHECK(std::fabs(mean(resampled(noise, whole(noise, 16))) - mean(noise.pixels)) < 2.0);
}

TEST_CASE("a reduction averages: a checkerboard becomes grey, not black or white") {
  const Picture board = make_picture(64, 64, [](int y, int x, int) { return (x + y) % 2 * 255; });
  for (std::uint8_t value : resampled(board, whole(board, 16))) CHECK(std::abs(value - 128) <= 16);  // the border has fewer pixels to average
}

TEST_CASE("a window of the resized picture is that part of the whole one") {
  const Picture picture = make_picture(40, 40, [](int y, int x, int c) { return testing::pattern(5, y, x, c); });
  const auto all = resampled(picture, whole(picture, 24));
  const auto part = resampled(picture, {.box = {0, 0, 40, 40}, .height = 24, .width = 24, .top = 5, .left = 9, .size = 8});
  for (int y = 0; y < 8; ++y) {
    for (int i = 0; i < 24; ++i) CHECK(part[static_cast<std::size_t>(y * 24 + i)] == all[static_cast<std::size_t>(((y + 5) * 24 + 9) * 3 + i)]);
  }
}

TEST_CASE("nothing outside the box is read: a box is as a picture of its own") {
  const Picture picture = make_picture(30, 41, [](int y, int x, int c) { return testing::pattern(6, y, x, c); });
  const Picture cut = make_picture(12, 17, [](int y, int x, int c) { return testing::pattern(6, y + 7, x + 20, c); });
  CHECK(resampled(picture, {.box = {7, 20, 12, 17}, .height = 9, .width = 9, .top = 0, .left = 0, .size = 9}) == resampled(cut, whole(cut, 9)));
  CHECK_THROWS_AS(resampled(picture, {.box = {20, 0, 12, 12}, .height = 9, .width = 9, .top = 0, .left = 0, .size = 9}), Error);
  CHECK_THROWS_AS(resampled(picture, {.box = {0, 0, 12, 12}, .height = 9, .width = 9, .top = 1, .left = 0, .size = 9}), Error);
}

TEST_CASE("the centre crop is torchvision's Resize and CenterCrop") {
  // (height, width, shorter, size) -> resized height, width, top, left; by torchvision 0.19.
  const auto check = [](int height, int width, int shorter, int size, int h, int w, int top, int left) {
    const Resampling how = centre_crop(height, width, shorter, size);
    CHECK(how.box == Box{0, 0, height, width});
    CHECK(std::tuple(how.height, how.width, how.top, how.left, how.size) == std::tuple(h, w, top, left, size));
  };
  check(500, 375, 256, 224, 341, 256, 58, 16);  // int(256 * 500 / 375); round(58.5) = 58
  check(375, 500, 256, 224, 256, 341, 16, 58);
  check(224, 224, 256, 224, 256, 256, 16, 16);
  check(100, 101, 72, 64, 72, 72, 4, 4);
  check(64, 64, 64, 61, 64, 64, 2, 2);  // round(1.5) = 2
  CHECK_THROWS_AS(centre_crop(10, 10, 8, 9), Error);
}

TEST_CASE("a random box is a function of seed, epoch and image, lies inside and has the area and ratio allowed") {
  const RandomCropOptions options;
  std::vector<double> areas;
  int different = 0;
  for (std::uint64_t image = 0; image < 2000; ++image) {
    const Box box = random_box(300, 400, options, 1, 2, image);
    CHECK(box == random_box(300, 400, options, 1, 2, image));
    different += !(box == random_box(300, 400, options, 1, 3, image)) && !(box == random_box(300, 400, options, 2, 2, image));
    CHECK(box.top >= 0);
    CHECK(box.left >= 0);
    CHECK(box.top + box.height <= 300);
    CHECK(box.left + box.width <= 400);
    const double area = box.height * box.width / 120000.0, ratio = static_cast<double>(box.width) / box.height;
    CHECK(area >= 0.08 - 0.01);  // sides are rounded to pixels
    CHECK(ratio >= 0.75 - 0.02);
    CHECK(ratio <= 4.0 / 3.0 + 0.02);
    areas.push_back(area);
  }
  CHECK(different > 1990);
  // Uniform in area as far as boxes fit: the mean lies near the middle, and small and large ones both occur.
  const double mean = std::accumulate(areas.begin(), areas.end(), 0.0) / 2000.0;
  CHECK(mean > 0.40);
  CHECK(mean < 0.60);
  CHECK(*std::ranges::min_element(areas) < 0.12);
  CHECK(*std::ranges::max_element(areas) > 0.85);
}

TEST_CASE("pictures in which no random box fits give the largest one in the middle") {
  const RandomCropOptions large{.least_area = 0.9};
  CHECK(random_box(10, 1000, large, 1, 1, 1) == Box{0, 493, 10, 13});
  CHECK(random_box(1000, 10, large, 1, 1, 1) == Box{493, 0, 13, 10});
  CHECK(random_box(1, 1, {}, 1, 1, 1) == Box{0, 0, 1, 1});
}
