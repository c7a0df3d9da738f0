// libjpeg and libpng report errors through a callback that must not return: it notes the message and jumps back. What has
// a destructor lies outside the functions that are jumped out of.
#include "data/decode.h"

#include <csetjmp>
#include <cstdio>
#include <cstring>

#include <jpeglib.h>

#include <jerror.h>
#include <png.h>

#ifndef LIBJPEG_TURBO_VERSION_NUMBER
#error "libjpeg-turbo is needed (Debian: libjpeg-dev): jpeg_crop_scanline and jpeg_skip_scanlines are its own"
#endif

#include "engine/core/error.h"
#include "engine/io/file.h"

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

// A decoder of one file. What can jump back is in the functions that return false, with the reason in `errors`.
struct JpegReader {
  JpegErrors errors;
  jpeg_decompress_struct info;
  std::vector<std::uint8_t> line;  // a row of four channels

  JpegReader() {
    info.err = jpeg_std_error(&errors.manager);
    errors.manager.error_exit = &jpeg_failed;
    errors.manager.emit_message = &jpeg_warned;
    jpeg_create_decompress(&info);
  }
  ~JpegReader() { jpeg_destroy_decompress(&info); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  bool has_ink() const { return info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK; }
  void check(bool done) const { require(done, "damaged or cut off: {}", errors.failure.message); }
};

bool read_header(JpegReader& reader, std::string_view bytes) {
  jpeg_decompress_struct& info = reader.info;
  if (setjmp(reader.errors.failure.back) != 0) return false;
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<unsigned long>(bytes.size()));
  jpeg_read_header(&info, TRUE);
  if (!size_is_allowed(info.image_height, info.image_width, bytes.size(), reader.errors.failure)) return false;
  info.out_color_space = reader.has_ink() ? JCS_CMYK : JCS_RGB;
  return true;
}

bool read_whole(JpegReader& reader, Picture& picture) {
  jpeg_decompress_struct& info = reader.info;
  if (setjmp(reader.errors.failure.back) != 0) return false;
  jpeg_start_decompress(&info);
  picture.height = static_cast<int>(info.output_height), picture.width = static_cast<int>(info.output_width);
  const std::size_t width = info.output_width;
  picture.pixels.resize(info.output_height * width * 3);
  if (reader.has_ink()) reader.line.resize(width * 4);
  while (info.output_scanline < info.output_height) {
    std::uint8_t* row = picture.pixels.data() + info.output_scanline * width * 3;
    JSAMPROW target = reader.has_ink() ? reader.line.data() : row;
    jpeg_read_scanlines(&info, &target, 1);
    if (reader.has_ink()) cmyk_to_rgb(reader.line.data(), row, width, info.saw_Adobe_marker != 0);
  }
  jpeg_finish_decompress(&info);  // looks at what is behind the last row
  return true;
}

// Whether a scaled picture has its colours at full size too: where their samples are for one pixel, or for 2 x 2, as nearly
// always, whose inverse transform is then not scaled. Where colours are coarser in one direction alone they would be coarser still.
bool keeps_colours_when_scaled(const jpeg_decompress_struct& info) {
  const int across = info.max_h_samp_factor, down = info.max_v_samp_factor;
  if (across != down || across > 2) return false;
  for (int c = 0; c < info.num_components; ++c) {
    const jpeg_component_info& component = info.comp_info[c];
    if (component.h_samp_factor != component.v_samp_factor) return false;
  }
  return true;
}

// The smallest of 8, 4, 2 and 1 eighths at which the box keeps the least size. Those between are not chosen: their inverse
// transforms are not vectorised, and decoding takes longer than at 8 eighths.
int eighths_for(const Wanted& wanted) {
  int eighths = 8;
  if (wanted.least_height < 1 || wanted.least_width < 1) return eighths;
  while (eighths > 1 && wanted.box.height * (eighths / 2) >= wanted.least_height * 8 && wanted.box.width * (eighths / 2) >= wanted.least_width * 8) eighths /= 2;
  return eighths;
}

// [begin, end) of a side as it is wanted, scaled, with what lies around it that smoothing of colours reads.
struct Range {
  JDIMENSION begin, end;
};
Range range_of(int begin, int length, int eighths, int margin, JDIMENSION most) {
  const int first = begin * eighths / 8 - margin, last = ((begin + length) * eighths + 7) / 8 + margin;
  return {static_cast<JDIMENSION>(first < 0 ? 0 : first), static_cast<JDIMENSION>(last) > most ? most : static_cast<JDIMENSION>(last)};
}

