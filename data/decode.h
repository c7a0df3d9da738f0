// JPEG and PNG files to pixels, through libjpeg and libpng. Not stb_image: version 2.27, which Debian 12 has, takes what a
// cut-off JPEG lacks for grey and reads and writes outside its tables where a file is damaged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

namespace hinge::data {

// [H, W, 3], 8 bits, red first.
struct Picture {
  int height = 0, width = 0;
  std::vector<std::uint8_t> pixels;
};

// The longest side that is decoded: a header that lies can't ask for more than 3 * 16384^2 bytes.
inline constexpr int kLongestSide = 16384;

// Of a file, in its header or behind it: 1032 bytes is what deflate makes of one at most, of 8 pixels each in black and white.
// Huffman codes of a JPEG stop at 512 pixels a byte (one bit for each block of 8 x 8). So memory is a multiple of the file's size.
inline constexpr std::size_t kMostPixelsPerByte = 8 * 1032;

// Grey becomes red = green = blue, an alpha channel is left out, CMYK is converted. Throws Error with the reason, without
// the file's name: no picture, another format, cut off, damaged.
Picture decode_picture(std::string_view bytes);

// The same for a file; the Error names it.
Picture read_picture(const std::filesystem::path& file);

}  // namespace hinge::data
