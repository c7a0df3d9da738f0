// The decisions of the device's allocator, on a device that is a list of numbers.
#include "engine/core/block_cache.h"

#include <memory>
#include <random>

#include "tests/support/catch.h"

using namespace hinge;
using hinge::testing::contains;

namespace {

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB;

class FakeDevice final : public SegmentSource {
 public:
  explicit FakeDevice(std::size_t total) : total_(total) {}
  std::string name() const override { return "fake:0"; }
  std::byte* take(std::size_t bytes) override {
    if (bytes > total_ - taken_) return nullptr;
    // Addresses that nobody reads: segments far apart, so that blocks of two are never neighbours by chance.
    auto* segment = reinterpret_cast<std::byte*>(next_);
    next_ += std::uintptr_t{1} << 40;
    sizes_[segment] = bytes;
    taken_ += bytes;
    ++takes;
    return segment;
  }
  void give(std::byte* segment) noexcept override {
    taken_ -= sizes_.at(segment);
    sizes_.erase(segment);
  }
  DeviceMemory memory() const override { return {total_, total_ - taken_}; }
  bool holds(const std::byte* block, std::size_t bytes) const {
    for (const auto& [segment, size] : sizes_) {
      if (block >= segment && block + bytes <= segment + size) return true;
    }
    return false;
  }
  std::size_t taken() const { return taken_; }
  int takes = 0;

 private:
  std::size_t total_, taken_ = 0;
  std::uintptr_t next_ = std::uintptr_t{1} << 40;
  std::map<std::byte*, std::size_t> sizes_;
};

}  // namespace

TEST_CASE("a block that comes back is handed out again without asking the device") {
  FakeDevice device(100 * kMiB);
  BlockCache cache(device);
  std::byte* first = cache.take(3 * kMiB);
  cache.give(first);
  CHECK(cache.take(3 * kMiB) == first);
  CHECK(device.takes == 1);
}

TEST_CASE("segments are 2 MiB for small requests, 20 MiB for middle ones and the request's own size for large ones") {
  for (const auto& [request, segment] : {std::pair<std::size_t, std::size_t>{0, 2 * kMiB}, {1, 2 * kMiB}, {kMiB, 2 * kMiB}, {kMiB + 1, 20 * kMiB}, {9 * kMiB, 20 * kMiB}, {10 * kMiB, 10 * kMiB}, {31 * kMiB, 32 * kMiB}}) {
    FakeDevice device(100 * kMiB);
    BlockCache cache(device);
    cache.take(request);
    INFO("a request of " << request);
    CHECK(device.taken() == segment);
  }
}

TEST_CASE("a segment is split among requests, and free neighbours grow together again") {
  FakeDevice device(100 * kMiB);
  BlockCache cache(device);
  std::byte* a = cache.take(600 * kKiB);
  std::byte* b = cache.take(600 * kKiB);
  std::byte* c = cache.take(600 * kKiB);
  CHECK(device.takes == 1);
  CHECK(b == a + 600 * kKiB);
  cache.give(a), cache.give(c), cache.give(b);
  CHECK(cache.take(kMiB) == a);  // one free block again, from its beginning
  CHECK(device.takes == 1);
}

TEST_CASE("the smallest free block that is large enough is taken") {
  FakeDevice device(200 * kMiB);
  BlockCache cache(device);
  std::byte* large = cache.take(64 * kMiB);
  std::byte* fitting = cache.take(12 * kMiB);
  cache.give(large), cache.give(fitting);
  CHECK(cache.take(11 * kMiB) == fitting);
}

TEST_CASE("what lies in a graph's pool is nobody else's until the pool is dropped") {
  FakeDevice device(200 * kMiB);
  BlockCache cache(device);
  const BlockCache::Pool pool = cache.make_pool();
  CHECK(cache.set_current(pool) == BlockCache::kCommon);
  std::byte* scratch = cache.take(12 * kMiB);
  std::byte* result = cache.take(12 * kMiB);
  cache.give(scratch);
  CHECK(cache.take(12 * kMiB) == scratch);  // within the pool it is used again
  cache.give(scratch);
  cache.set_current(BlockCache::kCommon);
  CHECK(cache.take(12 * kMiB) != scratch);
  cache.release_free();
  CHECK(device.holds(scratch, 12 * kMiB));
  cache.drop_pool(pool);
  CHECK_FALSE(device.holds(scratch, 12 * kMiB));
  CHECK(device.holds(result, 12 * kMiB));  // a tensor still lives there
  cache.give(result);
  CHECK_FALSE(device.holds(result, 12 * kMiB));
}

