// The smallest network of a search's path whose error stays within a budget (--max-error-increase): which sizes to make,
// and which of them to fine-tune and score. Everything is decided on held-out images.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace hinge::cli {

// Shares of the FLOPs for the networks to choose from, from the largest to `smallest`: each about 85 % of the one
// before, or more. Throws Error unless `smallest` is between 0 and 1.
std::vector<double> ladder_to(double smallest);

// Bisection over networks from the largest (0) to the smallest: ceil(log2(count + 1)) of them are tried at most. It assumes
// that a smaller network is no better; where that fails, it still ends at one that is within the budget.
class ErrorBudget {
 public:
  struct Trial {
    int network = 0;
    double error = 0.0;  // per cent of the held-out images
    bool within = false;
  };

  // `before`: the error of the network as it came; `increase`: points that it may grow by.
  ErrorBudget(int count, double before, double increase) : before_(before), increase_(increase), beyond_(count) {}

  std::optional<int> next() const;  // what to try; nothing where it is decided
  void record(int network, double error);
  std::optional<int> chosen() const;  // nothing where even the largest is beyond the budget
  int closest() const;                // of those tried, the one with the smallest error

  double before() const { return before_; }
  double increase() const { return increase_; }
  const std::vector<Trial>& trials() const { return trials_; }

 private:
  double before_, increase_;
  int within_ = -1, beyond_;  // the smallest known to be within; the largest known to be beyond
  std::vector<Trial> trials_;
};

// `names` of the networks, e.g. "flops=0.5". What result.json says under "budget".
nlohmann::json to_json(const ErrorBudget& budget, const std::vector<std::string>& names);

}  // namespace hinge::cli
