#include "kernels/conv_algorithm.h"

#include <cmath>
#include <stdexcept>
#include <vector>

#include "tests/support/catch.h"

using namespace hinge::kernels;
using hinge::testing::contains;

namespace {

const std::vector<ConvTrial> kTrials = {{.name = "broken", .milliseconds = 0.1, .worked = false},
                                        {.name = "huge", .milliseconds = 0.2, .workspace = std::size_t{1} << 30, .worked = true},
                                        {.name = "atomic", .milliseconds = 0.3, .worked = true, .deterministic = false},
                                        {.name = "plain", .milliseconds = 0.5, .worked = true},
                                        {.name = "same", .milliseconds = 0.5, .worked = true}};
std::string chosen(const MathMode& mode) { return kTrials[choose_algorithm("k", kTrials, mode)].name; }

}  // namespace

TEST_CASE("the fastest algorithm that works and is allowed is taken, the first of equal ones") {
  CHECK(chosen({.workspace_limit = std::size_t{2} << 30}) == "huge");
  CHECK(chosen({.workspace_limit = std::size_t{1} << 30}) == "huge");
  CHECK(chosen({.workspace_limit = (std::size_t{1} << 30) - 1}) == "atomic");
  CHECK(chosen({.deterministic = true}) == "plain");
}

TEST_CASE("where no algorithm is left the message names the shape and every refusal") {
  const std::vector<ConvTrial> bad = {kTrials[0], kTrials[1], kTrials[2], {.name = "timeless", .milliseconds = std::nan(""), .worked = true}};
  try {
    choose_algorithm("forward n1", bad, {.deterministic = true});
    FAIL("an algorithm was chosen");
  } catch (const std::runtime_error& error) {
    CHECK_THAT(error.what(), contains("no algorithm for forward n1"));
    CHECK_THAT(error.what(), contains("broken doesn't do this shape"));
    CHECK_THAT(error.what(), contains("huge needs 1024 MiB, at most 256 MiB are allowed"));
    CHECK_THAT(error.what(), contains("atomic is not deterministic"));
    CHECK_THAT(error.what(), contains("timeless has no time"));
  }
  CHECK_THROWS_WITH(choose_algorithm("k", {}, {}), contains("none was tried"));
}
