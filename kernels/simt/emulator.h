// CUDA's execution model on one host thread: what tests set and what kernels' helpers call.
//
// A block is a set of fibers, one per CUDA thread. A fiber runs until it waits (for its block, its warp or the grid) or
// ends; then the next one runs, in an order that the schedule gives. What is reported, as simt::Fault, with the kernel's
// name, the block and the threads:
//   * a barrier or warp operation that some threads reach while others have left, wait elsewhere or pass another mask;
//   * a launch that CUDA would refuse (no blocks, more than 1,024 threads, more than 48 KiB of shared memory);
//   * a vector access at an address that is not a multiple of its size.
// What shows in results: shared memory is filled with all-ones bytes (NaN), so a read before the write gives NaN, and a
// missing barrier gives different results under different schedules. What AddressSanitizer sees: every shared array and
// the dynamic shared memory are heap blocks of their exact size, fresh for every CUDA block.
//
// Limits: no two threads run at the same instant (a race shows only where the order of threads between two waits
// matters), and warps don't run in lockstep (CUDA since Volta does not promise it either).
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "kernels/simt/launch_shape.h"

namespace simt {

// A kernel did what CUDA does not allow.
class Fault : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

namespace emulator {

// In which order threads and blocks run.
//   kForward   blocks one after the other, threads by number
//   kReverse   blocks from the last to the first, threads from the last to the first
//   kShuffled  several blocks at a time, the next block and the order of its threads drawn anew for every round;
//              atomics and fences may let other threads run first
enum class Schedule { kForward,
                      kReverse,
                      kShuffled };

void set_schedule(Schedule schedule, std::uint64_t seed = 0);

// Fiber switches of all launches of this thread so far, two for every time a thread is resumed.
std::uint64_t switches();

// Runs `thread` once per CUDA thread of the launch.
void run(const char* name, const LaunchShape& shape, void (*thread)(void* arguments), void* arguments);

// How many blocks of a cooperative launch are resident: odd and small, so that kernels have to stride.
inline constexpr int kResidentBlocks = 7;

// A place in a kernel's source.
struct Place {
  const char* file = "";
  int line = 0;
};

// --- called by the running thread ---

enum class Vote { kNone,
                  kCount,
                  kAnd,
                  kOr };
// Waits for all threads of the block; returns the vote over `predicate`.
int block_barrier(Vote vote, bool predicate, Place place);
void grid_barrier(Place place);

enum class WarpOp { kSync,
                    kShuffle,
                    kBallot,
                    kAdd,
                    kMin,
                    kMax,
                    kAnd,
                    kOr,
                    kXor };
// Waits for the lanes of `mask`; a lane that is named but has left is a fault (stricter than CUDA).
//   kShuffle   the operand of lane `source`; all ones if that lane takes no part (undefined in CUDA)
//   kBallot    the lanes of the mask whose operand is not 0
//   kSync      0
//   others     the mask's operands reduced, as signed (`is_signed`) or unsigned 32-bit numbers
std::uint64_t warp_operation(WarpOp op, unsigned mask, std::uint64_t operand, unsigned source, bool is_signed,
                             Place place);
// Lanes of the warp that have not left the kernel.
unsigned live_lanes();

// Under kShuffled, lets other threads run, sometimes.
void maybe_yield();

void* dynamic_shared();
// The block's array for the declaration that `tag` stands for, made when the first thread comes to it.
void* static_shared(const void* tag, std::size_t bytes);

[[noreturn]] void fault(const std::string& what);

}  // namespace emulator
}  // namespace simt
