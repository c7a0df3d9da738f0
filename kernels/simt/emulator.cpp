// The grid: which blocks run, in which order, and what a launch may ask for.
#include "kernels/simt/emulator.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/simt/block.h"
#include "kernels/simt/emulated_cuda.h"
#include "kernels/simt/emulated_device.h"

namespace simt::emulator {
namespace {

constexpr std::size_t kShuffledResident = 3;  // blocks that take turns under kShuffled

thread_local Schedule schedule = Schedule::kForward;
thread_local std::uint64_t schedule_seed = 0;
thread_local Block* running = nullptr;
thread_local StackPool stacks;

uint3 index_of(std::uint64_t number, const Extent& extent) {
  return {static_cast<unsigned>(number % extent.x), static_cast<unsigned>(number / extent.x % extent.y),
          static_cast<unsigned>(number / extent.x / extent.y)};
}

void check_shape(const char* name, const LaunchShape& shape) {
  const auto refuse = [&](const std::string& what) { throw Fault(std::string(name) + ": " + what); };
  const Extent &blocks = shape.blocks, &threads = shape.threads;
  if (running != nullptr) refuse("launch from inside a kernel");
  if (blocks.count() == 0 || threads.count() == 0) refuse("launch of no blocks or no threads");
  if (threads.count() > 1024 || threads.z > 64) {
    refuse("launch of " + std::to_string(threads.count()) + " threads a block, expected at most 1024");
  }
  if (blocks.x > 0x7fffffffu || blocks.y > 65535 || blocks.z > 65535) refuse("launch of too many blocks");
  if (shape.cooperative && blocks.count() > kResidentBlocks) {
    refuse("cooperative launch of " + std::to_string(blocks.count()) + " blocks, of which " +
           std::to_string(kResidentBlocks) + " are resident");
  }
}

// Runs the resident blocks to their end and takes new ones up as places become free.
class Grid {
 public:
  explicit Grid(Launch& launch) : launch_(launch), count_(launch.shape.blocks.count()) {
    places_ = launch.shape.cooperative ? count_ : launch.schedule == Schedule::kShuffled ? kShuffledResident
                                                                                         : 1;
  }

  void run() {
    for (fill(); !resident_.empty(); fill()) {
      const std::size_t turn =
          launch_.schedule == Schedule::kShuffled ? launch_.random.below(static_cast<unsigned>(resident_.size()))
                                                  : next_turn_++ % resident_.size();
      Block& block = *resident_[turn];
      running = &block;
      const bool progress = block.round();
      running = nullptr;
      if (block.done()) {
        resident_.erase(resident_.begin() + static_cast<std::ptrdiff_t>(turn));
      } else if (!progress && !block.at_grid_barrier()) {
        block.report_stuck();
      } else if (!progress) {
        try_release_grid_barrier();
      }
    }
  }

 private:
  void fill() {
    while (resident_.size() < places_ && started_ < count_) {
      const std::uint64_t number = launch_.schedule == Schedule::kReverse ? count_ - 1 - started_ : started_;
      ++started_;
      resident_.push_back(std::make_unique<Block>(launch_, index_of(number, launch_.shape.blocks), stacks));
    }
  }

  void try_release_grid_barrier() {
    if (resident_.size() < count_) resident_[0]->fault("grid barrier that some blocks left before");
    for (const auto& block : resident_) {
      if (!block->at_grid_barrier()) return;
    }
    for (const auto& block : resident_) block->release_grid_barrier();
  }

  Launch& launch_;
  const std::uint64_t count_;
  std::size_t places_ = 1, next_turn_ = 0;
  std::uint64_t started_ = 0;
  std::vector<std::unique_ptr<Block>> resident_;
};

}  // namespace

void set_schedule(Schedule new_schedule, std::uint64_t seed) {
  schedule = new_schedule;
  schedule_seed = seed;
}

std::uint64_t switches() { return Fiber::switches(); }

void run(const char* name, const LaunchShape& shape, void (*thread)(void*), void* arguments) {
  check_shape(name, shape);
  const DeviceAccess access;
  Launch launch{name, shape, thread, arguments, schedule, {schedule_seed}};
  blockDim = {shape.threads.x, shape.threads.y, shape.threads.z};
  gridDim = {shape.blocks.x, shape.blocks.y, shape.blocks.z};
  try {
    Grid(launch).run();
  } catch (...) {
    running = nullptr;
    throw;
  }
}

int block_barrier(Vote vote, bool predicate, Place place) { return running->block_barrier(vote, predicate, place); }
void grid_barrier(Place place) { running->grid_barrier(place); }
std::uint64_t warp_operation(WarpOp op, unsigned mask, std::uint64_t operand, unsigned source, bool is_signed,
                             Place place) {
  return running->warp_operation(op, mask, operand, source, is_signed, place);
}
unsigned live_lanes() { return running->live_lanes(); }
void maybe_yield() { running->maybe_yield(); }
void* dynamic_shared() { return running->dynamic_shared(); }
void* static_shared(const void* tag, std::size_t bytes) { return running->static_shared(tag, bytes); }
void fault(const std::string& what) {
  const std::string thread = "thread (" + std::to_string(threadIdx.x) + ", " + std::to_string(threadIdx.y) + ", " +
                             std::to_string(threadIdx.z) + "): ";
  running->fault(thread + what);
}

}  // namespace simt::emulator
