// Batches: the same ones in the same order, however they are made.
#include "data/loader.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <thread>

#include "tests/data/files.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::testing;
using namespace hinge::data;

namespace {

constexpr int kSide = 6, kChannels = 2;
const Normalization kNormalization{{0.5f, 0.25f}, {0.25f, 0.5f}};

ImageSet make_set(int count) {
  ImageSet set;
  set.name = "small/train";
  set.height = set.width = kSide;
  set.channels = kChannels;
  set.classes = 7;
  for (int n = 0; n < count; ++n) {
    set.labels.push_back((3 * n) % 7);
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) {
        for (int c = 0; c < kChannels; ++c) set.pixels.push_back(pattern(n, y, x, c));
      }
    }
  }
  return set;
}

std::vector<int> all_of(const ImageSet& set) {
  std::vector<int> indices(static_cast<std::size_t>(set.count()));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

// A batch as plain values, to be compared.
struct Seen {
  std::vector<float> pixels;
  std::vector<std::int32_t> labels;
  std::vector<int> indices;

  bool operator==(const Seen&) const = default;
};

std::vector<Seen> rest_of(Loader& loader) {
  std::vector<Seen> seen;
  while (std::optional<Batch> batch = loader.next()) {
    const auto values = batch->images.values();
    seen.push_back({{values.begin(), values.end()}, batch->labels, batch->indices});
  }
  return seen;
}

std::vector<Seen> epoch_of(Loader& loader, std::uint64_t epoch, int first_batch = 0) {
  loader.start(epoch, first_batch);
  return rest_of(loader);
}

std::vector<int> order_of(const std::vector<Seen>& batches) {
  std::vector<int> order;
  for (const Seen& batch : batches) {
    order.insert(order.end(), batch.indices.begin(), batch.indices.end());
  }
  return order;
}

LoaderOptions training(int batch_size, int threads = 1, int prefetch = 3) {
  return {.batch_size = batch_size,
          .shuffle = true,
          .augment = true,
          .augmentation = {.padding = 2, .flip = true, .seed = 42},
          .threads = threads,
          .prefetch = prefetch};
}

}  // namespace

TEST_CASE("order, pixels and labels do not depend on the number of threads or the prefetch") {
  const ImageSet set = make_set(103);
  Loader reference(set, kNormalization, all_of(set), training(8));
  const std::vector<Seen> expected = epoch_of(reference, 5);
  REQUIRE(expected.size() == 13);
  for (int threads : {1, 2, 3, 8, 40}) {
    for (int prefetch : {1, 2, 5, 100}) {
      Loader loader(set, kNormalization, all_of(set), training(8, threads, prefetch));
      INFO(threads << " threads, prefetch " << prefetch);
      CHECK(epoch_of(loader, 5) == expected);
    }
  }
}

TEST_CASE("the parts of a batch are together the batch, whatever their number") {
  const ImageSet set = make_set(21);
  Loader whole(set, kNormalization, all_of(set), training(8));  // 8, 8 and 5 images
  const std::vector<Seen> expected = epoch_of(whole, 5);
  for (int parts : {1, 2, 3, 5, 8}) {
    std::vector<Seen> together(expected.size());
    for (int part = 0; part < parts; ++part) {
      LoaderOptions options = training(8, 2);
      options.part = part, options.parts = parts;
      Loader loader(set, kNormalization, all_of(set), options);
      CHECK((loader.batches() == whole.batches() && loader.images() == whole.images()));
      loader.start(5);
      for (Seen& all : together) {
        const std::optional<Batch> batch = loader.next();
        REQUIRE(batch.has_value());
        CHECK(batch->first == static_cast<int>(all.labels.size()));
        CHECK(batch->images_in_all == (&all == &together.back() ? 5 : 8));
        const auto values = batch->images.values();
        all.pixels.insert(all.pixels.end(), values.begin(), values.end());
        all.labels.insert(all.labels.end(), batch->labels.begin(), batch->labels.end());
        all.indices.insert(all.indices.end(), batch->indices.begin(), batch->indices.end());
      }
      CHECK_FALSE(loader.next().has_value());
    }
    CHECK(together == expected);
  }
}

TEST_CASE("starting at batch k gives what is left after k batches") {
  const ImageSet set = make_set(50);
  Loader loader(set, kNormalization, all_of(set), training(8, 2));
  const std::vector<Seen> whole = epoch_of(loader, 1);
  REQUIRE(static_cast<int>(whole.size()) == loader.batches());
  for (int k = 0; k <= loader.batches(); ++k) {
    CHECK(epoch_of(loader, 1, k) == std::vector<Seen>(whole.begin() + k, whole.end()));
  }
  CHECK_THROWS_WITH(loader.start(1, -1), contains("batch -1"));
  CHECK_THROWS_WITH(loader.start(1, loader.batches() + 1), contains("expected 0 to 7"));
}

