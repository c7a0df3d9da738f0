// Records of TensorFlow's TFRecord files (tensorflow/core/lib/io/record_writer.h), which TensorBoard reads:
//
//   record = length as 8 bytes, masked CRC of these, so many bytes, masked CRC of those      all little endian
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hinge::io {

// CRC-32C (Castagnoli, polynomial 0x1edc6f41), as in RFC 3720, appendix B.4.
std::uint32_t crc32c(std::string_view bytes);
// Rotated by 15 bits and moved by a constant: a CRC over data that hold CRCs would be weak.
std::uint32_t masked_crc32c(std::string_view bytes);

std::string tfrecord(std::string_view payload);
// Where record number `count` begins in `file`, from 0: the size of the first `count` records. Less where the file ends before, or
// a length leads beyond its end: then where the last whole record ends.
std::uint64_t tfrecord_offset(std::string_view file, std::int64_t count);

}  // namespace hinge::io
