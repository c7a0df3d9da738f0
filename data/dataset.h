// Image data sets in memory: 8-bit pixels [N, H, W, C], one integer label per image.
//
// Everything after this point sees a data set only through these types; the files they come from
// are the business of cifar.h and idx.h. Pixels stay 8-bit until a batch is made (augment.h), a
// quarter of the memory of float32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace hinge::data {

// Where the pixels of a set come from that is too large to lie in memory, or whose pictures differ in size. Called from
// several threads at once.
class PixelSource {
 public:
  virtual ~PixelSource() = default;
  // The [H, W, C] pixels of image `i`, as for evaluation.
  virtual void read(int i, std::uint8_t* out) const = 0;
  // Of a random crop: a pure function of seed, epoch and i.
  virtual void read_crop(int i, std::uint64_t seed, std::uint64_t epoch, std::uint8_t* out) const = 0;
};

struct ImageSet {
  std::string name;  // for messages: "cifar10/train"
  int height = 0, width = 0, channels = 0, classes = 0;
  std::vector<std::uint8_t> pixels;  // [N, H, W, C]; empty where there is a source
  std::shared_ptr<const PixelSource> source = {};
  std::vector<std::int32_t> labels;      // [N], each in [0, classes)
  std::vector<std::string> class_names;  // [classes], or empty when the source does not tell
  int loader_threads = 1;                // that should prepare its batches

  int count() const { return static_cast<int>(labels.size()); }
  // Bytes of one image, H * W * C.
  std::size_t image_bytes() const {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width) *
           static_cast<std::size_t>(channels);
  }
  // The [H, W, C] pixels of image `i`, of a set in memory; Error when the set has no such image.
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
  std::string fingerprint;                 // fingerprint_of(*this), 16 hexadecimal digits
  std::vector<std::string> warnings = {};  // about files that were left out, for people
};

// Training images by what they are used for.
struct Split {
  std::vector<int> train, held_out;
};

// Of the set "folder", whose pictures have no size of their own: image_folder.h.
struct FolderOptions {
  int size = 224;            // height and width of what the network sees
  int resize = 0;            // the shorter side before the centre crop; 0: size * 8 / 7, as 256 for 224
  double crop_area = 0.08;   // least share of the picture in a random crop
  bool skip_broken = false;  // leave broken images out with a warning; otherwise they are an Error
  bool test_only = false;    // training images are listed, not looked at
  bool measure = true;       // the colour statistics; they stay empty otherwise
  int threads = 1;
  std::filesystem::path cache = {};  // folder that keeps what was seen of pictures until they change; empty: nowhere
  bool write_cache = true;           // of several processes that look at the same pictures, one; the others only read it
  // How many pictures were looked at, told by the calling thread between two of its own; may throw, which ends the look.
  std::function<void(std::uint64_t done, std::uint64_t total)> looked = [](std::uint64_t, std::uint64_t) {};
};

// Reads a data set by name from the folder its files are in. An empty `dir` asks for the place
// where a system package puts the data, which exists only for fashion-mnist. UsageError for a name
// that is not in dataset_names().
Dataset load_dataset(const std::string& name, const std::filesystem::path& dir, const FolderOptions& folder = {});

std::vector<std::string> dataset_names();

// Keeps the LAST `held_out` images of `set` out of training: the same images in every run, whatever
// the seed.
Split hold_out(const ImageSet& set, int held_out);

// 64-bit hash over names, sizes, labels and pixels as hexadecimal digits; two runs that print the
// same fingerprint saw the same data. It detects accidents, not attacks. Where there is a source it is the source's
// business to put what it knows of the pixels into `more`.
std::string fingerprint_of(const Dataset& dataset, std::uint64_t more = 0);

// 64 bits of a text, for fingerprints and for orders that don't depend on the rest of a list.
std::uint64_t hash_of(std::string_view text);

}  // namespace hinge::data