TEST_CASE("batches hold the augmented, normalised pixels and the labels of their indices") {
  const ImageSet set = make_set(20);
  const LoaderOptions options = training(6, 2);
  Loader loader(set, kNormalization, all_of(set), options);
  loader.start(9);
  int images = 0;
  while (std::optional<Batch> batch = loader.next()) {
    const auto count = static_cast<std::int64_t>(batch->indices.size());
    REQUIRE(batch->images.shape() == Shape{count, kSide, kSide, kChannels});
    REQUIRE(batch->labels.size() == batch->indices.size());
    std::vector<float> expected(set.image_bytes());
    for (std::size_t i = 0; i < batch->indices.size(); ++i, ++images) {
      const int index = batch->indices[i];
      CHECK(batch->labels[i] == (3 * index) % 7);
      write_image(set.image(index), kSide, kSide, kChannels, kNormalization,
                  draw_augmentation(options.augmentation, 9, static_cast<std::uint64_t>(index)), 2,
                  expected.data());
      CHECK(std::ranges::equal(
          batch->images.values().subspan(i * set.image_bytes(), set.image_bytes()), expected));
    }
  }
  CHECK(images == 20);
}

TEST_CASE("without shuffle and augmentation the images come as they are, in the order given") {
  const ImageSet set = make_set(9);
  const std::vector<int> indices{8, 0, 3, 3, 5};
  Loader loader(set, kNormalization, indices, {.batch_size = 2, .threads = 2});
  const std::vector<Seen> batches = epoch_of(loader, 0);
  CHECK(order_of(batches) == indices);
  CHECK(batches == epoch_of(loader, 1));
  const Normalizer normalizer(kNormalization);
  std::size_t i = 0;
  for (const Seen& batch : batches) {
    for (std::size_t p = 0; p < batch.pixels.size(); ++p) {
      const std::uint8_t pixel =
          set.image(indices[i + p / set.image_bytes()])[p % set.image_bytes()];
      REQUIRE(batch.pixels[p] == normalizer.table(static_cast<int>(p % kChannels))[pixel]);
    }
    i += batch.indices.size();
  }
}

TEST_CASE("every epoch holds each image once, in a new order") {
  const ImageSet set = make_set(64);
  Loader loader(set, kNormalization, all_of(set), training(10, 2));
  const std::vector<int> first = order_of(epoch_of(loader, 0)),
                         second = order_of(epoch_of(loader, 1));
  CHECK(std::ranges::is_permutation(first, all_of(set)));
  CHECK(std::ranges::is_permutation(second, all_of(set)));
  CHECK(first != second);
  CHECK(first == shuffled(all_of(set), 42, 0));
}

TEST_CASE("batches and images count what an epoch gives") {
  const ImageSet set = make_set(33);
  for (int size : {1, 2, 31, 32, 33, 34, 1000}) {
    for (bool drop_last : {false, true}) {
      if (drop_last && size > 33) continue;
      Loader loader(set, kNormalization, all_of(set), {.batch_size = size, .drop_last = drop_last});
      const std::vector<Seen> batches = epoch_of(loader, 0);
      INFO("batch size " << size << ", drop_last " << drop_last);
      CHECK(static_cast<int>(batches.size()) == loader.batches());
      CHECK(static_cast<int>(order_of(batches).size()) == loader.images());
      CHECK(loader.images() == (drop_last ? 33 / size * size : 33));
      for (const Seen& batch : batches) {
        const bool last = &batch == &batches.back();
        CHECK((static_cast<int>(batch.indices.size()) == size || (last && !drop_last)));
      }
    }
  }
}

TEST_CASE("no images give no batches, and dropping the only batch is refused") {
  const ImageSet set = make_set(3);
  Loader empty(set, kNormalization, {}, {});
  CHECK(empty.batches() == 0);
  CHECK(empty.images() == 0);
  CHECK(epoch_of(empty, 0).empty());

  Loader small(set, kNormalization, all_of(set), {.batch_size = 128});
  CHECK(small.batches() == 1);
  CHECK(epoch_of(small, 0)[0].indices.size() == 3);

  CHECK_THROWS_WITH(Loader(set, kNormalization, all_of(set), {.batch_size = 4, .drop_last = true}),
                    contains("3 images, batch size 4"));
  CHECK_THROWS_WITH(Loader(set, kNormalization, {}, {.drop_last = true}), contains("0 images"));
}

