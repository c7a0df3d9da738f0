// Image data sets in memory: 8-bit pixels [N, H, W, C], one integer label per image.
//
// Everything after this point sees a data set only through these types; the files they come from
// are the business of cifar.h and idx.h. Pixels stay 8-bit until a batch is made (augment.h), a
// quarter of the memory of float32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace hinge::data {

struct ImageSet {
  std::string name;  // for messages: "cifar10/train"
  int height = 0, width = 0, channels = 0, classes = 0;
  std::vector<std::uint8_t> pixels;      // [N, H, W, C]
  std::vector<std::int32_t> labels;      // [N], each in [0, classes)
  std::vector<std::string> class_names;  // [classes], or empty when the source does not tell

  int count() const { return static_cast<int>(labels.size()); }
  // Bytes of one image, H * W * C.
  std::size_t image_bytes() const {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width) *
           static_cast<std::size_t>(channels);
  }
  // The [H, W, C] pixels of image `i`; Error when the set has no such image.
  const std::uint8_t* image(int i) const;
};

// Per channel c: (pixel / 255 - mean[c]) / std[c].
struct Normalization {
  std::vector<float> mean, std;
};

struct Dataset {
  std::string name;
  ImageSet train, test;
  Normalization normalization;
  int classes = 0;
  std::string fingerprint;  // fingerprint_of(*this), 16 hexadecimal digits
};

// Training images by what they are used for.
struct Split {
  std::vector<int> train, held_out;
};

// Reads a data set by name from the folder its files are in. An empty `dir` asks for the place
// where a system package puts the data, which exists only for fashion-mnist. UsageError for a name
// that is not in dataset_names().
Dataset load_dataset(const std::string& name, const std::filesystem::path& dir);

std::vector<std::string> dataset_names();

// Keeps the LAST `held_out` images of `set` out of training: the same images in every run, whatever
// the seed.
Split hold_out(const ImageSet& set, int held_out);

// 64-bit hash over names, sizes, labels and pixels as hexadecimal digits; two runs that print the
// same fingerprint saw the same data. It detects accidents, not attacks.
std::string fingerprint_of(const Dataset& dataset);

}  // namespace hinge::data
