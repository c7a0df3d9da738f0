// Reading IDX through zlib, which takes plain and gzip files alike.
#include "data/idx.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <system_error>

#include "engine/core/error.h"

namespace hinge::data {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kImageMagic = 0x00000803, kLabelMagic = 0x00000801;
constexpr std::uint32_t kMaxSide = 4096;
constexpr std::uint32_t kMaxCount = std::numeric_limits<std::int32_t>::max();
// Memory runs at most this far ahead of the bytes that have arrived (and std::vector's doubling
// behind it).
constexpr std::size_t kChunk = std::size_t{1} << 20;

class IdxFile {
 public:
  explicit IdxFile(const fs::path& path) : name_(path.string()) {
    errno = 0;
    file_.reset(gzopen(name_.c_str(), "rb"));
    require(file_ != nullptr, "idx: cannot open '{}': {}", name_, std::strerror(errno));
    gzbuffer(file_.get(), 1u << 17);
  }

  const std::string& name() const { return name_; }

  std::uint32_t read_size() {
    std::uint8_t bytes[4];
    const std::size_t got = read(bytes, 4);
    require(got == 4, "idx: '{}' ends in its header, {} of 4 bytes of a size are there", name_,
            got);
    return static_cast<std::uint32_t>(bytes[0]) << 24 | static_cast<std::uint32_t>(bytes[1]) << 16 |
           static_cast<std::uint32_t>(bytes[2]) << 8 | static_cast<std::uint32_t>(bytes[3]);
  }

  void check_magic(std::uint32_t expected, const char* what) {
    const std::uint32_t found = read_size();
    require(found == expected, "idx: '{}' starts with 0x{:08x}, expected 0x{:08x} ({})", name_,
            found, expected, what);
  }

  // A size from the header that has to be in [1, most].
  int read_extent(const char* what, std::uint32_t most) {
    const std::uint32_t extent = read_size();
    require(extent >= 1 && extent <= most, "idx: '{}' has {} {}, expected 1 to {}", name_, what,
            extent, most);
    return static_cast<int>(extent);
  }

  // The rest of the file, which has to be exactly `promised` bytes.
  std::vector<std::uint8_t> read_rest(std::uint64_t promised) {
    std::vector<std::uint8_t> bytes;
    while (bytes.size() < promised) {
      const std::size_t begin = bytes.size();
      const auto wanted =
          static_cast<std::size_t>(std::min<std::uint64_t>(kChunk, promised - begin));
      bytes.resize(begin + wanted);
      const std::size_t got = read(bytes.data() + begin, static_cast<unsigned>(wanted));
      require(got == wanted, "idx: '{}' has {} bytes after its header, expected {}", name_,
              begin + got, promised);
    }
    // Reading up to the end also makes zlib check the sum of a gzip file.
    std::uint8_t extra;
    require(read(&extra, 1) == 0, "idx: '{}' goes on after the {} bytes its header promises", name_,
            promised);
    return bytes;
  }

 private:
  struct Close {
    void operator()(gzFile file) const { gzclose_r(file); }
  };

  // Bytes read: `count`, or fewer at the end of the file.
  std::size_t read(std::uint8_t* to, unsigned count) {
    const int got = gzread(file_.get(), to, count);
    if (got < static_cast<int>(count)) {
      int code = Z_OK;
      const char* message = gzerror(file_.get(), &code);
      // Z_BUF_ERROR is a gzip stream that stops early.
      require(code == Z_OK || code == Z_STREAM_END, "idx: '{}' cannot be decompressed: {}", name_,
              code == Z_ERRNO ? std::strerror(errno) : message);
    }
    return static_cast<std::size_t>(std::max(got, 0));
  }

