#include "tools/hinge/error_budget.h"

#include <cmath>
#include <limits>

#include "engine/core/error.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::cli;

namespace {

// Errors of networks from the largest to the smallest; what the search for 1 point above 10 % ends with.
ErrorBudget settled(const std::vector<double>& errors) {
  ErrorBudget budget(static_cast<int>(errors.size()), 10.0, 1.0);
  while (const std::optional<int> network = budget.next()) budget.record(*network, errors[static_cast<std::size_t>(*network)]);
  return budget;
}

}  // namespace

TEST_CASE("the smallest network within the budget is found by bisection, wherever it is") {
  for (int count = 1; count <= 20; ++count) {
    for (int fitting = 0; fitting <= count; ++fitting) {
      INFO(fitting << " of " << count);
      std::vector<double> errors;
      for (int i = 0; i < count; ++i) errors.push_back(i < fitting ? 10.0 + i * 0.05 : 11.5 + i);
      const ErrorBudget budget = settled(errors);
      CHECK(budget.chosen() == (fitting == 0 ? std::nullopt : std::optional(fitting - 1)));
      CHECK(static_cast<double>(budget.trials().size()) <= std::ceil(std::log2(count + 1.0)));
      if (fitting == 0) CHECK(budget.closest() == 0);
    }
  }
}

TEST_CASE("whatever the errors are, what is chosen was tried and is within, and the next smaller was tried and is not") {
  for (unsigned pattern = 0; pattern < (1u << 8); ++pattern) {
    std::vector<double> errors;
    for (unsigned i = 0; i < 8; ++i) errors.push_back((pattern >> i & 1u) != 0 ? 10.5 : 12.0);
    const ErrorBudget budget = settled(errors);
    std::vector<int> within, beyond;
    for (const ErrorBudget::Trial& trial : budget.trials()) (trial.within ? within : beyond).push_back(trial.network);
    const int chosen = budget.chosen().value_or(-1);
    CHECK((chosen == -1 || std::ranges::find(within, chosen) != within.end()));
    CHECK((chosen == 7 || std::ranges::find(beyond, chosen + 1) != beyond.end()));
  }
}

TEST_CASE("an increase that is the budget to the last digit is within it, and an error that is no number isn't") {
  for (int images : {30, 1000, 5000, 7919}) {
    for (int wrong = 0; wrong < images; wrong += 7) {
      const auto error = [&](int w) { return 100.0 * (1.0 - static_cast<double>(images - w) / images); };
      const int more = std::max(1, images / 200);
      ErrorBudget budget(1, error(wrong), 100.0 * more / images);
      budget.record(0, error(wrong + more));
      CHECK(budget.chosen() == std::optional(0));
      ErrorBudget strict(1, error(wrong), 100.0 * more / images);
      strict.record(0, error(wrong + more + 1));
      CHECK_FALSE(strict.chosen());
    }
  }
  ErrorBudget budget(1, 10.0, 1.0);
  budget.record(0, std::numeric_limits<double>::quiet_NaN());
  CHECK_FALSE(budget.chosen());
}

TEST_CASE("a ladder falls to its smallest share in steps of about 15 per cent at most") {
  for (const double smallest : {0.05, 0.1, 0.26, 0.5, 0.723, 0.85, 0.9, 0.99, 0.9999}) {
    INFO(smallest);
    const std::vector<double> ladder = ladder_to(smallest);
    CHECK(ladder.back() == smallest);
    double before = 1.0;
    for (const double share : ladder) {
      CHECK((share < before && share >= 0.845 * before));
      before = share;
    }
    CHECK(ladder.size() <= 20);
  }
  CHECK(ladder_to(0.5).size() == 5);
  for (const double wrong : {0.0, 1.0, -0.5, std::numeric_limits<double>::quiet_NaN()}) CHECK_THROWS_AS(ladder_to(wrong), Error);
}
