// JPEG and PNG: what is whole is read, what is not is refused with the reason.
#include "data/decode.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "engine/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/pictures.h"

using namespace hinge;
using namespace hinge::testing;
using namespace hinge::data;

namespace {

std::string_view text(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

bool is_refused(std::string_view bytes) {
  try {
    decode_picture(bytes);
  } catch (const Error&) {
    return true;
  }
  return false;
}

}  // namespace

TEST_CASE("a PNG comes back pixel by pixel, a JPEG to a few levels") {
  const Picture noise = noise_picture(23, 31, 4);
  const Picture from_png = decode_picture(text(png_of(noise)));
  CHECK(from_png.height == 23);
  CHECK(from_png.width == 31);
  CHECK(from_png.pixels == noise.pixels);
  const Picture smooth = smooth_picture(40, 56, 1), from_jpeg = decode_picture(text(jpeg_of(smooth, 100)));
  REQUIRE(from_jpeg.pixels.size() == smooth.pixels.size());
  for (std::size_t i = 0; i < smooth.pixels.size(); ++i) CHECK(std::abs(from_jpeg.pixels[i] - smooth.pixels[i]) <= 8);
}

TEST_CASE("a JPEG cut anywhere is refused, and so is a PNG that lacks pixels") {
  const Bytes jpeg = jpeg_of(noise_picture(24, 24, 1)), png = png_of(noise_picture(24, 24, 1));
  for (std::size_t size = 0; size + 1 < jpeg.size(); ++size) {
    INFO("JPEG of " << jpeg.size() << " bytes cut to " << size);
    CHECK(is_refused(text(jpeg).substr(0, size)));
  }
  constexpr std::size_t kEndChunk = 12;
  for (std::size_t size = 0; size + kEndChunk < png.size(); ++size) {
    INFO("PNG of " << png.size() << " bytes cut to " << size);
    CHECK(is_refused(text(png).substr(0, size)));
  }
  CHECK_THROWS_WITH(decode_picture(text(jpeg).substr(0, jpeg.size() - 2)), contains("cut off"));
}

TEST_CASE("the end of a thumbnail inside is not taken for the picture's") {
  // A JPEG with a comment segment that holds a whole small JPEG, cut behind the comment.
  const Bytes thumbnail = jpeg_of(noise_picture(8, 8, 2)), picture = jpeg_of(noise_picture(24, 24, 1));
  Bytes bytes = {0xFF, 0xD8, 0xFF, 0xFE, static_cast<std::uint8_t>((thumbnail.size() + 2) >> 8), static_cast<std::uint8_t>(thumbnail.size() + 2)};
  bytes.insert(bytes.end(), thumbnail.begin(), thumbnail.end());
  bytes.insert(bytes.end(), picture.begin() + 2, picture.end());
  CHECK(decode_picture(text(bytes)).width == 24);
  CHECK(is_refused(text(bytes).substr(0, bytes.size() - 100)));
}

TEST_CASE("Huffman tables with more codes than there can be are refused before they are read") {
  Bytes jpeg = jpeg_of(noise_picture(24, 24, 1));
  const Bytes marker = {0xFF, 0xC4};
  const auto table = std::search(jpeg.begin(), jpeg.end(), marker.begin(), marker.end());
  REQUIRE(table != jpeg.end());
  std::fill_n(table + 5, 16, 0xFF);  // behind marker, length and the table's number: codes of each length
  CHECK_THROWS_WITH(decode_picture(text(jpeg)), contains("damaged"));
}

TEST_CASE("bytes behind the end don't matter") {
  Bytes jpeg = jpeg_of(noise_picture(24, 24, 1));
  jpeg.insert(jpeg.end(), {0, 0, 1, 2, 3});
  CHECK(decode_picture(text(jpeg)).height == 24);
}

TEST_CASE("damaged bytes give a picture or an Error, nothing else") {
  for (const Bytes& whole : {jpeg_of(noise_picture(24, 24, 1)), png_of(smooth_picture(24, 24, 1))}) {
    for (std::size_t i = 0; i < whole.size(); ++i) {
      for (std::uint8_t change : {0x01, 0x80, 0xFF}) {
        Bytes damaged = whole;
        damaged[i] ^= change;
        try {
          const Picture picture = decode_picture(text(damaged));
          CHECK(picture.pixels.size() == static_cast<std::size_t>(picture.height) * static_cast<std::size_t>(picture.width) * 3);
        } catch (const Error&) {
        }
      }
    }
  }
}

TEST_CASE("what is no picture, or too large, is refused with the reason and the file's name") {
  CHECK_THROWS_WITH(decode_picture(""), contains("neither a JPEG nor a PNG"));
  CHECK_THROWS_WITH(decode_picture("GIF89a..."), contains("neither a JPEG nor a PNG"));
  Bytes png = png_of(noise_picture(4, 4, 1));
  png[16] = 0x7F;  // the first byte of the width
  CHECK_THROWS_WITH(decode_picture(text(png)), contains("damaged"));
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(read_picture(folder.path() / "none.png"), contains("none.png"));
  write_bytes(folder.path() / "text.jpg", {'h', 'i'});
  CHECK_THROWS_WITH(read_picture(folder.path() / "text.jpg"), contains("text.jpg") && contains("neither"));
}