bool read_part(JpegReader& reader, const Wanted& wanted, Part& part) {
  jpeg_decompress_struct& info = reader.info;
  if (setjmp(reader.errors.failure.back) != 0) return false;
  part.eighths = keeps_colours_when_scaled(info) ? eighths_for(wanted) : 8;
  info.scale_num = static_cast<unsigned>(part.eighths), info.scale_denom = 8;
  jpeg_start_decompress(&info);
  // A sample of colour is up to four pixels, and each pixel is made of two of them per side: with a margin of two samples, that of
  // the picture's edge or of the cut, which has one, stays outside.
  // libjpeg-turbo 2.1 needs it for columns only: skipping rows, it decodes what the next ones read.
  const Range rows = range_of(wanted.box.top, wanted.box.height, part.eighths, 2 * info.max_v_samp_factor, info.output_height);
  const Range columns = range_of(wanted.box.left, wanted.box.width, part.eighths, 2 * info.max_h_samp_factor, info.output_width);
  JDIMENSION left = columns.begin, width = columns.end - columns.begin;
  if (width < info.output_width) jpeg_crop_scanline(&info, &left, &width);  // begins at a block, at or before what was asked
  const std::size_t row_bytes = static_cast<std::size_t>(info.output_width) * 3;
  part.top = static_cast<int>(rows.begin), part.left = static_cast<int>(left);
  part.pixels.height = static_cast<int>(rows.end - rows.begin), part.pixels.width = static_cast<int>(info.output_width);
  part.pixels.pixels.resize((rows.end - rows.begin) * row_bytes);
  if (rows.begin > 0) jpeg_skip_scanlines(&info, rows.begin);
  while (info.output_scanline < rows.end) {
    JSAMPROW row = part.pixels.pixels.data() + (info.output_scanline - rows.begin) * row_bytes;
    jpeg_read_scanlines(&info, &row, 1);
  }
  return true;  // what lies behind isn't read
}

Picture decode_jpeg(std::string_view bytes) {
  JpegReader reader;
  Picture picture;
  reader.check(read_header(reader, bytes));
  reader.check(read_whole(reader, picture));
  return picture;
}

void check_box(const Box& box, int height, int width) {
  require(box.top >= 0 && box.left >= 0 && box.height >= 1 && box.width >= 1 && box.top + box.height <= height && box.left + box.width <= width,
          "a box of {}x{} at ({}, {}) of a {}x{} picture", box.height, box.width, box.top, box.left, height, width);
}

Part decode_part_of_jpeg(std::string_view bytes, const Choice& choose) {
  JpegReader reader;
  Part part;
  reader.check(read_header(reader, bytes));
  const int height = static_cast<int>(reader.info.image_height), width = static_cast<int>(reader.info.image_width);
  const Wanted wanted = choose(height, width);
  check_box(wanted.box, height, width);
  reader.check(reader.has_ink() ? read_whole(reader, part.pixels) : read_part(reader, wanted, part));
  return part;
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

Picture decode_png(std::string_view bytes) {
  Picture picture;
  PngSource source{bytes, bytes.size(), {}};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, &png_failed, [](png_structp, png_const_charp) {});
  require(png != nullptr, "libpng cannot start");
  png_infop info = png_create_info_struct(png);
  png_set_read_fn(png, &source, &png_read);
  std::vector<png_bytep> rows;
  const bool whole = info != nullptr && read_png(png, info, source, picture, rows);
  png_destroy_read_struct(&png, &info, nullptr);
  require(whole, "damaged or cut off: {}", source.failure.message);
  return picture;
}

bool is_jpeg(std::string_view bytes) { return bytes.starts_with("\xFF\xD8"); }

}  // namespace

Picture decode_picture(std::string_view bytes) {
  if (is_jpeg(bytes)) return decode_jpeg(bytes);
  if (bytes.starts_with("\x89PNG")) return decode_png(bytes);
  fail("neither a JPEG nor a PNG file");
}

Part decode_part(std::string_view bytes, const Choice& choose) {
  if (is_jpeg(bytes)) return decode_part_of_jpeg(bytes, choose);
  Part part{.pixels = decode_picture(bytes)};
  check_box(choose(part.pixels.height, part.pixels.width).box, part.pixels.height, part.pixels.width);
  return part;
}

std::string decoder_versions() { return fmt::format("libjpeg {} turbo {} libpng {}", JPEG_LIB_VERSION, LIBJPEG_TURBO_VERSION_NUMBER, png_access_version_number()); }

Picture read_picture(const std::filesystem::path& file) {
  const std::string bytes = io::read_file(file);
  try {
    return decode_picture(bytes);
  } catch (const Error& error) {
    fail("{}: {}", file.string(), error.what());
  }
}

}  // namespace hinge::data
