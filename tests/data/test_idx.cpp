// IDX files, small and hostile ones made here, and the real Fashion-MNIST when it is installed.
#include "data/idx.h"

#include <array>
#include <cmath>
#include <cstdio>

#include "tests/data/files.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

void write_small_fashion(const std::filesystem::path& folder, bool gzip) {
  const auto write = [&](const std::string& name, const Bytes& bytes) {
    gzip ? write_gzip(folder / (name + ".gz"), bytes) : write_bytes(folder / name, bytes);
  };
  write("train-images-idx3-ubyte", idx_images(3, 28, 28));
  write("train-labels-idx1-ubyte", idx_labels({9, 0, 4}));
  write("t10k-images-idx3-ubyte", idx_images(1, 28, 28));
  write("t10k-labels-idx1-ubyte", idx_labels({2}));
}

}  // namespace

TEST_CASE("IDX images and labels come back as written, plain and compressed") {
  TemporaryFolder folder;
  const Bytes images = idx_images(5, 3, 7);
  const Bytes labels = idx_labels({1, 200, 0});
  write_bytes(folder.path() / "images", images);
  write_gzip(folder.path() / "images.gz", images);
  write_bytes(folder.path() / "labels", labels);
  write_gzip(folder.path() / "labels.gz", labels);
  for (const std::string suffix : {"", ".gz"}) {
    const data::IdxImages read = data::read_idx_images(folder.path() / ("images" + suffix));
    CHECK(read.count == 5);
    CHECK(read.height == 3);
    CHECK(read.width == 7);
    CHECK(read.pixels == Bytes(images.begin() + 16, images.end()));
    CHECK(data::read_idx_labels(folder.path() / ("labels" + suffix)) == Bytes{1, 200, 0});
  }
}

TEST_CASE("a file longer than one chunk is read whole") {
  TemporaryFolder folder;
  const Bytes images = idx_images(700, 50, 61);  // 2.1 MB, three chunks
  write_gzip(folder.path() / "images.gz", images);
  CHECK(data::read_idx_images(folder.path() / "images.gz").pixels ==
        Bytes(images.begin() + 16, images.end()));
}

TEST_CASE("every truncation of an IDX file is an error that names the file") {
  TemporaryFolder folder;
  const auto file = folder.path() / "images";
  for (bool gzip : {false, true}) {
    gzip ? write_gzip(file, idx_images(2, 3, 4)) : write_bytes(file, idx_images(2, 3, 4));
    const Bytes whole = read_bytes(file);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      write_bytes(file, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
      INFO("first " << size << " of " << whole.size() << " bytes, gzip " << gzip);
      CHECK_THROWS_WITH(data::read_idx_images(file), contains(file.string()));
    }
  }
}

TEST_CASE("a flipped bit in compressed pixels is caught by gzip's sum") {
  TemporaryFolder folder;
  const auto file = folder.path() / "images.gz";
  write_gzip(file, idx_images(2, 28, 28));
  Bytes bytes = read_bytes(file);
  bytes[bytes.size() - 6] ^= 1;  // in the sum itself
  write_bytes(file, bytes);
  CHECK_THROWS_WITH(data::read_idx_images(file), contains("cannot be decompressed"));
}

TEST_CASE("bytes after the last image are refused") {
  TemporaryFolder folder;
  Bytes bytes = idx_images(2, 3, 4);
  bytes.push_back(0);
  write_bytes(folder.path() / "images", bytes);
  CHECK_THROWS_WITH(data::read_idx_images(folder.path() / "images"),
                    contains("goes on after the 24 bytes"));
}

TEST_CASE("a wrong magic number is shown beside the expected one") {
  TemporaryFolder folder;
  const auto file = folder.path() / "labels";
  write_bytes(file, idx_labels({1, 2}));
  CHECK_THROWS_WITH(data::read_idx_images(file),
                    contains("0x00000801") && contains("expected 0x00000803"));
  write_bytes(file, big_endian({0x01080000, 2}));  // little-endian by mistake
  CHECK_THROWS_WITH(data::read_idx_labels(file),
                    contains("0x01080000") && contains("expected 0x00000801"));
}

