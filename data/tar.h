// Tar archives (POSIX ustar), as far as files of pictures need them: a header of 512 bytes, the content, zeros up to the next 512.
//
// Every header is a function of name and size alone (mode 0644, nobody's, 1980-01-01), so the same files make the same archive.
#pragma once

#include <cstdint>
#include <string>

namespace hinge::data {

inline constexpr std::uint64_t kTarBlock = 512;
inline constexpr std::uint64_t kTarEnd = 2 * kTarBlock;  // zeros behind the last member

// An Error where ustar has no room: names of more than 255 bytes or with no '/' between the last 100 and the first 155, empty or
// absolute names, 8 GiB and more.
std::string tar_header(const std::string& name, std::uint64_t bytes);

// Header, content and zeros.
std::uint64_t tar_record_bytes(std::uint64_t content);

}  // namespace hinge::data
