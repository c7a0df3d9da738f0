// libjpeg and libpng report errors through a callback that must not return: it notes the message and jumps back. What has
// a destructor lies outside the functions that are jumped out of.
#include "data/decode.h"

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

#include <jpeglib.h>

#include <jerror.h>
#include <png.h>

#include "engine/core/error.h"

namespace hinge::data {
namespace {

// What both libraries' callbacks know.
struct Failure {
  std::jmp_buf back;
  char message[256] = "";
  void note(const char* text) {
    if (message[0] == '\0') std::snprintf(message, sizeof message, "%s", text);  // the first is the cause
  }
};

struct JpegErrors {
  jpeg_error_mgr manager;  // first: libjpeg hands out pointers to it
  Failure failure;
};

void jpeg_failed(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  char text[JMSG_LENGTH_MAX];
  info->err->format_message(info, text);
  errors->failure.note(text);
  std::longjmp(errors->failure.back, 1);
}

// Level -1 is data that don't fit together, which libjpeg fills with grey: damage here, except for bytes between segments
// and odd versions in headers, of which no pixel is made. Other levels are traces.
void jpeg_warned(j_common_ptr info, int level) {
  const int code = info->err->msg_code;
  const bool harmless = code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM;
  if (level < 0 && !harmless) jpeg_failed(info);
}

// Four channels of ink to three of light; Adobe writes them inverted.
void cmyk_to_rgb(const std::uint8_t* ink, std::uint8_t* out, std::size_t pixels, bool inverted) {
  for (std::size_t i = 0; i < pixels; ++i) {
    for (std::size_t c = 0; c < 3; ++c) {
      const int colour = inverted ? ink[4 * i + c] : 255 - ink[4 * i + c], black = inverted ? ink[4 * i + 3] : 255 - ink[4 * i + 3];
      out[3 * i + c] = static_cast<std::uint8_t>((colour * black + 127) / 255);
    }
  }
}

// `bytes` is the file's size.
bool size_is_allowed(std::uint64_t height, std::uint64_t width, std::size_t bytes, Failure& failure) {
  constexpr auto kMost = static_cast<std::uint64_t>(kLongestSide);
  const bool fits = height >= 1 && width >= 1 && height <= kMost && width <= kMost;
  if (fits && height * width / kMostPixelsPerByte <= bytes) return true;
  char text[sizeof failure.message];
  const auto h = static_cast<unsigned long long>(height), w = static_cast<unsigned long long>(width);
  if (fits) {
    std::snprintf(text, sizeof text, "%llu x %llu pixels in a file of %zu bytes, at most %zu a byte are possible", w, h, bytes, kMostPixelsPerByte);
  } else {
    std::snprintf(text, sizeof text, "%llu x %llu pixels, at most %d are read along a side", w, h, kLongestSide);
  }
  failure.note(text);
  return false;
}

// False, with the reason in `errors`, if it can't be read. `line` is room for a row of four channels.
bool read_jpeg(std::string_view bytes, JpegErrors& errors, jpeg_decompress_struct& info, Picture& picture, std::vector<std::uint8_t>& line) {
  if (setjmp(errors.failure.back) != 0) return false;
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<unsigned long>(bytes.size()));
  jpeg_read_header(&info, TRUE);
  if (!size_is_allowed(info.image_height, info.image_width, bytes.size(), errors.failure)) return false;
  const bool ink = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
  info.out_color_space = ink ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&info);
  picture.height = static_cast<int>(info.output_height), picture.width = static_cast<int>(info.output_width);
  const std::size_t width = info.output_width;
  picture.pixels.resize(info.output_height * width * 3);
  if (ink) line.resize(width * 4);
  while (info.output_scanline < info.output_height) {
    std::uint8_t* row = picture.pixels.data() + info.output_scanline * width * 3;
    JSAMPROW target = ink ? line.data() : row;
    jpeg_read_scanlines(&info, &target, 1);
    if (ink) cmyk_to_rgb(line.data(), row, width, info.saw_Adobe_marker != 0);
  }
  jpeg_finish_decompress(&info);  // looks at what is behind the last row
  return true;
}

void decode_jpeg(std::string_view bytes, Picture& picture) {
  JpegErrors errors;
  jpeg_decompress_struct info;
  info.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = &jpeg_failed;
  errors.manager.emit_message = &jpeg_warned;
  jpeg_create_decompress(&info);
  std::vector<std::uint8_t> line;
  const bool whole = read_jpeg(bytes, errors, info, picture, line);
  jpeg_destroy_decompress(&info);
  require(whole, "damaged or cut off: {}", errors.failure.message);
}

struct PngSource {
  std::string_view rest;
  std::size_t bytes;  // of the whole file
  Failure failure;
};

void png_failed(png_structp png, png_const_charp text) {
  auto* source = static_cast<PngSource*>(png_get_error_ptr(png));
  source->failure.note(text);
  std::longjmp(source->failure.back, 1);
}

void png_read(png_structp png, png_bytep out, png_size_t count) {
  auto* source = static_cast<PngSource*>(png_get_io_ptr(png));
  if (source->rest.size() < count) png_error(png, "the file ends too early");
  std::memcpy(out, source->rest.data(), count);
  source->rest.remove_prefix(count);
}

bool read_png(png_structp png, png_infop info, PngSource& source, Picture& picture, std::vector<png_bytep>& rows) {
  if (setjmp(source.failure.back) != 0) return false;
  png_read_info(png, info);
  if (!size_is_allowed(png_get_image_height(png, info), png_get_image_width(png, info), source.bytes, source.failure)) return false;
  // Palettes, grey, 16 bits and transparency: all become 8 bits of red, green and blue.
  png_set_expand(png);
  png_set_scale_16(png);
  png_set_strip_alpha(png);
  png_set_gray_to_rgb(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  picture.height = static_cast<int>(png_get_image_height(png, info)), picture.width = static_cast<int>(png_get_image_width(png, info));
  const std::size_t row = static_cast<std::size_t>(picture.width) * 3;
  if (png_get_rowbytes(png, info) != row) png_error(png, "rows of an unexpected size");
  picture.pixels.resize(static_cast<std::size_t>(picture.height) * row);
  for (int y = 0; y < picture.height; ++y) rows.push_back(picture.pixels.data() + static_cast<std::size_t>(y) * row);
  png_read_image(png, rows.data());
  png_read_end(png, nullptr);
  return true;
}

void decode_png(std::string_view bytes, Picture& picture) {
  PngSource source{bytes, bytes.size(), {}};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, &png_failed, [](png_structp, png_const_charp) {});
  require(png != nullptr, "libpng cannot start");
  png_infop info = png_create_info_struct(png);
  png_set_read_fn(png, &source, &png_read);
  std::vector<png_bytep> rows;
  const bool whole = info != nullptr && read_png(png, info, source, picture, rows);
  png_destroy_read_struct(&png, &info, nullptr);
  require(whole, "damaged or cut off: {}", source.failure.message);
}

}  // namespace

Picture decode_picture(std::string_view bytes) {
  Picture picture;
  if (bytes.starts_with("\xFF\xD8")) {
    decode_jpeg(bytes, picture);
  } else if (bytes.starts_with("\x89PNG")) {
    decode_png(bytes, picture);
  } else {
    fail("neither a JPEG nor a PNG file");
  }
  return picture;
}

Picture read_picture(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  require(in.good(), "{}: cannot be read", file.string());
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  try {
    return decode_picture(bytes);
  } catch (const Error& error) {
    fail("{}: {}", file.string(), error.what());
  }
}

}  // namespace hinge::data
