#include "kernels/simt/block.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <utility>

#include "kernels/simt/emulated_cuda.h"

namespace simt::emulator {
namespace {

constexpr std::size_t kSharedLimit = 48 * 1024;  // what a kernel gets without asking for more
constexpr int kUnwrittenByte = 0xff;             // NaN in every floating-point type

bool same(Place a, Place b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}
std::string text(Place place) { return std::string(place.file) + ":" + std::to_string(place.line); }
std::string text(uint3 index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " + std::to_string(index.z) + ")";
}

}  // namespace

std::uint64_t Random::next() {
  std::uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

Block::Block(Launch& launch, uint3 index, StackPool& stacks)
    : launch_(launch),
      index_(index),
      stacks_(stacks),
      threads_(launch.shape.threads.count()),
      warps_((threads_.size() + kWarpSize - 1) / kWarpSize),
      order_(threads_.size()) {
  dynamic_ = make_shared(launch.shape.shared_bytes);
  std::iota(order_.begin(), order_.end(), 0u);
  if (launch.schedule == Schedule::kReverse) std::reverse(order_.begin(), order_.end());
  if (threads_.size() % kWarpSize != 0) warps_.back().left = kFullWarp << (threads_.size() % kWarpSize);
  const Extent& extent = launch.shape.threads;
  for (std::size_t id = 0; id < threads_.size(); ++id) {
    const auto number = static_cast<unsigned>(id);
    Thread& thread = threads_[id];
    thread.index = {number % extent.x, number / extent.x % extent.y, number / extent.x / extent.y};
    thread.block = this;
    thread.stack = stacks.take();
    thread.fiber.start(thread.stack, &Block::run_thread, &thread);
  }
}

Block::~Block() {
  for (Thread& thread : threads_) stacks_.give(thread.stack, thread.state != State::kLeft);
}

std::unique_ptr<std::byte[]> Block::make_shared(std::size_t bytes) {
  shared_bytes_ += bytes;
  if (shared_bytes_ > kSharedLimit) {
    fault("shared memory of " + std::to_string(shared_bytes_) + " bytes, expected at most " +
          std::to_string(kSharedLimit));
  }
  std::unique_ptr<std::byte[]> memory(new std::byte[bytes]);
  std::memset(memory.get(), kUnwrittenByte, bytes);
  return memory;
}

void Block::run_thread(void* thread) {
  auto& self = *static_cast<Thread*>(thread);
  try {
    self.block->launch_.thread(self.block->launch_.arguments);
  } catch (...) {
    self.block->failure_ = std::current_exception();
  }
  self.block->leave(self);
}

bool Block::round() {
  if (launch_.schedule == Schedule::kShuffled) {
    for (auto i = static_cast<unsigned>(order_.size()); i > 1; --i) {
      std::swap(order_[i - 1], order_[launch_.random.below(i)]);
    }
  }
  bool any = false;
  blockIdx = index_;
  for (const unsigned id : order_) {
    Thread& thread = threads_[id];
    if (thread.state != State::kReady) continue;
    any = true;
    current_ = id;
    threadIdx = thread.index;
    thread.fiber.resume();
    if (failure_) std::rethrow_exception(failure_);
  }
  return any;
}

void Block::wait(Thread& thread, State state, Place place) {
  thread.state = state;
  thread.place = place;
  thread.fiber.suspend();
}

void Block::leave(Thread& thread) {
  thread.state = State::kLeft;
  ++left_;
  const auto id = static_cast<std::size_t>(&thread - threads_.data());
  Warp& warp = warps_[id / kWarpSize];
  warp.left |= 1u << (id % kWarpSize);
  for (unsigned lane = 0; warp.waiting != 0 && lane < kWarpSize; ++lane) {
    const std::size_t other = id / kWarpSize * kWarpSize + lane;
    if (!(warp.waiting >> lane & 1u) || !(threads_[other].call.mask >> (id % kWarpSize) & 1u) || failure_) continue;
    try {
      fault("divergent warp operation: " + describe(other) + ", " + describe(id));
    } catch (...) {
      failure_ = std::current_exception();
    }
  }
}

int Block::block_barrier(Vote vote, bool predicate, Place place) {
  Thread& self = threads_[current_];
  if (at_barrier_ > 0 && (!same(threads_[first_at_barrier_].place, place) || vote != vote_)) {
    fault("divergent barrier: thread " + text(self.index) + " waits at " + text(place) + ", " +
          describe(first_at_barrier_));
  }
  if (at_barrier_++ == 0) vote_ = vote, yes_votes_ = 0, first_at_barrier_ = current_;
  yes_votes_ += predicate;
  if (at_barrier_ == threads_.size()) {
    release_barrier();
  } else {
    wait(self, State::kAtBarrier, place);
  }
  return static_cast<int>(self.result);
}

void Block::release_barrier() {
  const auto all = static_cast<int>(threads_.size());
  int result = 0;
  if (vote_ == Vote::kCount) result = yes_votes_;
  if (vote_ == Vote::kAnd) result = yes_votes_ == all;
  if (vote_ == Vote::kOr) result = yes_votes_ > 0;
  for (Thread& thread : threads_) {
    thread.state = State::kReady;
    thread.result = static_cast<std::uint64_t>(result);
  }
  at_barrier_ = 0;
}

void Block::grid_barrier(Place place) {
  if (!launch_.shape.cooperative) fault("grid barrier in a launch that is not cooperative");
  ++at_grid_barrier_;
  wait(threads_[current_], State::kAtGridBarrier, place);
}

void Block::release_grid_barrier() {
  for (Thread& thread : threads_) thread.state = State::kReady;
  at_grid_barrier_ = 0;
}

std::uint64_t Block::warp_operation(WarpOp op, unsigned mask, std::uint64_t operand, unsigned source,
                                    bool is_signed, Place place) {
  Thread& self = threads_[current_];
  const auto warp_index = static_cast<unsigned>(current_ / kWarpSize);
  const unsigned own = 1u << (current_ % kWarpSize);
  if (!(mask & own)) {
    fault("thread " + text(self.index) + " is not in the mask of its warp operation at " + text(place));
  }
  Warp& warp = warps_[warp_index];
  self.call = {op, is_signed, mask, source, operand};
  self.place = place;
  self.state = State::kInWarp;
  if ((mask & warp.left) != 0) {
    fault("divergent warp operation: " + describe(current_) + ", but lane " +
          std::to_string(__builtin_ctz(mask & warp.left)) + " has left or never was");
  }
  warp.waiting |= own;
  if ((mask & ~warp.waiting) == 0) {
    complete_warp(warp_index, mask);
  } else {
    self.fiber.suspend();
  }
  return self.result;
}

void Block::complete_warp(unsigned warp_index, unsigned mask) {
  Warp& warp = warps_[warp_index];
  Thread* lanes = &threads_[static_cast<std::size_t>(warp_index) * kWarpSize];
  const Thread& first = lanes[__builtin_ctz(mask)];
  const WarpOp op = first.call.op;

  unsigned ballot = 0;
  std::int64_t total = 0, least = INT64_MAX, largest = INT64_MIN;
  std::uint32_t all_and = kFullWarp, all_or = 0, all_xor = 0;
  for (unsigned lane = 0; lane < kWarpSize; ++lane) {
    if (!(mask >> lane & 1u)) continue;
    const Thread& thread = lanes[lane];
    if (thread.call.op != op || thread.call.mask != mask ||
        (op != WarpOp::kSync && !same(thread.place, first.place))) {
      fault("divergent warp operation: " + describe(static_cast<std::size_t>(&first - threads_.data())) + ", " +
            describe(static_cast<std::size_t>(&thread - threads_.data())));
    }
    const auto bits = static_cast<std::uint32_t>(thread.call.operand);
    const std::int64_t number = thread.call.is_signed ? static_cast<std::int32_t>(bits) : std::int64_t{bits};
    ballot |= (thread.call.operand != 0 ? 1u : 0u) << lane;
    total += number;
    least = std::min(least, number);
    largest = std::max(largest, number);
    all_and &= bits, all_or |= bits, all_xor ^= bits;
  }
  for (unsigned lane = 0; lane < kWarpSize; ++lane) {
    if (!(mask >> lane & 1u)) continue;
    Thread& thread = lanes[lane];
    thread.state = State::kReady;
    switch (op) {
      case WarpOp::kSync: thread.result = 0; break;
      case WarpOp::kShuffle:
        thread.result = mask >> (thread.call.source % kWarpSize) & 1u
                            ? lanes[thread.call.source % kWarpSize].call.operand
                            : ~std::uint64_t{0};
        break;
      case WarpOp::kBallot: thread.result = ballot; break;
      case WarpOp::kAdd: thread.result = static_cast<std::uint64_t>(total); break;
      case WarpOp::kMin: thread.result = static_cast<std::uint64_t>(least); break;
      case WarpOp::kMax: thread.result = static_cast<std::uint64_t>(largest); break;
      case WarpOp::kAnd: thread.result = all_and; break;
      case WarpOp::kOr: thread.result = all_or; break;
      case WarpOp::kXor: thread.result = all_xor; break;
    }
  }
  warp.waiting &= ~mask;
}

unsigned Block::live_lanes() const { return ~warps_[current_ / kWarpSize].left; }

void Block::maybe_yield() {
  if (launch_.schedule == Schedule::kShuffled && launch_.random.below(4) == 0) {
    threads_[current_].fiber.suspend();
  }
}

void* Block::static_shared(const void* tag, std::size_t bytes) {
  for (StaticArray& array : static_) {
    if (array.tag == tag) return array.bytes.get();
  }
  static_.push_back({tag, make_shared(bytes)});
  return static_.back().bytes.get();
}

std::string Block::describe(std::size_t id) const {
  const Thread& thread = threads_[id];
  std::string who = "thread ";
  who += text(thread.index);
  switch (thread.state) {
    case State::kLeft: return who + " has left";
    case State::kAtBarrier: return who + " waits at the barrier at " + text(thread.place);
    case State::kAtGridBarrier: return who + " waits at the grid barrier at " + text(thread.place);
    case State::kInWarp: {
      char mask[16];
      std::snprintf(mask, sizeof mask, "0x%08x", thread.call.mask);
      return who + " waits in a warp operation with mask " + mask + " at " + text(thread.place);
    }
    case State::kReady: break;
  }
  return who + " runs";
}

void Block::report_stuck() const {
  // The first thread that waits, and the first that is somewhere else.
  std::size_t first = 0;
  while (threads_[first].state == State::kLeft) ++first;
  std::size_t other = 0;
  while (other + 1 < threads_.size() && threads_[other].state == threads_[first].state) ++other;
  fault("divergent barrier: " + describe(first) + ", " + describe(other));
}

void Block::fault(const std::string& what) const {
  throw Fault(std::string(launch_.name) + ", block " + text(index_) + ": " + what);
}

}  // namespace simt::emulator