TEST_CASE("after the end of an epoch there is nothing until the next start") {
  const ImageSet set = make_set(5);
  Loader loader(set, kNormalization, all_of(set), {.batch_size = 2});
  CHECK_THROWS_WITH(loader.next(), contains("before start()"));
  CHECK(epoch_of(loader, 0).size() == 3);
  CHECK(!loader.next());
  CHECK(!loader.next());
  CHECK(epoch_of(loader, 0).size() == 3);
}

TEST_CASE("starting or destroying in the middle of an epoch leaves nothing behind") {
  const ImageSet set = make_set(200);
  Loader reference(set, kNormalization, all_of(set), training(4));
  const std::vector<Seen> expected = epoch_of(reference, 3);
  for (int taken = 0; taken < 12; ++taken) {
    Loader loader(set, kNormalization, all_of(set), training(4, 4, 5));
    loader.start(8);
    for (int i = 0; i < taken; ++i) REQUIRE(loader.next());
    CHECK(epoch_of(loader, 3) == expected);
    loader.start(1);
    for (int i = 0; i < taken; ++i) REQUIRE(loader.next());
  }
}

TEST_CASE("a batch lives on after its loader") {
  const ImageSet set = make_set(8);
  std::optional<Batch> batch;
  std::vector<float> before;
  {
    Loader loader(set, kNormalization, all_of(set), training(4, 2));
    loader.start(0);
    batch = loader.next();
    REQUIRE(batch);
    before.assign(batch->images.values().begin(), batch->images.values().end());
    while (loader.next()) {
    }
  }
  CHECK(std::ranges::equal(batch->images.values(), before));
}

TEST_CASE("what goes wrong in a worker comes out of next(), after the batches before it") {
  ImageSet set = make_set(20);
  Loader loader(set, kNormalization, all_of(set), {.batch_size = 4, .threads = 3});
  const std::size_t whole = set.pixels.size();
  set.pixels.resize(13 * set.image_bytes());  // image 13, in batch 3, is gone
  loader.start(0);
  for (int b = 0; b < 3; ++b) CHECK(loader.next()->indices[0] == 4 * b);
  CHECK_THROWS_WITH(loader.next(), contains("image 13"));
  CHECK_THROWS_WITH(loader.next(), contains("image 13"));
  loader.start(0, 3);
  CHECK_THROWS_WITH(loader.next(), contains("image 13"));
  loader.start(0, 4);  // destroyed with an error nobody asked for
  loader.start(0, 5);
  set.pixels.resize(whole);
  CHECK(epoch_of(loader, 0).size() == 5);
}

TEST_CASE("workers never run further ahead than the prefetch") {
  const ImageSet set = make_set(400);
  for (int prefetch : {1, 3}) {
    release_cached_memory({});
    Loader loader(set, kNormalization, all_of(set),
                  {.batch_size = 4, .threads = 8, .prefetch = prefetch});
    const std::size_t before = memory_use({}).used;
    const std::size_t batch_bytes = 4 * set.image_bytes() * sizeof(float);
    loader.start(0);
    REQUIRE(loader.next());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    // A block is rounded up to at most 64 bytes more.
    CHECK(memory_use({}).used - before <= static_cast<std::size_t>(prefetch) * (batch_bytes + 64));
  }
}

TEST_CASE("options and indices that make no sense are refused with both sides") {
  const ImageSet set = make_set(5);
  const auto make = [&](std::vector<int> indices, LoaderOptions options) {
    Loader loader(set, kNormalization, std::move(indices), options);
  };
  CHECK_THROWS_WITH(make({0}, {.batch_size = 0}), contains("batch size is 0"));
  CHECK_THROWS_WITH(make({0}, {.threads = 0}), contains("threads is 0"));
  CHECK_THROWS_WITH(make({0}, {.prefetch = -1}), contains("prefetch is -1"));
  CHECK_THROWS_WITH(make({0}, {.augmentation = {.padding = -2}}), contains("padding is -2"));
  CHECK_THROWS_AS(make({0}, {.batch_size = 0}), UsageError);
  CHECK_THROWS_WITH(make({0, 5}, {}), contains("index 5") && contains("5 images"));
  CHECK_THROWS_WITH(make({-1}, {}), contains("index -1"));
  CHECK_THROWS_WITH(Loader(set, {{0.5f}, {0.5f}}, {0}, {}),
                    contains("2 channels, the normalization 1"));
}
