// Catch2 of either major version, with the two names that differ between them.
#pragma once

#include <string>

#if __has_include(<catch2/catch_test_macros.hpp>)
#include <catch2/catch_all.hpp>
namespace hinge::testing {
inline auto contains(const std::string& part) { return Catch::Matchers::ContainsSubstring(part); }
using Catch::Approx;
}  // namespace hinge::testing
#else
#include <catch2/catch.hpp>
namespace hinge::testing {
inline auto contains(const std::string& part) { return Catch::Matchers::Contains(part); }
using Catch::Detail::Approx;  // Catch::Approx is ambiguous here: Matchers has one for vectors
}  // namespace hinge::testing
#endif
