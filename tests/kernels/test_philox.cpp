#include "kernels/philox.h"

#include <vector>

#include "tests/support/catch.h"

using namespace hinge;

TEST_CASE("Philox gives the known answers of its authors' library") {
  const auto check = [](std::uint64_t key, std::uint64_t high, std::uint64_t low,
                        const std::vector<std::uint32_t>& want) {
    const PhiloxWords got = philox(key, high, low);
    CHECK(std::vector<std::uint32_t>(got.word, got.word + 4) == want);
  };
  check(0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  check(~0ull, ~0ull, ~0ull, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  check(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88,
        {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("uniform lies in [0, 1) to the last word, and uniform_below below its bound") {
  CHECK(uniform(0) == 0.0f);
  CHECK(uniform(0xffffffffu) < 1.0f);
  CHECK(uniform(0x80000000u) == 0.5f);
  for (const std::uint32_t bound : {1u, 2u, 10u, 50000u, 0xffffffffu}) {
    CHECK(uniform_below(0, bound) == 0);
    CHECK(uniform_below(0xffffffffu, bound) == bound - 1);
  }
}

TEST_CASE("streams for different uses, rounds and items differ") {
  const auto word = [](RandomUse use, std::uint64_t round, std::uint64_t index) {
    return random_words(1, use, round, index).word[0];
  };
  CHECK(word(RandomUse::kShuffle, 0, 0) != word(RandomUse::kAugment, 0, 0));
  CHECK(word(RandomUse::kShuffle, 0, 0) != word(RandomUse::kShuffle, 1, 0));
  CHECK(word(RandomUse::kShuffle, 0, 0) != word(RandomUse::kShuffle, 0, 1));
}
