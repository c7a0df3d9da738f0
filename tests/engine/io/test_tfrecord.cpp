#include "engine/io/tfrecord.h"

#include <cstring>

#include "tests/support/catch.h"

using namespace hinge::io;

TEST_CASE("the checksum is CRC-32C, by the vectors of RFC 3720") {
  std::string up(32, '\0'), down(32, '\0');
  for (int i = 0; i < 32; ++i) up[static_cast<std::size_t>(i)] = static_cast<char>(i), down[static_cast<std::size_t>(i)] = static_cast<char>(31 - i);
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aau);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43u);
  CHECK(crc32c(up) == 0x46dd794eu);
  CHECK(crc32c(down) == 0x113fdb5cu);
  CHECK(crc32c("123456789") == 0xe3069283u);
  CHECK(crc32c("") == 0u);
}

TEST_CASE("a record is its length, its bytes, and a checksum behind each") {
  const std::string record = tfrecord("hello");
  REQUIRE(record.size() == 8 + 4 + 5 + 4);
  CHECK(record.substr(0, 8) == std::string("\5\0\0\0\0\0\0\0", 8));
  CHECK(record.substr(12, 5) == "hello");
  const auto word = [&](std::size_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, record.data() + at, 4);
    return value;
  };
  CHECK(word(8) == masked_crc32c(record.substr(0, 8)));
  CHECK(word(17) == masked_crc32c("hello"));
  CHECK(masked_crc32c("") == 0xa282ead8u);
}

TEST_CASE("records are counted from the file's bytes, and a torn one is none") {
  const std::string first = tfrecord("a"), second = tfrecord(""), third = tfrecord(std::string(300, 'x')), file = first + second + third;
  CHECK(tfrecord_offset(file, 0) == 0);
  CHECK(tfrecord_offset(file, 1) == first.size());
  CHECK(tfrecord_offset(file, 2) == first.size() + second.size());
  for (std::int64_t count : {3, 4, 100}) CHECK(tfrecord_offset(file, count) == file.size());
  for (std::size_t cut = 0; cut < third.size(); ++cut) CHECK(tfrecord_offset(file.substr(0, file.size() - third.size() + cut), 3) == first.size() + second.size());
  CHECK(tfrecord_offset(std::string(100, '\xff'), 5) == 0);  // a length beyond the file
}