  std::string name_;
  std::unique_ptr<gzFile_s, Close> file_;
};

// `dir`/`name`.gz or `dir`/`name`, whichever is there.
fs::path find_file(const fs::path& dir, const std::string& name) {
  for (const fs::path& candidate : {dir / (name + ".gz"), dir / name}) {
    std::error_code ignored;
    if (fs::exists(candidate, ignored)) return candidate;
  }
  fail(
      "fashion-mnist: no '{}' with or without .gz; Debian's package dataset-fashion-mnist puts the "
      "data at {}",
      (dir / name).string(), kFashionMnistDir);
}

// [N, H, W] -> [N, H + 2 * border, W + 2 * border], zeros around.
std::vector<std::uint8_t> with_border(const IdxImages& images, int border) {
  const auto height = static_cast<std::size_t>(images.height);
  const auto width = static_cast<std::size_t>(images.width);
  const auto around = static_cast<std::size_t>(border);
  const std::size_t padded_height = height + 2 * around, padded_width = width + 2 * around;
  const auto count = static_cast<std::size_t>(images.count);
  std::vector<std::uint8_t> padded(count * padded_height * padded_width, 0);
  for (std::size_t n = 0; n < count; ++n) {
    for (std::size_t y = 0; y < height; ++y) {
      std::copy_n(images.pixels.data() + (n * height + y) * width, width,
                  padded.data() + (n * padded_height + y + around) * padded_width + around);
    }
  }
  return padded;
}

constexpr int kFashionSide = 28, kFashionBorder = 2, kFashionClasses = 10;

ImageSet read_fashion_set(const fs::path& dir, const std::string& prefix, const std::string& name) {
  const fs::path image_file = find_file(dir, prefix + "-images-idx3-ubyte");
  const fs::path label_file = find_file(dir, prefix + "-labels-idx1-ubyte");
  const IdxImages images = read_idx_images(image_file);
  const std::vector<std::uint8_t> labels = read_idx_labels(label_file);
  require(images.height == kFashionSide && images.width == kFashionSide,
          "fashion-mnist: '{}' has images of {} x {}, expected {} x {}", image_file.string(),
          images.height, images.width, kFashionSide, kFashionSide);
  require(labels.size() == static_cast<std::size_t>(images.count),
          "fashion-mnist: '{}' has {} labels, expected {}, one for each image of '{}'",
          label_file.string(), labels.size(), images.count, image_file.string());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    require(labels[i] < kFashionClasses,
            "fashion-mnist: '{}' record {} has label {}, expected less than {}",
            label_file.string(), i, labels[i], kFashionClasses);
  }
  ImageSet set;
  set.name = "fashion-mnist/" + name;
  set.height = set.width = kFashionSide + 2 * kFashionBorder;
  set.channels = 1;
  set.classes = kFashionClasses;
  set.pixels = with_border(images, kFashionBorder);
  set.labels.assign(labels.begin(), labels.end());
  set.class_names = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                     "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"};
  return set;
}

}  // namespace

IdxImages read_idx_images(const fs::path& path) {
  IdxFile file(path);
  file.check_magic(kImageMagic, "bytes in three dimensions");
  IdxImages images;
  images.count = file.read_extent("a count of", kMaxCount);
  images.height = file.read_extent("a height of", kMaxSide);
  images.width = file.read_extent("a width of", kMaxSide);
  // At most 2^31 * 2^12 * 2^12 = 2^55.
  images.pixels = file.read_rest(static_cast<std::uint64_t>(images.count) *
                                 static_cast<std::uint64_t>(images.height) *
                                 static_cast<std::uint64_t>(images.width));
  return images;
}

std::vector<std::uint8_t> read_idx_labels(const fs::path& path) {
  IdxFile file(path);
  file.check_magic(kLabelMagic, "bytes in one dimension");
  const int count = file.read_extent("a count of", kMaxCount);
  return file.read_rest(static_cast<std::uint64_t>(count));
}

Dataset load_fashion_mnist(const fs::path& dir) {
  const fs::path folder = dir.empty() ? fs::path(kFashionMnistDir) : dir;
  Dataset dataset;
  dataset.name = "fashion-mnist";
  dataset.classes = kFashionClasses;
  dataset.train = read_fashion_set(folder, "train", "train");
  dataset.test = read_fashion_set(folder, "t10k", "test");
  dataset.normalization = {{0.2860f}, {0.3530f}};
  return dataset;
}

}  // namespace hinge::data
