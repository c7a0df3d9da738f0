// stb_image takes what a JPEG lacks for grey and says nothing, so the end of a JPEG is looked for here first.
#include "data/decode.h"

#include <fstream>
#include <iterator>
#include <memory>

#include "engine/core/error.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 16384
#include <stb/stb_image.h>

namespace hinge::data {
namespace {

static_assert(STBI_MAX_DIMENSIONS == kLongestSide);

// Walks a JPEG's segments (ITU-T T.81, annex B) up to the marker "end of image". Not a search for its two bytes: a
// thumbnail inside has one too.
bool jpeg_is_whole(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0u; };
  constexpr unsigned kEnd = 0xD9, kScan = 0xDA, kFirstRestart = 0xD0, kLastRestart = 0xD7;
  std::size_t i = 2;  // behind "start of image"
  while (i + 1 < bytes.size()) {
    if (at(i) != 0xFF) return false;
    const unsigned marker = at(i + 1);
    if (marker == 0xFF) {  // padding
      ++i;
      continue;
    }
    if (marker == kEnd) return true;
    i += 2 + (at(i + 2) << 8 | at(i + 3));
    if (marker != kScan) continue;
    // Coded data: 0xFF is followed by 0, or is a restart marker.
    while (i + 1 < bytes.size() && !(at(i) == 0xFF && at(i + 1) != 0 && !(at(i + 1) >= kFirstRestart && at(i + 1) <= kLastRestart))) ++i;
  }
  return false;
}

}  // namespace

Picture decode_picture(std::string_view bytes) {
  const bool jpeg = bytes.starts_with("\xFF\xD8"), png = bytes.starts_with("\x89PNG");
  require(jpeg || png, "neither a JPEG nor a PNG file");
  require(!jpeg || jpeg_is_whole(bytes), "cut off: the JPEG has no end");
  require(bytes.size() <= 1u << 30, "{} bytes, at most {} are read", bytes.size(), 1u << 30);
  Picture picture;
  int channels_in_file = 0;
  const std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> pixels(
      stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(bytes.data()), static_cast<int>(bytes.size()), &picture.width, &picture.height, &channels_in_file, 3),
      &stbi_image_free);
  require(pixels != nullptr, "damaged: {}", stbi_failure_reason());
  const auto size = static_cast<std::size_t>(picture.height) * static_cast<std::size_t>(picture.width) * 3;
  picture.pixels.assign(pixels.get(), pixels.get() + size);
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
