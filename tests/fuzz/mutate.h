// Random changes to an input, for builds without libFuzzer: blind, but the same everywhere.
#pragma once

#include <random>
#include <string>
#include <vector>

namespace hinge::fuzz {

// `seed` with 1 to 4 changes: a bit, a byte, a number of 1 to 8 bytes at the edge of its range, a piece taken out, doubled,
// moved, or taken from `other`. A pure function of `random`'s state, which uses no distribution of the standard library.
std::string mutated(const std::string& seed, const std::string& other, std::mt19937_64& random);

}  // namespace hinge::fuzz
