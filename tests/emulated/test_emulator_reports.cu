// What the emulator reports: every defect here was written on purpose.
#include <cmath>
#include <vector>

#include "kernels/simt/simt.h"
#include "tests/emulated/schedules.h"

using namespace hinge::testing;

namespace {

__global__ void skipped_barrier(int* out) {
  if (threadIdx.x < 40) __syncthreads();
  out[threadIdx.x] = 1;
}
__global__ void two_barriers(int* out) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}
__global__ void barrier_and_warp(int* out) {
  if (threadIdx.x == 3) {
    __syncthreads();
  } else {
    out[threadIdx.x] = __shfl_xor_sync(simt::kFullWarp, 1, 1);
  }
}
__global__ void other_masks(int* out) {
  const unsigned mask = threadIdx.x < 16 ? 0xffffffffu : 0xffff0000u;
  out[threadIdx.x] = __shfl_xor_sync(mask, 1, 1);
}
// The classic: the last threads have nothing to do and return, the others name them in their mask.
__global__ void returns_early(int* out) {
  if (threadIdx.x >= 50) return;
  out[threadIdx.x] = __shfl_xor_sync(simt::kFullWarp, 1, 1);
}
__global__ void not_in_mask(int* out) { out[threadIdx.x] = __shfl_xor_sync(0xffffu, 1, 1); }
__global__ void reads_absent_lane(float* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0xffffu, 1.0f, 20);
}
__global__ void reads_before_write(float* out) {
  SIMT_SHARED(float, values, [32]);
  out[threadIdx.x] = values[threadIdx.x] + simt::shared_memory<float>()[0];
}
// Each thread hands its number to the next one, without the barrier between writing and reading.
template <bool kBarrier>
__global__ void hand_on(int* out) {
  SIMT_SHARED(int, values, [64]);
  values[threadIdx.x] = -1;
  __syncthreads();
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (kBarrier) __syncthreads();
  out[threadIdx.x] = values[(threadIdx.x + 1) % 64];
}
// Blocks add to one number without an atomic: what one reads, another may have changed by the time it writes.
template <bool kAtomic>
__global__ void add_up(int* total) {
  if (kAtomic) {
    if (threadIdx.x == 0) atomicAdd(total, 1);
    return;
  }
  int before = 0;
  if (threadIdx.x == 0) before = *total;
  __syncthreads();
  if (threadIdx.x == 0) *total = before + 1;
}
__global__ void misaligned(const float* in, float* out) {
  const auto* address = reinterpret_cast<const float4*>(in + 1);
  simt::check_aligned(address, sizeof(float4));
  out[threadIdx.x] = 0.0f;
}
__global__ void nothing() {}
__global__ void greedy() {
  SIMT_SHARED(float, values, [12289]);
  values[0] = 0.0f;
}
__global__ void waits_for_grid() { simt::grid_barrier(); }
__global__ void leaves_before_grid() {
  if (blockIdx.x != 1) simt::grid_barrier();
}

template <class... Params, class... Args>
std::string fault_of(const simt::LaunchShape& shape, void (*kernel)(Params...), Args... args) {
  try {
    simt::launch("defect", shape, nullptr, kernel, args...);
  } catch (const simt::Fault& fault) {
    return fault.what();
  }
  return "no fault";
}

}  // namespace

TEST_CASE("a barrier that some threads skip is reported with who waits and who is gone") {
  under_all_schedules([] {
    std::vector<int> out(64);
    const std::string fault = fault_of({1, 64}, &skipped_barrier, out.data());
    CHECK_THAT(fault, contains("defect, block (0, 0, 0): divergent barrier") && contains("waits at the barrier") &&
                          contains("test_emulator_reports.cu:") && contains("thread (40, 0, 0) has left"));
  });
}

TEST_CASE("barriers at two places are not one barrier") {
  under_all_schedules([] {
    std::vector<int> out(64);
    CHECK_THAT(fault_of({1, 64}, &two_barriers, out.data()), contains("divergent barrier: thread"));
  });
}