TEST_CASE("before a request fails, free segments go back to the device and a segment may be smaller than usual") {
  FakeDevice device(30 * kMiB);
  BlockCache cache(device);
  cache.give(cache.take(24 * kMiB));
  std::byte* block = cache.take(28 * kMiB);  // the 24 MiB had to go
  CHECK(device.taken() == 28 * kMiB);
  cache.give(block);
  FakeDevice tight(3 * kMiB);
  BlockCache small(tight);
  CHECK(small.take(2 * kMiB + 1) != nullptr);  // 20 MiB are usual and not there
}

TEST_CASE("where the device has nothing left, a small request is met from a large segment") {
  FakeDevice device(20 * kMiB);
  BlockCache cache(device);
  std::byte* middle = cache.take(2 * kMiB);
  std::byte* small = cache.take(kKiB);
  CHECK(device.takes == 1);
  CHECK(small == middle + 2 * kMiB);
  cache.give(middle), cache.give(small);
  CHECK(cache.take(19 * kMiB) == middle);  // and it grows together again
}

TEST_CASE("out of memory says what was asked for, used, kept and free") {
  FakeDevice device(64 * kMiB);
  BlockCache cache(device);
  std::byte* used = cache.take(40 * kMiB);
  std::byte* small = cache.take(kKiB);
  cache.give(cache.take(12 * kMiB));
  try {
    cache.take(30 * kMiB);
    FAIL("30 MiB fitted beside 40 of 64");
  } catch (const OutOfMemory& error) {
    const std::string text = error.what();
    CHECK_THAT(text, contains("fake:0: out of memory: asked for 30.0 MiB, 40.0 MiB are in use"));
    CHECK_THAT(text, contains("2.0 MiB are kept for reuse in pieces of at most 2.0 MiB"));
    CHECK_THAT(text, contains("22.0 MiB of the device's 64.0 MiB are free"));
    CHECK(error.needed == 70 * kMiB + 512 * 2);
    CHECK(error.limit == 64 * kMiB);
  }
  cache.give(used), cache.give(small);
  CHECK(cache.use().used == 0);
}

TEST_CASE("no two blocks overlap, all lie in segments, and the sums agree, whatever the order of requests") {
  std::mt19937 random(5);
  FakeDevice device(512 * kMiB);
  BlockCache cache(device);
  std::map<std::byte*, std::size_t> live;
  std::size_t sum = 0;
  for (int step = 0; step < 4000; ++step) {
    if (live.size() < 40 && random() % 3 != 0) {
      const std::size_t bytes = std::size_t{1} << (random() % 23);
      const std::size_t request = bytes + random() % bytes;
      std::byte* block = cache.take(request);
      REQUIRE(device.holds(block, request));
      const auto next = live.lower_bound(block);
      if (next != live.end()) REQUIRE(block + request <= next->first);
      if (next != live.begin()) REQUIRE(std::prev(next)->first + std::prev(next)->second <= block);
      live[block] = request;
      sum += request;
    } else if (!live.empty()) {
      auto chosen = std::next(live.begin(), random() % live.size());
      cache.give(chosen->first);
      sum -= chosen->second;
      live.erase(chosen);
    }
    REQUIRE(cache.use().used >= sum);
    REQUIRE(cache.use().used + cache.use().cached == device.taken());
    REQUIRE(cache.use().peak >= cache.use().used);
  }
  for (const auto& [block, bytes] : live) cache.give(block);
  cache.release_free();
  CHECK(device.taken() == 0);
  CHECK(cache.segments() == 0);
}

TEST_CASE("the largest batch is the one that a line through two measurements allows") {
  CHECK(largest_batch({2, 300}, {4, 500}, 1100) == 8);  // 100 + 100 n: 10 fit, 8 is the multiple of 8
  CHECK(largest_batch({2, 300}, {4, 500}, 700) == 6);   // below 8 as it is
  CHECK(largest_batch({2, 300}, {4, 500}, 200) == 1);
  CHECK(largest_batch({2, 300}, {4, 500}, 199) == 0);
  CHECK_THROWS_WITH(largest_batch({4, 1}, {4, 2}, 9), contains("two rising numbers"));
}
