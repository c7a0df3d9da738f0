#include "tests/support/pictures.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include <jpeglib.h>

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

Bytes jpeg_of(const data::Picture& picture, const JpegForm& form) {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &bytes, &size);
  info.image_height = static_cast<JDIMENSION>(picture.height), info.image_width = static_cast<JDIMENSION>(picture.width);
  info.input_components = form.ink ? 4 : 3;
  info.in_color_space = form.ink ? JCS_CMYK : JCS_RGB;
  jpeg_set_defaults(&info);
  if (form.grey) jpeg_set_colorspace(&info, JCS_GRAYSCALE);
  jpeg_set_quality(&info, form.quality, TRUE);
  if (!form.grey) info.comp_info[0].h_samp_factor = form.across, info.comp_info[0].v_samp_factor = form.down;
  if (form.progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    std::vector<std::uint8_t> line;
    for (int x = 0; x < picture.width; ++x) {
      const std::uint8_t* pixel = picture.pixels.data() + (static_cast<std::size_t>(info.next_scanline) * static_cast<std::size_t>(picture.width) + static_cast<std::size_t>(x)) * 3;
      line.insert(line.end(), pixel, pixel + 3);
      if (form.ink) line.push_back(255);
    }
    JSAMPROW row = line.data();
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  Bytes result(bytes, bytes + size);
  std::free(bytes);
  return result;
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
