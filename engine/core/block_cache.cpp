#include "engine/core/block_cache.h"

#include <algorithm>
#include <vector>

namespace hinge {
namespace {

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB;
constexpr std::size_t kUnit = 512;  // cudaMalloc aligns to 256; twice that keeps the number of distinct sizes low
constexpr std::size_t kSmall = kMiB, kMiddle = 10 * kMiB;
constexpr std::size_t kSmallSegment = 2 * kMiB, kMiddleSegment = 20 * kMiB;  // 2 MiB: a page of the GPU

std::size_t round_up(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

std::string mebibytes(std::size_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / static_cast<double>(kMiB)); }

}  // namespace

std::byte* BlockCache::from_free(std::size_t rounded, bool small) {
  FreeList& list = free_list(current_, small);
  const auto found = list.lower_bound({rounded, nullptr});
  if (found == list.end()) return nullptr;
  std::byte* const place = found->second;
  list.erase(found);
  Block& block = blocks_.at(place);
  block.free = false;
  const std::size_t rest = block.size - rounded;
  // Crumbs of a large block would only keep it from growing together again.
  if (rest >= (rounded <= kSmall ? kUnit : kSmall)) {
    block.size = rounded;
    blocks_.emplace(place + rounded, Block{rest, true, block.segment});
    list.emplace(rest, place + rounded);
  }
  return place;
}

bool BlockCache::grow(std::size_t rounded, bool small) {
  const std::size_t size = small ? kSmallSegment : rounded < kMiddle ? kMiddleSegment
                                                                     : round_up(rounded, kSmallSegment);
  std::byte* segment = source_.take(size);
  std::size_t got = size;
  if (segment == nullptr && size > rounded) segment = source_.take(got = rounded);  // no room to be generous
  if (segment == nullptr) return false;
  segments_.emplace(segment, Segment{got, current_, small});
  blocks_.emplace(segment, Block{got, true, segment});
  free_list(current_, small).emplace(got, segment);
  use_.cached += got;
  return true;
}

std::byte* BlockCache::take(std::size_t bytes) {
  const std::size_t rounded = round_up(std::max<std::size_t>(bytes, 1), kUnit);
  const bool small = rounded <= kSmall;
  std::byte* block = from_free(rounded, small);
  if (block == nullptr && !grow(rounded, small)) {
    block = from_free(rounded, false);  // a small one in a large segment, rather than none
    if (block == nullptr) {
      release_free();
      if (!grow(rounded, small)) throw_out_of_memory(bytes);
    }
  }
  if (block == nullptr) block = from_free(rounded, small);
  const std::size_t size = blocks_.at(block).size;
  use_.cached -= size;
  use_.used += size;
  use_.peak = std::max(use_.peak, use_.used);
  source_.handed_out(block, bytes, size);
  return block;
}

void BlockCache::give(std::byte* place) noexcept {
  auto here = blocks_.find(place);
  source_.taken_back(place, here->second.size);
  use_.used -= here->second.size;
  use_.cached += here->second.size;
  here->second.free = true;
  const Segment segment = segments_.at(here->second.segment);
  FreeList& list = free_list(segment.pool, segment.small);
  const auto swallow = [&](std::map<std::byte*, Block>::iterator left, std::map<std::byte*, Block>::iterator right) {
    left->second.size += right->second.size;
    blocks_.erase(right);
    return left;
  };
  if (const auto next = std::next(here); next != blocks_.end() && next->second.free && next->second.segment == here->second.segment) {
    list.erase({next->second.size, next->first});
    here = swallow(here, next);
  }
  if (here != blocks_.begin()) {
    const auto before = std::prev(here);
    if (before->second.free && before->second.segment == here->second.segment) {
      list.erase({before->second.size, before->first});
      here = swallow(before, here);
    }
  }
  list.emplace(here->second.size, here->first);
  if (dropped_.contains(segment.pool)) release_free_of(segment.pool, true);
}

void BlockCache::release_free_of(Pool pool, bool also_if_used_by_graph) noexcept {
  // A living graph's memory looks free between replays and is not.
  if (pool != kCommon && !also_if_used_by_graph) return;
  for (auto segment = segments_.begin(); segment != segments_.end();) {
    const auto block = blocks_.find(segment->first);
    const bool whole = block->second.free && block->second.size == segment->second.size;
    if (segment->second.pool != pool || !whole) {
      ++segment;
      continue;
    }
    free_list(pool, segment->second.small).erase({block->second.size, block->first});
    blocks_.erase(block);
    use_.cached -= segment->second.size;
    source_.give(segment->first);
    segment = segments_.erase(segment);
  }
}

void BlockCache::release_free() noexcept { release_free_of(kCommon, false); }

void BlockCache::drop_pool(Pool pool) noexcept {
  dropped_.insert(pool);
  release_free_of(pool, true);
}

void BlockCache::throw_out_of_memory(std::size_t bytes) const {
  const DeviceMemory memory = source_.memory();
  std::size_t largest = 0;
  for (const auto& [key, list] : free_) {
    if (!list.empty() && key.first == current_) largest = std::max(largest, list.rbegin()->first);
  }
  const std::string pieces =
      use_.cached == 0 ? "" : fmt::format(", {} are kept for reuse in pieces of at most {}", mebibytes(use_.cached), mebibytes(largest));
  throw OutOfMemory(fmt::format("{}: out of memory: asked for {}, {} are in use by tensors{}, {} of the device's {} are free",
                                source_.name(), mebibytes(bytes), mebibytes(use_.used), pieces, mebibytes(memory.free),
                                mebibytes(memory.total)),
                    use_.used + bytes, use_.used + use_.cached + memory.free);
}

int largest_batch(const BatchMemory& smaller, const BatchMemory& larger, std::size_t limit) {
  require(smaller.batch > 0 && smaller.batch < larger.batch, "batch memory: measured at {} and {} images, expected two rising numbers",
          smaller.batch, larger.batch);
  const double slope = std::max(0.0, static_cast<double>(larger.bytes) - static_cast<double>(smaller.bytes)) /
                       static_cast<double>(larger.batch - smaller.batch);
  const double fixed = static_cast<double>(smaller.bytes) - slope * static_cast<double>(smaller.batch);
  if (fixed + slope > static_cast<double>(limit)) return 0;
  if (slope <= 0.0) return larger.batch;
  const int fits = static_cast<int>(std::min(1e9, (static_cast<double>(limit) - fixed) / slope));
  return fits >= 8 ? fits / 8 * 8 : fits;
}

}  // namespace hinge
