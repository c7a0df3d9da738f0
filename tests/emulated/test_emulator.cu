// What the emulator gives to kernels: CUDA's results for each word of its language.
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/simt/simt.h"
#include "tests/emulated/schedules.h"

using namespace hinge::testing;

namespace {

__global__ void write_indices(unsigned* out) {
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  out[block * threads + thread] = 1000 * block + thread;
}

__global__ void reverse_block(const int* in, int* out) {
  int* shared = simt::shared_memory<int>();
  const unsigned base = blockIdx.x * blockDim.x;
  shared[threadIdx.x] = in[base + threadIdx.x];
  __syncthreads();
  out[base + threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

template <int kExtra>
__global__ void transpose_tile(const float* in, float* out) {
  SIMT_SHARED(float, tile, [8][8 + kExtra]);
  SIMT_SHARED(float, sum, [1]);
  tile[threadIdx.y][threadIdx.x] = in[threadIdx.y * 8 + threadIdx.x];
  if (threadIdx.x == 0 && threadIdx.y == 0) sum[0] = kExtra;
  __syncthreads();
  out[threadIdx.y * 8 + threadIdx.x] = tile[threadIdx.x][threadIdx.y] + sum[0];
}

// Each column of `out` [operations, 64 threads] is one operation's result.
__global__ void warp_words(int* out) {
  const int t = static_cast<int>(threadIdx.x), lane = t % 32;
  int row = 0;
  const auto put = [&](int value) { out[64 * row++ + t] = value; };
  put(__shfl_xor_sync(simt::kFullWarp, t, 5));
  put(__shfl_up_sync(simt::kFullWarp, t, 3));
  put(__shfl_down_sync(simt::kFullWarp, t, 3, 16));
  put(__shfl_sync(simt::kFullWarp, t, 7, 8));
  put(static_cast<int>(__ballot_sync(simt::kFullWarp, lane % 3 == 0)));
  put(__any_sync(simt::kFullWarp, t == 40));
  put(__all_sync(simt::kFullWarp, t < 32));
  put(__reduce_add_sync(simt::kFullWarp, -t));
  put(__reduce_min_sync(simt::kFullWarp, 10 - t));
  put(static_cast<int>(__reduce_max_sync(simt::kFullWarp, static_cast<unsigned>(t))));
  const unsigned half = lane < 16 ? 0xffffu : 0xffff0000u;
  if (lane < 16) {
    put(__reduce_add_sync(half, lane));
  } else {
    put(-__reduce_add_sync(half, lane));
  }
  put(static_cast<int>(__popc(__activemask())));
  __syncwarp();  // so that no lane has left when another counts
}

__global__ void votes(int* out) {
  const int count = __syncthreads_count(threadIdx.x % 3 == 0);
  const int all = __syncthreads_and(threadIdx.x < 50), any = __syncthreads_or(threadIdx.x == 49);
  out[threadIdx.x] = 100 * count + 10 * all + any;
}

__global__ void atomics(int* i, unsigned* u, unsigned long long* big, float* f, double* d, unsigned* log) {
  const int t = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(&i[0], t);
  atomicMax(&i[1], t);
  atomicMin(&i[2], -t);
  atomicAdd(&u[0], 1u);
  atomicAdd(big, 1ull << 40);
  atomicAdd(f, 0.5f);
  atomicAdd(d, 0.25);
  unsigned seen = u[1], before;
  do {  // 7 t + the former value, by compare and swap
    before = seen;
    seen = atomicCAS(&u[1], before, before + 7u);
  } while (seen != before);
  log[atomicExch(&u[2], static_cast<unsigned>(t))] = static_cast<unsigned>(t);  // who came before whom
}

// The sum of x in one launch: blocks leave partial sums, the last one to finish adds them up.
__global__ void sum_in_one_launch(const int* x, int size, int* partial, unsigned* ticket, int* total) {
  SIMT_SHARED(unsigned, place, [1]);
  const int t = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int sum = __reduce_add_sync(simt::kFullWarp, t < size ? x[t] : 0);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = sum;
    __threadfence();
    place[0] = atomicInc(ticket, gridDim.x - 1);
  }
  __syncthreads();
  if (place[0] != gridDim.x - 1 || threadIdx.x != 0) return;
  int all = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) all += partial[b];
  *total = all;
}

// Every block reads what its neighbour wrote before the barrier.
__global__ void pass_around(int* values, int* out, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    if (threadIdx.x == 0) values[blockIdx.x] = static_cast<int>(blockIdx.x) * 10 + round;
    simt::grid_barrier();
    out[blockIdx.x * blockDim.x + threadIdx.x] = values[(blockIdx.x + 1) % gridDim.x];
    simt::grid_barrier();
  }
}

__global__ void vectors(const float4* in, float4* out) {
  const float4 v = __ldg(in + threadIdx.x);
  out[threadIdx.x] = make_float4(v.w, v.z, v.y, v.x);
}

}  // namespace