TEST_CASE("a barrier that meets a warp operation, and masks that differ, are reported") {
  under_all_schedules([] {
    std::vector<int> out(64);
    CHECK_THAT(fault_of({1, 32}, &barrier_and_warp, out.data()),
               contains("waits in a warp operation with mask 0xffffffff") && contains("thread (3, 0, 0) waits at the barrier"));
    CHECK_THAT(fault_of({1, 32}, &other_masks, out.data()), contains("divergent warp operation"));
    CHECK_THAT(fault_of({1, 64}, &returns_early, out.data()), contains("has left"));
    CHECK_THAT(fault_of({1, 50}, &returns_early, out.data()), contains("has left or never was"));
    CHECK_THAT(fault_of({1, 32}, &not_in_mask, out.data()), contains("is not in the mask"));
  });
}

TEST_CASE("after a report the emulator goes on as before") {
  std::vector<int> out(64, 0);
  for (int i = 0; i < 3; ++i) {
    CHECK(fault_of({1, 64}, &skipped_barrier, out.data()) != "no fault");
    CHECK(fault_of({2, 64}, &hand_on<true>, out.data()) == "no fault");
    CHECK((out[0] == 1 && out[63] == 0));
  }
}

TEST_CASE("what nobody wrote reads as NaN: shared memory, and lanes that take no part") {
  under_all_schedules([] {
    std::vector<float> out(32, 0.0f);
    simt::launch("unwritten", {1, 32, 16}, nullptr, &reads_before_write, out.data());
    CHECK((std::isnan(out[0]) && std::isnan(out[31])));
    out.assign(32, 0.0f);
    simt::launch("absent", {1, 32}, nullptr, &reads_absent_lane, out.data());
    CHECK((std::isnan(out[0]) && std::isnan(out[15]) && out[16] == 0.0f));
  });
}

TEST_CASE("a missing barrier and a missing atomic give different results under different schedules") {
  const auto hand = [](auto* kernel) {
    return [kernel] {
      std::vector<int> out(64, 0);
      simt::launch("hand on", {1, 64}, nullptr, kernel, out.data());
      return out;
    };
  };
  CHECK(same_under_all_schedules(hand(&hand_on<true>)));
  CHECK_FALSE(same_under_all_schedules(hand(&hand_on<false>)));
  const auto add = [](auto* kernel) {
    return [kernel] {
      std::vector<int> total(1, 0);
      simt::launch("add up", {20, 32}, nullptr, kernel, total.data());
      return total;
    };
  };
  CHECK(same_under_all_schedules(add(&add_up<true>)));
  CHECK_FALSE(same_under_all_schedules(add(&add_up<false>)));
}

TEST_CASE("a misaligned vector access is reported with the kernel and the thread") {
  std::vector<float> in(8), out(32);
  CHECK_THAT(fault_of({1, 32}, &misaligned, in.data(), out.data()),
             contains("defect, block (0, 0, 0): thread (0, 0, 0): misaligned access of 16 bytes"));
}

TEST_CASE("launches that CUDA would refuse are refused") {
  CHECK_THAT(fault_of({0, 32}, &nothing), contains("defect: launch of no blocks"));
  CHECK_THAT(fault_of({1, 1025}, &nothing), contains("1025 threads a block"));
  CHECK_THAT(fault_of({1, 32, 49153}, &nothing), contains("shared memory of 49153 bytes"));
  CHECK_THAT(fault_of({1, 32}, &greedy), contains("shared memory of 49156 bytes"));
  CHECK_THAT(fault_of({1, 32}, &waits_for_grid), contains("not cooperative"));
  CHECK_THAT(fault_of({100, 32, 0, true}, &waits_for_grid), contains("cooperative launch of 100 blocks"));
  CHECK_THAT(fault_of({3, 32, 0, true}, &leaves_before_grid), contains("grid barrier that some blocks left"));
}
