#include "tests/support/pictures.h"

#include <cmath>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace hinge::testing {
namespace {

data::Picture make(int height, int width, auto value) {
  data::Picture picture{height, width, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) picture.pixels.push_back(static_cast<std::uint8_t>(value(y, x, c)));
    }
  }
  return picture;
}

void append(void* bytes, void* data, int size) {
  const auto* first = static_cast<std::uint8_t*>(data);
  static_cast<Bytes*>(bytes)->insert(static_cast<Bytes*>(bytes)->end(), first, first + size);
}

}  // namespace

data::Picture noise_picture(int height, int width, int seed) {
  return make(height, width, [&](int y, int x, int c) { return pattern(seed, y, x, c); });
}

data::Picture smooth_picture(int height, int width, int seed) {
  return make(height, width, [&](int y, int x, int c) {
    return 128.0 + 90.0 * std::sin(0.05 * x + seed + c) * std::cos(0.04 * y - seed);
  });
}

Bytes png_of(const data::Picture& picture) {
  Bytes bytes;
  stbi_write_png_to_func(&append, &bytes, picture.width, picture.height, 3, picture.pixels.data(), picture.width * 3);
  return bytes;
}

Bytes jpeg_of(const data::Picture& picture, int quality) {
  Bytes bytes;
  stbi_write_jpg_to_func(&append, &bytes, picture.width, picture.height, 3, picture.pixels.data(), quality);
  return bytes;
}

void write_small_folder(const std::filesystem::path& dir, int images) {
  int seed = 0;
  for (const char* part : {"train", "val"}) {
    for (const char* name : {"bird", "cat", "dog"}) {
      for (int i = 0; i < images; ++i, ++seed) {
        const data::Picture picture = smooth_picture(20 + seed % 7, 24 + seed % 5, seed);
        const std::string file = std::to_string(i);
        if (i % 2 == 0) {
          write_bytes(dir / part / name / (file + ".png"), png_of(picture));
        } else {
          write_bytes(dir / part / name / (file + ".JPEG"), jpeg_of(picture));
        }
      }
    }
  }
}

}  // namespace hinge::testing
