// JPEG and PNG files through libjpeg and libpng, and what resampling makes of them.
#include "data/decode.h"

#include "data/resample.h"
#include "tests/fuzz/target.h"

using namespace hinge;
using namespace hinge::fuzz;

// A byte of a file is at most kMostPixelsPerByte pixels of 3 bytes; libjpeg keeps as many coefficients of 2 bytes, in up to
// four channels, and rounds up to whole blocks.
HINGE_FUZZ_TARGET(picture, "", 8 * kMiB, 16 * data::kMostPixelsPerByte) {
  const data::Picture picture = data::decode_picture(bytes);
  const auto height = static_cast<std::size_t>(picture.height), width = static_cast<std::size_t>(picture.width);
  promise(height >= 1 && width >= 1 && picture.pixels.size() == 3 * height * width, "as many pixels as the header says");
  std::vector<std::uint8_t> small(3 * 16 * 16);
  data::resample(picture, data::centre_crop(picture.height, picture.width, 18, 16), small.data());
}
