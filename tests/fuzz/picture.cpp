// JPEG and PNG files through libjpeg and libpng, whole and in part, and what resampling makes of them.
#include "data/decode.h"

#include <algorithm>

#include "data/resample.h"
#include "engine/core/error.h"
#include "tests/fuzz/target.h"

using namespace hinge;
using namespace hinge::fuzz;

namespace {

// Which box is asked for follows the file's size, so that mutations try them all.
data::Box box_in(int height, int width, std::size_t choice) {
  const auto pick = [&](int below) {
    const auto picked = static_cast<int>(choice % static_cast<std::size_t>(below));
    choice = choice / static_cast<std::size_t>(below) + 7 * choice;
    return picked;
  };
  const int top = pick(height), left = pick(width);
  return {top, left, 1 + pick(height - top), 1 + pick(width - left)};
}

data::Part part_of(std::string_view bytes, bool may_scale, std::vector<std::uint8_t>& small) {
  data::Box box;
  data::Part part = data::decode_part(bytes, [&](int height, int width) {
    box = box_in(height, width, bytes.size());
    const int least = may_scale ? 4 : 0;
    return data::Wanted{box, least, least};
  });
  data::resample(part, {.box = box, .height = 16, .width = 16, .top = 0, .left = 0, .size = 16}, small.data());
  return part;
}

}  // namespace

// A byte of a file is at most kMostPixelsPerByte pixels of 3 bytes; libjpeg keeps as many coefficients of 2 bytes, in up to
// four channels, and rounds up to whole blocks.
HINGE_FUZZ_TARGET(picture, "", 8 * kMiB, 16 * data::kMostPixelsPerByte) {
  std::vector<std::uint8_t> small(3 * 16 * 16);
  bool part_is_refused = false;
  for (const bool may_scale : {true, false}) {
    try {
      part_of(bytes, may_scale, small);
    } catch (const Error&) {
      part_is_refused = true;  // and so is the whole
    }
  }
  const data::Picture picture = data::decode_picture(bytes);
  promise(!part_is_refused, "a part is refused only where the whole is");
  const auto height = static_cast<std::size_t>(picture.height), width = static_cast<std::size_t>(picture.width);
  promise(height >= 1 && width >= 1 && picture.pixels.size() == 3 * height * width, "as many pixels as the header says");
  const std::vector<std::uint8_t> of_part = small;
  const data::Box box = box_in(picture.height, picture.width, bytes.size());
  data::resample(picture, {.box = box, .height = 16, .width = 16, .top = 0, .left = 0, .size = 16}, small.data());
  promise(small == of_part, "a part that is not scaled has the whole picture's pixels");
  data::resample(picture, data::centre_crop(picture.height, picture.width, 18, 16), small.data());
}
