// Philox4x32-10: random numbers as a pure function of (seed, counter).
//
//   (x0, x1, x2, x3) = philox(counter : 128 bits, key : 64 bits)
//
// Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The same integers come out
// on every device and in every order of evaluation, so augmentation, dropout and shuffling need no state.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/simt/host_device.h"

namespace hinge {

struct PhiloxWords {
  std::uint32_t word[4];
};

// What a stream of random numbers is for: keeps e.g. the crop of image 7 apart from its dropout mask.
enum class RandomUse : std::uint32_t { kShuffle,
                                       kAugment,
                                       kDropout,
                                       kInitialise,
                                       kDistort,
                                       kTest,
                                       kRandomGroups,
                                       kCrop };

SIMT_HOST_DEVICE inline PhiloxWords philox(std::uint64_t key, std::uint64_t counter_high,
                                           std::uint64_t counter_low) {
  constexpr std::uint32_t kMultiplier0 = 0xD2511F53u, kMultiplier1 = 0xCD9E8D57u;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;
  std::uint32_t key0 = static_cast<std::uint32_t>(key);
  std::uint32_t key1 = static_cast<std::uint32_t>(key >> 32);
  PhiloxWords x{{static_cast<std::uint32_t>(counter_low),
                 static_cast<std::uint32_t>(counter_low >> 32),
                 static_cast<std::uint32_t>(counter_high),
                 static_cast<std::uint32_t>(counter_high >> 32)}};
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = static_cast<std::uint64_t>(kMultiplier0) * x.word[0];
    const std::uint64_t product1 = static_cast<std::uint64_t>(kMultiplier1) * x.word[2];
    x = {{static_cast<std::uint32_t>(product1 >> 32) ^ x.word[1] ^ key0,
          static_cast<std::uint32_t>(product1),
          static_cast<std::uint32_t>(product0 >> 32) ^ x.word[3] ^ key1,
          static_cast<std::uint32_t>(product0)}};
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  return x;
}

// Four words for item `index` of round `round` (an epoch, a step) of one use.
SIMT_HOST_DEVICE inline PhiloxWords random_words(std::uint64_t seed, RandomUse use,
                                                 std::uint64_t round, std::uint64_t index) {
  return philox(seed, (static_cast<std::uint64_t>(use) << 56) | round, index);
}

// Uniform in [0, 1), 24 bits: exact in float.
SIMT_HOST_DEVICE inline float uniform(std::uint32_t word) {
  return static_cast<float>(word >> 8) * (1.0f / 16777216.0f);
}

// Uniform in [0, bound) by multiply and shift; the bias is below bound / 2^32.
SIMT_HOST_DEVICE inline std::uint32_t uniform_below(std::uint32_t word, std::uint32_t bound) {
  return static_cast<std::uint32_t>((static_cast<std::uint64_t>(word) * bound) >> 32);
}

}  // namespace hinge