TEST_CASE("threads and blocks of one to three dimensions are each run once") {
  for (const simt::Extent blocks : {simt::Extent{3}, {2, 3}, {2, 3, 4}}) {
    for (const simt::Extent threads : {simt::Extent{33}, {5, 7}, {3, 4, 5}}) {
      under_all_schedules([&] {
        std::vector<unsigned> out(blocks.count() * threads.count(), 0);
        simt::launch("indices", {blocks, threads}, nullptr, &write_indices, out.data());
        bool right = true;
        for (unsigned i = 0; i < out.size(); ++i) {
          right = right && out[i] == 1000 * (i / threads.count()) + i % threads.count();
        }
        CHECK(right);
      });
    }
  }
}

TEST_CASE("dynamic and static shared memory belong to the block") {
  std::vector<int> in(4 * 96), out(in.size());
  std::iota(in.begin(), in.end(), 0);
  under_all_schedules([&] {
    simt::launch("reverse", {4, 96, 96 * sizeof(int)}, nullptr, &reverse_block, in.data(), out.data());
    CHECK((out[0] == 95 && out[95] == 0 && out[96] == 191 && out[383] == 288));
    std::vector<float> tile(64), transposed(64);
    std::iota(tile.begin(), tile.end(), 0.0f);
    simt::launch("transpose", {1, {8, 8}}, nullptr, &transpose_tile<1>, tile.data(), transposed.data());
    CHECK((transposed[1] == 9.0f && transposed[8] == 2.0f && transposed[63] == 64.0f));
    simt::launch("transpose", {1, {8, 8}}, nullptr, &transpose_tile<2>, tile.data(), transposed.data());
    CHECK(transposed[1] == 10.0f);
  });
}

TEST_CASE("warp operations give what CUDA defines, per warp, section and mask") {
  under_all_schedules([&] {
    std::vector<int> out(12 * 64, -1);
    simt::launch("warp words", {1, 64}, nullptr, &warp_words, out.data());
    bool right = true;
    for (int t = 0; t < 64; ++t) {
      const int lane = t % 32, warp = t / 32;
      const int first = 32 * warp;
      const int want[12] = {t ^ 5,
                            lane >= 3 ? t - 3 : t,
                            lane % 16 + 3 < 16 ? t + 3 : t,
                            t / 8 * 8 + 7,
                            0x49249249,
                            warp == 1,
                            warp == 0,
                            -(32 * first + 496),
                            10 - first - 31,
                            first + 31,
                            lane < 16 ? 120 : -376,
                            32};
      for (int row = 0; row < 12; ++row) {
        INFO("operation " << row << ", thread " << t << ": " << out[64 * row + t] << ", expected " << want[row]);
        const bool same = out[64 * row + t] == want[row];
        if (!same) CHECK(same);
        right = right && same;
      }
    }
    CHECK(right);
  });
}

TEST_CASE("a barrier's votes are those of all threads") {
  under_all_schedules([&] {
    std::vector<int> out(50, -1);
    simt::launch("votes", {1, 50}, nullptr, &votes, out.data());
    CHECK(out == std::vector<int>(50, 1711));
  });
}

TEST_CASE("atomics lose nothing in any order") {
  under_all_schedules([&] {
    std::vector<int> i(3, 0);
    std::vector<unsigned> u = {0, 3, 320}, log(321, 999);
    unsigned long long big = 0;
    float f = 0;
    double d = 0;
    simt::launch("atomics", {5, 64}, nullptr, &atomics, i.data(), u.data(), &big, &f, &d, log.data());
    CHECK((i[0] == 320 * 319 / 2 && i[1] == 319 && i[2] == -319));
    CHECK((u[0] == 320 && u[1] == 3 + 7 * 320));
    CHECK((big == 320ull << 40 && f == 160.0f && d == 80.0));
    unsigned at = 320, steps = 0;  // the chain of exchanges visits every thread once
    while (steps < 320) at = log[at], ++steps;
    CHECK(at == u[2]);
  });
}

TEST_CASE("the last block to finish finds what all blocks left") {
  std::vector<int> x(1000);
  std::iota(x.begin(), x.end(), 1);
  unsigned ticket = 0;  // atomicInc leaves it at 0 for the next launch
  under_all_schedules([&] {
    std::vector<int> partial(32, -1);
    int total = 0;
    simt::launch("sum", {32, 32}, nullptr, &sum_in_one_launch, x.data(), 1000, partial.data(), &ticket, &total);
    CHECK(total == 500500);
    CHECK(ticket == 0);
  });
}

TEST_CASE("a grid barrier holds every block of a cooperative launch") {
  const auto blocks = static_cast<unsigned>(simt::resident_blocks(&pass_around, 40));
  under_all_schedules([&] {
    std::vector<int> values(blocks, -1), out(blocks * 40, -1);
    simt::launch("pass", {blocks, 40, 0, true}, nullptr, &pass_around, values.data(), out.data(), 3);
    bool right = true;
    for (unsigned i = 0; i < out.size(); ++i) {
      right = right && out[i] == static_cast<int>((i / 40 + 1) % blocks) * 10 + 2;
    }
    CHECK(right);
  });
}

TEST_CASE("vectors are read and written whole") {
  std::vector<float4> in(33), out(33);
  for (float i = 0; float4 & v : in) v = make_float4(i, i + 1, i + 2, i + 3), i += 4;
  simt::launch("vectors", {1, 33}, nullptr, &vectors, in.data(), out.data());
  CHECK((out[32].x == 131.0f && out[32].w == 128.0f && out[0].y == 2.0f));
}
