// A device's memory, kept in large segments and handed out in blocks: the decisions of the caching allocator.
//
// A request is rounded up to 512 bytes. It gets the smallest free block it fits into; what is left over becomes a free
// block of its own if it is worth keeping, and free neighbours grow together again. Where none fits, a segment is
// taken from the device: 2 MiB for small requests (up to 1 MiB), 20 MiB for middle ones (up to 10 MiB), the request
// itself rounded to 2 MiB for large ones. Where the device has no more, a small request is put into a large segment, and then free
// segments go back to the device.
//
// A block that is given back can be handed out at once, although work that reads it may still be queued: everything on
// a device runs in the order in which it was queued, so the next owner's work comes after.
//
// Pools keep memory apart: blocks of a pool come from its own segments. A captured graph has a pool of its own, since
// its kernels write to the same addresses in every replay, also while other tensors live.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "engine/core/accelerator.h"
#include "engine/core/error.h"
#include "engine/core/storage.h"

namespace hinge {

// A device has less memory than was asked for.
class OutOfMemory : public Error {
 public:
  OutOfMemory(const std::string& message, std::size_t needed, std::size_t limit) : Error(message), needed(needed), limit(limit) {}
  std::size_t needed;  // bytes in live tensors, had the request been met
  std::size_t limit;   // bytes that this program could have at most: what it holds and what the device has left
};

// Where segments come from; the device, or a stand-in for tests.
class SegmentSource {
 public:
  virtual ~SegmentSource() = default;
  virtual std::string name() const = 0;
  virtual std::byte* take(std::size_t bytes) = 0;  // nullptr: not enough left
  virtual void give(std::byte* segment) noexcept = 0;
  virtual DeviceMemory memory() const = 0;
  virtual void handed_out(std::byte* /*block*/, std::size_t /*bytes*/, std::size_t /*rounded*/) {}
  virtual void taken_back(std::byte* /*block*/, std::size_t /*rounded*/) noexcept {}
};

class BlockCache {
 public:
  using Pool = int;
  static constexpr Pool kCommon = 0;

  explicit BlockCache(SegmentSource& source) : source_(source) {}
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  // At least `bytes` (1 for 0), from the current pool. Throws OutOfMemory.
  std::byte* take(std::size_t bytes);
  void give(std::byte* block) noexcept;

  // A new pool; blocks are taken from it while it is the current one.
  Pool make_pool() { return next_pool_++; }
  // Returns the one before.
  Pool set_current(Pool pool) { return std::exchange(current_, pool); }
  // Its memory goes back to the device as its blocks are given back.
  void drop_pool(Pool pool) noexcept;

  MemoryUse use() const { return use_; }
  void reset_peak() { use_.peak = use_.used; }
  // Gives the segments that are free as a whole back to the device.
  void release_free() noexcept;
  std::size_t segments() const { return segments_.size(); }

 private:
  struct Block {
    std::size_t size = 0;
    bool free = false;
    std::byte* segment = nullptr;
  };
  struct Segment {
    std::size_t size = 0;
    Pool pool = kCommon;
    bool small = false;
  };
  using Place = std::pair<std::size_t, std::byte*>;  // size first: the smallest that fits is the first that fits
  using FreeList = std::set<Place>;

  FreeList& free_list(Pool pool, bool small) { return free_[{pool, small}]; }
  std::byte* from_free(std::size_t rounded, bool small);
  bool grow(std::size_t rounded, bool small);
  void release_free_of(Pool pool, bool also_if_used_by_graph) noexcept;
  [[noreturn]] void throw_out_of_memory(std::size_t bytes) const;

  SegmentSource& source_;
  std::map<std::byte*, Block> blocks_;      // by address: neighbours stand next to each other
  std::map<std::byte*, Segment> segments_;  // by address
  std::map<std::pair<Pool, bool>, FreeList> free_;
  std::set<Pool> dropped_;
  Pool current_ = kCommon, next_pool_ = 1;
  MemoryUse use_;
};

// The largest batch whose memory stays within `limit`, for a step whose memory is a + b * batch with two measured
// points (batch, bytes); 0 where not even one image fits. A multiple of 8 from 8 on, as batches are usually chosen.
struct BatchMemory {
  int batch = 0;
  std::size_t bytes = 0;
};
int largest_batch(const BatchMemory& smaller, const BatchMemory& larger, std::size_t limit);

}  // namespace hinge
