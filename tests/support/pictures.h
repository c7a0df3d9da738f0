// PNG and JPEG files for tests, through stb_image_write.
#pragma once

#include "data/decode.h"
#include "tests/data/files.h"

namespace hinge::testing {

// Noise with a tint: every seed is another picture.
data::Picture noise_picture(int height, int width, int seed);
// Colours that change slowly, which a JPEG keeps to a few levels.
data::Picture smooth_picture(int height, int width, int seed);

Bytes png_of(const data::Picture& picture);
Bytes jpeg_of(const data::Picture& picture, int quality = 95);

// How a JPEG is written, by libjpeg: a sample of colour is for across x down pixels.
struct JpegForm {
  int quality = 90, across = 2, down = 2;
  bool progressive = false, grey = false, ink = false;
};
Bytes jpeg_of(const data::Picture& picture, const JpegForm& form);

// DIR/{train,val}/{bird,cat,dog} with `images` PNG and JPEG files each, of different sizes.
void write_small_folder(const std::filesystem::path& dir, int images);

}  // namespace hinge::testing
