// CIFAR's binary files, small ones made here.
#include "data/cifar.h"

#include "tests/data/files.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::testing;
using hinge::data::Dataset;
using hinge::data::ImageSet;

namespace {

// True when image `i` of `set` is pattern(n, ...) as [H, W, C].
bool holds_pattern(const ImageSet& set, int i, int n) {
  const std::uint8_t* pixel = set.image(i);
  for (int y = 0; y < 32; ++y) {
    for (int x = 0; x < 32; ++x) {
      for (int c = 0; c < 3; ++c) {
        if (*pixel++ != pattern(n, y, x, c)) return false;
      }
    }
  }
  return true;
}

}  // namespace

TEST_CASE("planes of CIFAR-10 become interleaved pixels, in the order of the files") {
  TemporaryFolder folder;
  write_small_cifar10(folder.path());
  const Dataset dataset = data::load_cifar10(folder.path());

  CHECK(dataset.name == "cifar10");
  CHECK(dataset.classes == 10);
  REQUIRE(dataset.train.count() == 10);
  REQUIRE(dataset.test.count() == 1);
  for (const ImageSet* set : {&dataset.train, &dataset.test}) {
    CHECK(set->height == 32);
    CHECK(set->width == 32);
    CHECK(set->channels == 3);
    CHECK(set->pixels.size() == static_cast<std::size_t>(set->count()) * 3072);
  }
  for (int i = 0; i < 10; ++i) {
    CHECK(dataset.train.labels[static_cast<std::size_t>(i)] == i);
    CHECK(holds_pattern(dataset.train, i, i));
  }
  CHECK(dataset.test.labels[0] == 7);
  CHECK(holds_pattern(dataset.test, 0, 100));
}

TEST_CASE("the folder of the archive and the folder around it both work") {
  TemporaryFolder folder;
  write_small_cifar10(folder.path() / "cifar-10-batches-bin");
  const Dataset outer = data::load_cifar10(folder.path());
  const Dataset inner = data::load_cifar10(folder.path() / "cifar-10-batches-bin");
  CHECK(outer.train.pixels == inner.train.pixels);
  CHECK(outer.train.labels == inner.train.labels);
}

TEST_CASE("CIFAR-100 takes the fine label and skips the coarse one") {
  TemporaryFolder folder;
  const auto inside = folder.path() / "cifar-100-binary";
  write_bytes(inside / "train.bin", joined({cifar_record(0, {3, 99}), cifar_record(1, {19, 0})}));
  write_bytes(inside / "test.bin", cifar_record(2, {0, 42}));
  const Dataset dataset = data::load_cifar100(folder.path());
  CHECK(dataset.classes == 100);
  CHECK(dataset.train.labels == std::vector<std::int32_t>{99, 0});
  CHECK(dataset.test.labels == std::vector<std::int32_t>{42});
  CHECK(holds_pattern(dataset.train, 1, 1));
  CHECK(holds_pattern(dataset.test, 0, 2));
}

TEST_CASE("class names come from the optional text file, and have to be complete") {
  TemporaryFolder folder;
  write_small_cifar10(folder.path());
  CHECK(data::load_cifar10(folder.path()).train.class_names.empty());

  const auto names = folder.path() / "batches.meta.txt";
  std::ofstream(names)
      << "airplane\nautomobile\r\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
  const Dataset dataset = data::load_cifar10(folder.path());
  REQUIRE(dataset.train.class_names.size() == 10);
  CHECK(dataset.train.class_names[1] == "automobile");
  CHECK(dataset.test.class_names[9] == "truck");

  std::ofstream(names) << "airplane\nautomobile\n";
  CHECK_THROWS_WITH(data::load_cifar10(folder.path()), contains("2 class names, expected 10"));
}

TEST_CASE("the default normalisation is CIFAR's mean and deviation over 255") {
  TemporaryFolder folder;
  write_small_cifar10(folder.path());
  const data::Normalization normalization = data::load_cifar10(folder.path()).normalization;
  const double mean[] = {125.3, 123.0, 113.9}, deviation[] = {63.0, 62.1, 66.7};
  REQUIRE(normalization.mean.size() == 3);
  REQUIRE(normalization.std.size() == 3);
  for (std::size_t c = 0; c < 3; ++c) {
    CHECK(normalization.mean[c] == Approx(mean[c] / 255));
    CHECK(normalization.std[c] == Approx(deviation[c] / 255));
  }
}

TEST_CASE("a file that is not whole records is refused, with its size and the record's") {
  TemporaryFolder folder;
  write_small_cifar10(folder.path());
  const auto file = folder.path() / "data_batch_3.bin";
  Bytes bytes = read_bytes(file);
  for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{3072}, bytes.size() - 1}) {
    write_bytes(file, Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)));
    CHECK_THROWS_WITH(data::load_cifar10(folder.path()),
                      contains("data_batch_3.bin") &&
                          contains(fmt::format("{} bytes, expected a multiple of 3073", size)));
  }
  bytes.push_back(0);
  write_bytes(file, bytes);
  CHECK_THROWS_WITH(data::load_cifar10(folder.path()), contains("6147 bytes"));
}

TEST_CASE("a label out of range is refused, with file, record and label") {
  TemporaryFolder folder;
  write_small_cifar10(folder.path());
  write_bytes(folder.path() / "data_batch_2.bin",
              joined({cifar_record(0, {9}), cifar_record(1, {10})}));
  CHECK_THROWS_WITH(data::load_cifar10(folder.path()), contains("data_batch_2.bin") &&
                                                           contains("record 1 has label 10") &&
                                                           contains("less than 10"));

  const auto fine = folder.path() / "cifar-100-binary";
  write_bytes(fine / "test.bin", cifar_record(0, {0, 0}));
  write_bytes(fine / "train.bin", cifar_record(0, {0, 100}));
  CHECK_THROWS_WITH(data::load_cifar100(folder.path()), contains("record 0 has fine label 100"));
  write_bytes(fine / "train.bin", cifar_record(0, {20, 5}));
  CHECK_THROWS_WITH(data::load_cifar100(folder.path()), contains("record 0 has coarse label 20"));
}

TEST_CASE("missing files are named together with the script that fetches them") {
  TemporaryFolder folder;
  CHECK_THROWS_WITH(data::load_cifar10(folder.path() / "nowhere"),
                    contains("nowhere/cifar-10-batches-bin") && contains("data_batch_1.bin") &&
                        contains("cifar.html"));
  CHECK_THROWS_WITH(data::load_cifar100(folder.path()), contains("cifar.html"));

  write_small_cifar10(folder.path());
  std::filesystem::remove(folder.path() / "data_batch_4.bin");
  CHECK_THROWS_WITH(data::load_cifar10(folder.path()), contains("data_batch_4.bin"));

  std::filesystem::create_directory(folder.path() / "data_batch_4.bin");
  CHECK_THROWS_WITH(data::load_cifar10(folder.path()), contains("data_batch_4.bin"));
}