TEST_CASE("a hostile header is refused without the memory it asks for") {
  TemporaryFolder folder;
  const auto file = folder.path() / "images";
  const auto read_header = [&](std::initializer_list<std::uint32_t> header) {
    write_bytes(file, joined({big_endian(header), Bytes(100, 7)}));
    data::read_idx_images(file);
  };
  // 2^55 bytes: an allocation up front would end in std::bad_alloc, not in this message.
  CHECK_THROWS_WITH(read_header({0x803, 0x7FFFFFFF, 4096, 4096}),
                    contains("has 100 bytes after its header, expected 36028797002186752"));
  CHECK_THROWS_WITH(read_header({0x803, 0xFFFFFFFF, 28, 28}), contains("a count of 4294967295"));
  CHECK_THROWS_WITH(read_header({0x803, 1, 0xFFFFFFFF, 1}), contains("a height of 4294967295"));
  CHECK_THROWS_WITH(read_header({0x803, 1, 28, 4097}), contains("a width of 4097"));
  CHECK_THROWS_WITH(read_header({0x803, 0, 28, 28}), contains("a count of 0"));
  CHECK_THROWS_WITH(read_header({0x803, 1, 0, 28}), contains("a height of 0"));

  write_bytes(file, joined({big_endian({0x801, 0x7FFFFFFF}), Bytes(3, 1)}));
  CHECK_THROWS_WITH(data::read_idx_labels(file), contains("3 bytes after its header"));
}

TEST_CASE("Fashion-MNIST is padded to 32 x 32 with two zeros on each side") {
  for (bool gzip : {false, true}) {
    TemporaryFolder folder;
    write_small_fashion(folder.path(), gzip);
    const data::Dataset dataset = data::load_fashion_mnist(folder.path());
    CHECK(dataset.classes == 10);
    CHECK(dataset.train.labels == std::vector<std::int32_t>{9, 0, 4});
    CHECK(dataset.test.labels == std::vector<std::int32_t>{2});
    REQUIRE(dataset.train.image_bytes() == 32 * 32);
    CHECK(dataset.train.class_names.size() == 10);
    CHECK(dataset.normalization.mean == std::vector<float>{0.2860f});
    CHECK(dataset.normalization.std == std::vector<float>{0.3530f});
    for (int n = 0; n < 3; ++n) {
      const std::uint8_t* pixel = dataset.train.image(n);
      int wrong = 0;
      for (int y = -2; y < 30; ++y) {
        for (int x = -2; x < 30; ++x) {
          const bool inside = y >= 0 && y < 28 && x >= 0 && x < 28;
          wrong += *pixel++ != (inside ? pattern(n, y, x, 0) : 0);
        }
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("Fashion-MNIST files that do not fit together are refused") {
  TemporaryFolder folder;
  const auto images = folder.path() / "train-images-idx3-ubyte";
  const auto labels = folder.path() / "train-labels-idx1-ubyte";
  const auto load = [&] { data::load_fashion_mnist(folder.path()); };
  write_small_fashion(folder.path(), false);

  write_bytes(labels, idx_labels({1, 2}));
  CHECK_THROWS_WITH(load(), contains("has 2 labels, expected 3"));
  write_bytes(labels, idx_labels({1, 2, 10}));
  CHECK_THROWS_WITH(load(), contains("record 2 has label 10"));
  write_bytes(labels, idx_labels({1, 2, 3}));
  write_bytes(images, idx_images(3, 28, 27));
  CHECK_THROWS_WITH(load(), contains("28 x 27, expected 28 x 28"));
  std::filesystem::remove(images);
  CHECK_THROWS_WITH(load(), contains(images.string()) && contains(data::kFashionMnistDir) &&
                                contains("dataset-fashion-mnist"));
}

TEST_CASE(
    "the real Fashion-MNIST has 6000 and 1000 images a class and the stated mean and deviation") {
  if (!std::filesystem::exists(data::kFashionMnistDir)) {
    std::printf("skipped: no Fashion-MNIST at %s\n", data::kFashionMnistDir);
    return;
  }
  const data::Dataset dataset = data::load_fashion_mnist("");
  CHECK(dataset.train.count() == 60000);
  CHECK(dataset.test.count() == 10000);
  for (const data::ImageSet* set : {&dataset.train, &dataset.test}) {
    std::array<int, 10> images{};
    for (std::int32_t label : set->labels) ++images[static_cast<std::size_t>(label)];
    for (int of_class : images) CHECK(of_class == set->count() / 10);
  }
  CHECK(dataset.train.labels[0] == 9);  // an ankle boot comes first

  // Without the border, which is zero: the sums are over 28 x 28 pixels an image.
  double sum = 0, squares = 0;
  for (std::uint8_t pixel : dataset.train.pixels) {
    sum += pixel / 255.0;
    squares += pixel / 255.0 * (pixel / 255.0);
  }
  const double pixels = 60000.0 * 28 * 28, mean = sum / pixels;
  CHECK(std::abs(mean - 0.2860) < 1e-4);
  CHECK(std::abs(std::sqrt(squares / pixels - mean * mean) - 0.3530) < 1e-4);
}
