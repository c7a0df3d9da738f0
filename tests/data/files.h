// Small files for the tests of this room: a folder that goes away again, raw bytes, gzip, CIFAR and
// IDX contents.
#pragma once

#include <unistd.h>
#include <zlib.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "engine/core/error.h"

namespace hinge::testing {

using Bytes = std::vector<std::uint8_t>;

// The words of the Error that act() throws; "no error" where it throws none.
inline std::string error_of(auto act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    static std::atomic<int> made{0};
    path_ = std::filesystem::temp_directory_path() /
            fmt::format("hinge-data-{}-{}", ::getpid(), made++);
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline void write_bytes(const std::filesystem::path& file, const Bytes& bytes) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  out.close();
  require(!out.fail(), "test: cannot write '{}'", file.string());
}

inline void write_gzip(const std::filesystem::path& file, const Bytes& bytes) {
  gzFile out = gzopen(file.c_str(), "wb");
  require(out != nullptr, "test: cannot write '{}'", file.string());
  gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(out);
}

inline Bytes read_bytes(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(in), {});
}

// A pixel value that differs between neighbours in every direction, between channels and between
// images.
inline std::uint8_t pattern(int n, int y, int x, int c) {
  return static_cast<std::uint8_t>(37 * n + 11 * y + 5 * x + 83 * c + y * x);
}

// One record: `labels`, then three planes of pattern(n, ...).
inline Bytes cifar_record(int n, const Bytes& labels) {
  Bytes bytes = labels;
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < 32; ++y) {
      for (int x = 0; x < 32; ++x) bytes.push_back(pattern(n, y, x, c));
    }
  }
  return bytes;
}

inline Bytes joined(const std::vector<Bytes>& parts) {
  Bytes all;
  for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// A CIFAR-10 folder with two records in each training file and one in the test file: image n has
// label n % 10.
inline void write_small_cifar10(const std::filesystem::path& folder) {
  for (int f = 0; f < 5; ++f) {
    const int n = 2 * f;
    write_bytes(folder / fmt::format("data_batch_{}.bin", f + 1),
                joined({cifar_record(n, {static_cast<std::uint8_t>(n)}),
                        cifar_record(n + 1, {static_cast<std::uint8_t>(n + 1)})}));
  }
  write_bytes(folder / "test_batch.bin", cifar_record(100, {7}));
}

inline Bytes big_endian(std::initializer_list<std::uint32_t> sizes) {
  Bytes bytes;
  for (std::uint32_t size : sizes) {
    for (int shift : {24, 16, 8, 0}) bytes.push_back(static_cast<std::uint8_t>(size >> shift));
  }
  return bytes;
}

// An IDX image file: pattern(n, y, x, 0).
inline Bytes idx_images(int count, int height, int width) {
  Bytes bytes = big_endian({0x803, static_cast<std::uint32_t>(count),
                            static_cast<std::uint32_t>(height), static_cast<std::uint32_t>(width)});
  for (int n = 0; n < count; ++n) {
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) bytes.push_back(pattern(n, y, x, 0));
    }
  }
  return bytes;
}

inline Bytes idx_labels(const Bytes& labels) {
  return joined({big_endian({0x801, static_cast<std::uint32_t>(labels.size())}), labels});
}

}  // namespace hinge::testing
