// What holds for every data set: names, images by index, the held-out part, the fingerprint.
#include "data/dataset.h"

#include <algorithm>
#include <functional>

#include "tests/data/files.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::testing;
using namespace hinge::data;

namespace {

ImageSet make_set(int count) {
  ImageSet set;
  set.name = "small/train";
  set.height = 2;
  set.width = 3;
  set.channels = 1;
  set.classes = 10;
  for (int n = 0; n < count; ++n) {
    set.labels.push_back(n % 10);
    for (int i = 0; i < 6; ++i) set.pixels.push_back(pattern(n, 0, i, 0));
  }
  return set;
}

Dataset make_dataset() {
  Dataset dataset;
  dataset.name = "small";
  dataset.train = make_set(5);
  dataset.test = make_set(3);
  return dataset;
}

}  // namespace

TEST_CASE("an unknown data set is refused with the known names and the nearest") {
  const auto nearest = [](const std::string& asked, const std::string& expected) {
    CHECK_THROWS_AS(load_dataset(asked, "."), UsageError);
    CHECK_THROWS_WITH(load_dataset(asked, "."), contains("'" + asked + "' is not known") &&
                                                    contains("cifar10, cifar100, fashion-mnist, folder") &&
                                                    contains("nearest is '" + expected + "'"));
  };
  nearest("cifar-10", "cifar10");
  nearest("CIFAR1000", "cifar100");
  nearest("fashion_mnist", "fashion-mnist");
  nearest("fashion", "fashion-mnist");  // 6 edits, against 7 to cifar10
  nearest("mnist", "folder");
  nearest("", "folder");
  nearest("folders", "folder");
}

TEST_CASE("every name that is offered leads to a loader") {
  TemporaryFolder folder;
  CHECK(dataset_names() == std::vector<std::string>{"cifar10", "cifar100", "fashion-mnist", "folder"});
  for (const std::string& name : dataset_names()) {
    CHECK_THROWS_WITH(load_dataset(name, folder.path()), contains(name) && contains(folder.path().string()));
  }
}

TEST_CASE("load_dataset gives what the files hold, with its fingerprint") {
  TemporaryFolder folder;
  write_small_cifar10(folder.path());
  const Dataset dataset = load_dataset("cifar10", folder.path());
  CHECK(dataset.name == "cifar10");
  CHECK(dataset.train.count() == 10);
  CHECK(dataset.fingerprint == fingerprint_of(dataset));
  CHECK(dataset.fingerprint == load_dataset("cifar10", folder.path()).fingerprint);
  CHECK(dataset.fingerprint.size() == 16);
  CHECK(dataset.fingerprint.find_first_not_of("0123456789abcdef") == std::string::npos);
}

TEST_CASE("class names are not part of the fingerprint, so an optional file does not change it") {
  TemporaryFolder folder;
  write_small_cifar10(folder.path());
  const std::string without = load_dataset("cifar10", folder.path()).fingerprint;
  std::ofstream(folder.path() / "batches.meta.txt") << "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n";
  CHECK(load_dataset("cifar10", folder.path()).fingerprint == without);
}

TEST_CASE("every change to names, sizes, labels or pixels changes the fingerprint") {
  const Dataset dataset = make_dataset();
  std::vector<std::string> prints{fingerprint_of(dataset)};
  const auto record = [&](const std::function<void(Dataset&)>& change) {
    Dataset changed = dataset;
    change(changed);
    prints.push_back(fingerprint_of(changed));
  };
  record([](Dataset& d) { d.name = "Small"; });
  record([](Dataset& d) { d.train.name += "x"; });
  record([](Dataset& d) { std::swap(d.train.height, d.train.width); });
  record([](Dataset& d) { d.test.classes = 11; });
  record([](Dataset& d) { d.test.labels[1] = 5; });
  record([](Dataset& d) { std::swap(d.train.labels[0], d.train.labels[1]); });
  record([](Dataset& d) { std::swap(d.train, d.test); });
  record([](Dataset& d) {  // a plain word-wise FNV-1a does not see this
    d.train.pixels[7] ^= 0x80;
    d.train.pixels[15] ^= 0x80;
  });
  for (std::size_t i = 0; i < dataset.train.pixels.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      record([&](Dataset& d) { d.train.pixels[i] ^= static_cast<std::uint8_t>(1 << bit); });
    }
  }
  std::ranges::sort(prints);
  CHECK(std::ranges::adjacent_find(prints) == prints.end());
}

TEST_CASE("the fingerprint of given data never changes, so logs of years stay comparable") {
  const Dataset dataset = make_dataset();
  // From an independent implementation, in Python.
  CHECK(fingerprint_of(dataset) == "15f28cdac16f2273");
}

TEST_CASE("an image is the slice of the pixels at its index, and only of images that exist") {
  ImageSet set = make_set(4);
  for (int i = 0; i < 4; ++i) CHECK(set.image(i) == set.pixels.data() + 6 * i);
  CHECK_THROWS_WITH(set.image(4),
                    contains("small/train") && contains("image 4") && contains("are 4"));
  CHECK_THROWS_WITH(set.image(-1), contains("image -1"));
  set.pixels.pop_back();
  CHECK_NOTHROW(set.image(2));
  CHECK_THROWS_WITH(set.image(3), contains("ends at byte 24, there are 23"));
}

TEST_CASE("the held-out images are the last ones and nothing is lost or doubled") {
  const ImageSet set = make_set(10);
  for (int held_out = 0; held_out < 10; ++held_out) {
    const Split split = hold_out(set, held_out);
    CHECK(split.held_out.size() == static_cast<std::size_t>(held_out));
    std::vector<int> all = split.train;
    all.insert(all.end(), split.held_out.begin(), split.held_out.end());
    CHECK(all == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  }
}

TEST_CASE("holding out everything, more, or less than nothing is refused") {
  const ImageSet set = make_set(10);
  for (int held_out : {-1, 10, 11}) {
    CHECK_THROWS_WITH(hold_out(set, held_out), contains(fmt::format("{} images", held_out)) &&
                                                   contains("expected 0 to 9 of 10"));
  }
}
