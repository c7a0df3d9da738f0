#include "data/tar.h"

#include <cstring>

#include "engine/core/error.h"

namespace hinge::data {
namespace {

// Where each field lies in a header.
struct Field {
  std::size_t at, size;
};
constexpr Field kName{0, 100}, kMode{100, 8}, kUser{108, 8}, kGroup{116, 8}, kSize{124, 12}, kTime{136, 12}, kSum{148, 8}, kType{156, 1}, kMagic{257, 8}, kPrefix{345, 155};

constexpr std::uint64_t kMostBytes = (std::uint64_t{1} << 33) - 1;  // eleven octal digits
constexpr std::uint64_t k1980 = 315532800;                          // tar warns of 1970

void put(std::string& header, Field field, const std::string& text) { std::memcpy(header.data() + field.at, text.data(), text.size()); }

// Octal digits up to the field's last byte, which stays zero.
void put_number(std::string& header, Field field, std::uint64_t value) { put(header, field, fmt::format("{:0{}o}", value, field.size - 1)); }

}  // namespace

std::uint64_t tar_record_bytes(std::uint64_t content) { return kTarBlock + (content + kTarBlock - 1) / kTarBlock * kTarBlock; }

std::string tar_header(const std::string& name, std::uint64_t bytes) {
  require(!name.empty() && name[0] != '/' && name.find('\0') == std::string::npos, "'{}' can't be a name in a tar archive", name);
  require(bytes <= kMostBytes, "{}: {} bytes, a tar archive holds files of at most {}", name, bytes, kMostBytes);
  // The end goes into the name, what is before a '/' into the prefix.
  std::size_t slash = std::string::npos;
  if (name.size() > kName.size) {
    slash = name.find('/', name.size() - kName.size - 1);
    require(slash != std::string::npos && slash > 0 && slash <= kPrefix.size && slash + 1 < name.size(),
            "{}: {} bytes of name don't fit into a tar archive, expected at most {} behind a '/' and {} before it", name, name.size(), kName.size, kPrefix.size);
  }
  std::string header(kTarBlock, '\0');
  put(header, kName, slash == std::string::npos ? name : name.substr(slash + 1));
  if (slash != std::string::npos) put(header, kPrefix, name.substr(0, slash));
  put_number(header, kMode, 0644);
  put_number(header, kUser, 0);
  put_number(header, kGroup, 0);
  put_number(header, kSize, bytes);
  put_number(header, kTime, k1980);
  put(header, kType, "0");
  put(header, kMagic, std::string("ustar\0"
                                  "00",
                                  8));
  put(header, kSum, std::string(kSum.size, ' '));  // counts as spaces
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put(header, kSum, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
  return header;
}

}  // namespace hinge::data
