// One block of the emulator: its threads, their shared memory and what they wait for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "kernels/simt/emulated_vectors.h"
#include "kernels/simt/emulator.h"
#include "kernels/simt/fiber.h"

namespace simt::emulator {

// SplitMix64 (Steele, Lea & Flood, 2014): small, and good enough to draw schedules.
struct Random {
  std::uint64_t state = 0;
  std::uint64_t next();
  unsigned below(unsigned bound) { return static_cast<unsigned>((next() >> 32) * bound >> 32); }
};

// What all blocks of a launch have in common.
struct Launch {
  const char* name = "";
  LaunchShape shape{1, 1};
  void (*thread)(void*) = nullptr;
  void* arguments = nullptr;
  Schedule schedule = Schedule::kForward;
  Random random;
};

class Block {
 public:
  Block(Launch& launch, uint3 index, StackPool& stacks);
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  // One turn for every thread that can go on; false if none could. Throws what a thread threw.
  bool round();
  bool done() const { return left_ == threads_.size(); }
  bool at_grid_barrier() const { return at_grid_barrier_ == threads_.size(); }
  void release_grid_barrier();
  // Throws a Fault that says who waits where and for whom.
  [[noreturn]] void report_stuck() const;

  // Called by the thread that runs; see emulator.h.
  int block_barrier(Vote vote, bool predicate, Place place);
  void grid_barrier(Place place);
  std::uint64_t warp_operation(WarpOp op, unsigned mask, std::uint64_t operand, unsigned source, bool is_signed,
                               Place place);
  unsigned live_lanes() const;
  void maybe_yield();
  void* dynamic_shared() { return dynamic_.get(); }
  void* static_shared(const void* tag, std::size_t bytes);
  [[noreturn]] void fault(const std::string& what) const;

 private:
  enum class State : std::uint8_t { kReady,
                                    kAtBarrier,
                                    kInWarp,
                                    kAtGridBarrier,
                                    kLeft };

  struct WarpCall {
    WarpOp op = WarpOp::kSync;
    bool is_signed = false;
    unsigned mask = 0, source = 0;
    std::uint64_t operand = 0;
  };
  struct Thread {
    Fiber fiber;
    Block* block = nullptr;
    std::byte* stack = nullptr;
    State state = State::kReady;
    uint3 index;
    Place place;  // where it waits
    WarpCall call;
    std::uint64_t result = 0;  // of what it waited for
  };
  struct Warp {
    unsigned waiting = 0;  // lanes in a warp operation
    unsigned left = 0;     // lanes that have left, or never were
  };
  struct StaticArray {
    const void* tag;
    std::unique_ptr<std::byte[]> bytes;
  };

  static void run_thread(void* thread);
  void wait(Thread& thread, State state, Place place);
  void leave(Thread& thread);
  void release_barrier();
  void complete_warp(unsigned warp, unsigned mask);
  std::unique_ptr<std::byte[]> make_shared(std::size_t bytes);
  std::string describe(std::size_t thread) const;

  Launch& launch_;
  uint3 index_;
  StackPool& stacks_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<unsigned> order_;
  std::size_t current_ = 0;

  std::size_t left_ = 0, at_barrier_ = 0, first_at_barrier_ = 0, at_grid_barrier_ = 0;
  Vote vote_ = Vote::kNone;
  int yes_votes_ = 0;

  std::size_t shared_bytes_ = 0;
  std::unique_ptr<std::byte[]> dynamic_;
  std::vector<StaticArray> static_;
  std::exception_ptr failure_;
};

}  // namespace simt::emulator
