// The IDX format of MNIST and its descendants, plain or compressed with gzip, and Fashion-MNIST
// read from it.
//
//   images:  00 00 08 03 | count | height | width | count * height * width bytes
//   labels:  00 00 08 01 | count | count bytes                                       all sizes
//   big-endian, 32 bits
//
// The header is not believed: memory grows with the bytes that really arrive, never with what the
// header promises, and the file must end exactly where the header says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/dataset.h"

namespace hinge::data {

struct IdxImages {
  int count = 0, height = 0, width = 0;
  std::vector<std::uint8_t> pixels;  // [N, H, W]
};

IdxImages read_idx_images(const std::filesystem::path& file);
std::vector<std::uint8_t> read_idx_labels(const std::filesystem::path& file);

// Where Debian's dataset-fashion-mnist puts its files.
inline constexpr const char* kFashionMnistDir = "/usr/share/datasets/fashion-mnist";

// Fashion-MNIST with its 28 x 28 images zero-padded to 32 x 32, two pixels on each side, so that
// networks made for CIFAR take it with one channel. The normalisation is that of the images without
// padding. Files, each with or without .gz: {train,t10k}-images-idx3-ubyte,
// {train,t10k}-labels-idx1-ubyte. An empty `dir` means kFashionMnistDir. `fingerprint` is left
// empty; load_dataset (dataset.h) fills it in.
Dataset load_fashion_mnist(const std::filesystem::path& dir);

}  // namespace hinge::data
