// JPEG and PNG files to pixels, through libjpeg and libpng. Not stb_image: version 2.27, which Debian 12 has, takes what a
// cut-off JPEG lacks for grey and reads and writes outside its tables where a file is damaged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace hinge::data {

// [H, W, 3], 8 bits, red first.
struct Picture {
  int height = 0, width = 0;
  std::vector<std::uint8_t> pixels;
};

// A part of a picture, in whole pixels.
struct Box {
  int top = 0, left = 0, height = 0, width = 0;
  bool operator==(const Box&) const = default;
};

// What of a picture is needed: the pixels of `box`. Where a least size is given the box may come smaller, but never below it.
struct Wanted {
  Box box;
  int least_height = 0, least_width = 0;  // 0: as it is
};

// What was decoded, which holds what was wanted: the pixels from (top, left) on of the picture scaled by `eighths` / 8, where
// pixel j of a side covers [j, j + 1) 8 / eighths of the picture.
struct Part {
  Picture pixels;
  int top = 0, left = 0, eighths = 8;
};

// The longest side that is decoded: a header that lies can't ask for more than 3 * 16384^2 bytes.
inline constexpr int kLongestSide = 16384;

// Of a file, in its header or behind it: 1032 bytes is what deflate makes of one at most, of 8 pixels each in black and white.
// Huffman codes of a JPEG stop at 512 pixels a byte (one bit for each block of 8 x 8). So memory is a multiple of the file's size.
inline constexpr std::size_t kMostPixelsPerByte = 8 * 1032;

// Grey becomes red = green = blue, an alpha channel is left out, CMYK is converted. Throws Error with the reason, without
// the file's name: no picture, another format, cut off, damaged.
Picture decode_picture(std::string_view bytes);

// Told the picture's size, says what is needed of it.
using Choice = std::function<Wanted(int height, int width)>;

// The same for a part. Of a JPEG, rows and columns outside the box aren't decoded and a box of twice the least size or more is
// decoded at a half, a quarter or an eighth; of what is not scaled every pixel is decode_picture's. PNG and CMYK are decoded
// whole. Damage behind the box isn't seen: whoever needs to know that a file is whole decodes the picture.
Part decode_part(std::string_view bytes, const Choice& choose);

// The libraries that do it: others may take other files for broken, or make other pixels of them. libjpeg's are the numbers it was
// compiled with.
std::string decoder_versions();

// decode_picture of a file; the Error names it.
Picture read_picture(const std::filesystem::path& file);

}  // namespace hinge::data
