// Every registered regulariser must be what it says it is: the harness walks the registry, with the default options and
// with each option elsewhere in its range. A new file under regularizers/ is tested without a line here.
#include <cmath>

#include "compress/regularizer.h"
#include "engine/core/error.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"

using namespace hinge;
using namespace hinge::compress;
using hinge::testing::contains;

namespace {

constexpr double kEps = 2.3e-16;
const std::vector<double> kSteps = {0.0, 1e-30, 1e-8, 0.01, 0.1, 0.5, 1.0, 3.0, 4.0, 100.0, 1e12};

// The default and, for each option, values a tenth and ten times the default as far as they are in range.
std::vector<RegularizerOptions> option_sets(const RegularizerInfo& info) {
  std::vector<RegularizerOptions> sets = {{}};
  for (const OptionInfo& option : info.options) {
    for (double value : {option.above + 0.1 * (option.value - option.above), std::min(10.0 * option.value, option.at_most)}) {
      sets.push_back({{option.name, value}});
    }
  }
  return sets;
}

// Calls act(regulariser) for every regulariser and set of options.
template <class Act>
void for_each_regularizer(Act act) {
  REQUIRE(!regularizers().empty());
  for (const auto& [name, entry] : regularizers()) {
    for (const RegularizerOptions& options : option_sets(entry.info)) {
      std::string text = name;
      for (const auto& [option, value] : options) text += fmt::format(" {}={}", option, value);
      INFO(text);
      act(*make_regularizer(name, options));
    }
  }
}

// Zero, tiny, huge, round, and both sides of every norm from which on a group survives.
std::vector<double> norms_for(const Regularizer& r, double step) {
  std::vector<double> norms = {0.0, 1e-30, 1e-12, 1e-6, 0.01, 0.1, 0.3, 0.5, 0.999, 1.0, 1.001, 2.0, 3.7, 7.5, 1e3, 1e12, 1e30};
  double dead = 0.0, alive = 1e30;
  if (r.shrink(alive, step) > 0.0) {
    for (int turn = 0; turn < 400 && alive - dead > kEps * alive; ++turn) {
      const double middle = dead > 0.0 ? std::sqrt(dead) * std::sqrt(alive) : 1e-12 * alive;
      if (!(middle > dead && middle < alive)) break;
      (r.shrink(middle, step) > 0.0 ? alive : dead) = middle;
      if (alive < 1e-40) break;
    }
    for (double shift : {1e-2, 1e-4, 1e-8, 1e-12}) norms.push_back(alive * (1.0 + shift)), norms.push_back(alive * (1.0 - shift));
    norms.push_back(alive);
  }
  for (int i = 0; i < 40; ++i) norms.push_back(0.173 * (i + 1));
  std::sort(norms.begin(), norms.end());
  return norms;
}

double objective(const Regularizer& r, double n, double step, double x) {
  // The second term is counted from 0, as only differences matter and rho(0) may be far from 0.
  return 0.5 * (x - n) * (x - n) + step * (r.value(x) - r.value(0.0));
}

// The least objective over a dense grid, each of its valleys followed down by ternary search.
double least_objective(const Regularizer& r, double n, double step) {
  std::vector<double> grid = {0.0};
  for (int k = 120; k > 0; --k) grid.push_back(n * std::pow(10.0, -0.1 * k));
  for (int k = 1; k <= 2000; ++k) grid.push_back(n * k / 2000.0);
  std::sort(grid.begin(), grid.end());
  std::vector<double> values;
  for (double x : grid) values.push_back(objective(r, n, step, x));
  double best = *std::min_element(values.begin(), values.end());
  for (std::size_t k = 1; k + 1 < grid.size(); ++k) {
    if (values[k] > values[k - 1] || values[k] > values[k + 1]) continue;
    double low = grid[k - 1], high = grid[k + 1];
    for (int turn = 0; turn < 100; ++turn) {
      const double a = low + (high - low) / 3.0, b = high - (high - low) / 3.0;
      const double at_a = objective(r, n, step, a), at_b = objective(r, n, step, b);
      best = std::min({best, at_a, at_b});
      (at_a <= at_b ? high : low) = at_a <= at_b ? b : a;
    }
  }
  return best;
}

double objective(const Regularizer& r, const std::vector<double>& n, double step, const std::vector<double>& x) {
  double distance = 0.0;
  for (std::size_t g = 0; g < n.size(); ++g) distance += 0.5 * (x[g] - n[g]) * (x[g] - n[g]);
  return distance + step * r.penalty(std::span<const double>(x));
}

std::vector<double> scaled(const std::vector<double>& n, const std::vector<double>& scales) {
  std::vector<double> x(n.size());
  for (std::size_t g = 0; g < n.size(); ++g) x[g] = n[g] * scales[g];
  return x;
}

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

Tensor difference(const Tensor& a, const Tensor& b) {
  Tensor result = Tensor::empty(a.shape());
  for (std::int64_t i = 0; i < a.size(); ++i) result.mutable_data()[i] = a.data()[i] - b.data()[i];
  return result;
}

kernels::GroupView rows_of(Tensor& w) { return {w.mutable_data(), w.dim(0), w.dim(1), w.dim(1), 1}; }
kernels::GroupView columns_of(Tensor& w) { return {w.mutable_data(), w.dim(1), w.dim(0), 1, w.dim(1)}; }

}  // namespace

TEST_CASE("the regularisers of the method are there") {
  for (const char* name : {"l0", "l1", "l1/2", "l1-2", "logsum", "mcp", "scad"}) CHECK(regularizers().count(name) == 1);
  for (const auto& [name, entry] : regularizers()) {
    INFO(name);
    CHECK(entry.info.name == name);
    CHECK_FALSE(entry.info.equation.empty());
    CHECK_FALSE(entry.info.source.empty());
    for (const OptionInfo& option : entry.info.options) CHECK_FALSE(option.meaning.empty());
  }
}

TEST_CASE("the proximal step of a group is the global minimiser of its own objective") {
  for_each_regularizer([](const Regularizer& r) {
    for (double step : kSteps) {
      for (double n : norms_for(r, step)) {
        const double x = r.shrink(n, step) * n;
        const double reached = objective(r, n, step, x), best = least_objective(r, n, step);
        // Rounding of the squares and of both values of rho.
        const double rounding = 8.0 * kEps * (n * n + step * (std::abs(r.value(n)) + std::abs(r.value(0.0))));
        INFO("norm " << n << " step " << step << ": reached " << reached << ", brute force " << best);
        CHECK((reached <= best + rounding));
      }
    }
  });
}

TEST_CASE("the proximal step of a set of groups is the global minimiser, with ties and with nothing above the step") {
  const std::vector<std::vector<double>> sets = {{}, {0.0}, {1.0}, {0.0, 0.0}, {1.0, 1.0}, {1.0, 0.0}, {0.3, 2.0}, {1.0, 1.0, 1.0}, {0.2, 0.2, 0.1}, {0.5, 1.0, 1.5}, {3.0, 3.0, 0.01}, {1e-30, 1.0, 1.0}, {0.0, 0.0, 0.0}};
  for_each_regularizer([&](const Regularizer& r) {
    for (const std::vector<double>& n : sets) {
      for (double step : {0.0, 0.05, 0.2, 0.5, 1.0, 2.0, 100.0}) {
        const std::vector<double> x = scaled(n, r.scales(n, step));
        double largest = 0.0;
        for (double norm : n) largest = std::max(largest, norm);
        const double reached = objective(r, n, step, x);
        double best = reached;
        constexpr int kPoints = 40;
        std::vector<int> at(n.size(), 0);
        std::vector<double> candidate(n.size());
        for (bool more = true; more;) {
          for (std::size_t g = 0; g < n.size(); ++g) candidate[g] = n[g] * at[g] / kPoints;
          best = std::min(best, objective(r, n, step, candidate));
          more = false;
          for (std::size_t g = 0; g < n.size() && !more; ++g) {
            more = ++at[g] <= kPoints;
            if (!more) at[g] = 0;
          }
        }
        // Around the result, at all scales: the grid is coarse.
        for (std::uint64_t draw = 0; draw < 200; ++draw) {
          const auto words = random_words(5, RandomUse::kTest, draw, 0);
          const double reach = std::pow(10.0, -static_cast<double>(draw % 8));
          for (std::size_t g = 0; g < n.size(); ++g) {
            candidate[g] = std::max(0.0, x[g] + reach * (2.0 * static_cast<double>(uniform(words.word[g])) - 1.0));
          }
          best = std::min(best, objective(r, n, step, candidate));
        }
        const double rounding = 32.0 * kEps * (largest * largest + step * (1.0 + largest + std::abs(r.value(0.0))));
        INFO("norms " << fmt::format("{}", fmt::join(n, ", ")) << " step " << step << ": reached " << reached << ", found " << best);
        CHECK((reached <= best + rounding));
      }
    }
  });
}

TEST_CASE("shrinking never grows a norm, keeps the order of norms and leaves zero alone") {
  for_each_regularizer([](const Regularizer& r) {
    for (double step : kSteps) {
      double previous = 0.0;
      for (double n : norms_for(r, step)) {
        INFO("norm " << n << " step " << step);
        const double scale = r.shrink(n, step);
        CHECK((scale >= 0.0 && scale <= 1.0));
        CHECK((scale * n >= previous - 8.0 * kEps * n));
        previous = scale * n;
      }
      CHECK(r.shrink(0.0, step) == 0.0);
      // The same of a whole set, which may be coupled: a larger group stays the larger one.
      std::vector<double> n = norms_for(r, step);
      const std::vector<double> scales = r.scales(n, step);
      REQUIRE(scales.size() == n.size());
      previous = 0.0;
      for (std::size_t g = 0; g < n.size(); ++g) {
        INFO("group " << g << " norm " << n[g] << " step " << step);
        CHECK((scales[g] >= 0.0 && scales[g] <= 1.0));
        CHECK((scales[g] * n[g] >= previous - 8.0 * kEps * n[g]));
        previous = scales[g] * n[g];
      }
    }
  });
}

TEST_CASE("a separable penalty treats each group as if it were alone") {
  for_each_regularizer([](const Regularizer& r) {
    const std::vector<double> n = {0.0, 1e-30, 0.2, 0.2, 1.0, 1.0, 5.0, 1e30};
    double sum = 0.0;
    for (double norm : n) sum += r.value(norm);
    if (!r.info().separable) return;
    CHECK((std::abs(r.penalty(std::span<const double>(n)) - sum) <= 8.0 * kEps * std::abs(sum)));
    const std::vector<double> scales = r.scales(n, 0.3);
    for (std::size_t g = 0; g < n.size(); ++g) CHECK(scales[g] == r.shrink(n[g], 0.3));
  });
}

TEST_CASE("a penalty is called convex exactly if it is, and its step is then firmly non-expansive") {
  for_each_regularizer([](const Regularizer& r) {
    // R of norm vectors: on the line between two of them, a convex function lies below its chord.
    bool below = true, finite = true;
    for (std::uint64_t draw = 0; draw < 2000; ++draw) {
      const auto words = random_words(6, RandomUse::kTest, draw, 0);
      const double reach = std::pow(10.0, static_cast<double>(draw % 5) - 2.0);
      const auto norm = [&](int i) { return draw % 3 == 0 && i % 3 == 0 ? 0.0 : reach * static_cast<double>(uniform(words.word[static_cast<std::size_t>(i)])); };
      const std::vector<double> a = {norm(0), norm(1)}, b = {norm(2), norm(3)}, middle = {0.5 * (a[0] + b[0]), 0.5 * (a[1] + b[1])};
      const auto penalty = [&](const std::vector<double>& n) { return r.penalty(std::span<const double>(n)); };
      const double bulge = penalty(middle) - 0.5 * (penalty(a) + penalty(b));
      finite = finite && std::isfinite(bulge);
      below = below && bulge <= 1e-12;
    }
    CHECK(finite);
    CHECK(below == r.info().convex);
    if (!r.info().convex) return;

    for (double step : kSteps) {
      const std::vector<double> norms = norms_for(r, step);
      for (std::size_t i = 1; i < norms.size(); ++i) {
        const double moved = r.shrink(norms[i], step) * norms[i] - r.shrink(norms[i - 1], step) * norms[i - 1];
        INFO("norms " << norms[i - 1] << ", " << norms[i] << " step " << step);
        CHECK((moved <= norms[i] - norms[i - 1] + 8.0 * kEps * norms[i]));
      }
    }
    // And as an operator on matrices: ||Px - Py||^2 <= <Px - Py, x - y>.
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      Tensor x = testing::random_tensor({33, 7}, 2 * seed), y = testing::random_tensor({33, 7}, 2 * seed + 1);
      const Tensor before = difference(x, y);
      const double step = 0.2 * static_cast<double>(seed);
      r.prox(rows_of(x), step, Stream()), r.prox(rows_of(y), step, Stream());
      const Tensor after = difference(x, y);
      CHECK((dot(after.values(), after.values()) <= dot(after.values(), before.values()) + 1e-5));
    }
  });
}

TEST_CASE("the derivative of a penalty is the slope of its value") {
  for_each_regularizer([](const Regularizer& r) {
    for (double n : {1e-30, 1e-6, 0.01, 0.3, 0.999, 1.0, 1.001, 2.0, 3.0, 3.7, 7.5, 1e3, 1e12}) {
      const double h = 1e-5 * n, slope = (r.value(n + h) - r.value(n - h)) / (2.0 * h), claimed = r.derivative(n);
      // The slope of a chord is met by the derivative between its ends; rho is rounded at each.
      const double bound = std::abs(r.derivative(n + h) - r.derivative(n - h)) + 4.0 * kEps * std::abs(r.value(n)) / h + 1e-10 * std::abs(claimed);
      INFO("norm " << n << ": slope " << slope << ", derivative " << claimed);
      CHECK((std::abs(slope - claimed) <= bound));
    }
    const std::vector<double> n = {0.0, 0.3, 1.0, 1.0, 4.0};
    const std::vector<double> gradient = r.gradient(n);
    REQUIRE(gradient.size() == n.size());
    CHECK(gradient[0] == 0.0);
    for (std::size_t g = 1; g < n.size(); ++g) {
      std::vector<double> low = n, high = n;
      const double h = 1e-5;
      low[g] -= h, high[g] += h;
      const double at_low = r.penalty(std::span<const double>(low)), at_high = r.penalty(std::span<const double>(high));
      const double bound = std::abs(r.gradient(high)[g] - r.gradient(low)[g]) + 16.0 * kEps * (std::abs(at_low) + std::abs(at_high)) / h;
      INFO("group " << g << " gradient " << gradient[g]);
      CHECK((std::abs((at_high - at_low) / (2.0 * h) - gradient[g]) <= bound));
    }
  });
}

TEST_CASE("the proximal step on a matrix scales each group by its own factor and returns the norms before it") {
  const Stream stream;
  for_each_regularizer([&](const Regularizer& r) {
    for (std::int64_t groups : {1, 31, 33, 128, 601}) {
      for (std::int64_t size : {1, 32, 129, 1000}) {
        if (size == 1000 && groups != 601) continue;
        for (bool columns : {false, true}) {
          INFO("groups " << groups << " size " << size << " columns " << columns);
          const Tensor before = testing::random_tensor({groups, size}, 3);
          Tensor after = before.clone();
          const kernels::GroupView view{after.mutable_data(), groups, size, columns ? 1 : size, columns ? groups : 1};
          const double step = 0.2 * std::sqrt(static_cast<double>(size));
          const std::vector<float> norms = r.prox(view, step, stream);
          const std::vector<double> scales = r.scales(std::vector<double>(norms.begin(), norms.end()), step);
          bool norms_hold = true, elements_hold = true;
          for (std::int64_t g = 0; g < groups; ++g) {
            double squares = 0.0;
            const auto at = [&](std::int64_t j) { return static_cast<std::size_t>(g * view.group_stride + j * view.element_stride); };
            for (std::int64_t j = 0; j < size; ++j) squares += std::pow(static_cast<double>(before.values()[at(j)]), 2);
            const auto group = static_cast<std::size_t>(g);
            norms_hold = norms_hold && std::abs(static_cast<double>(norms[group]) - std::sqrt(squares)) <= 1e-6 * std::sqrt(squares);
            for (std::int64_t j = 0; j < size; ++j) {
              const double error = std::abs(static_cast<double>(after.values()[at(j)]) - scales[group] * static_cast<double>(before.values()[at(j)]));
              elements_hold = elements_hold && error <= 1.3e-7;  // scale and product are rounded to float; elements are at most 1
            }
          }
          CHECK(norms_hold);
          CHECK(elements_hold);
        }
      }
    }
  });
}

TEST_CASE("groups made of several parts shrink like the concatenated groups") {
  for_each_regularizer([](const Regularizer& r) {
    for (std::int64_t groups : {0, 1, 31, 33}) {
      INFO("groups " << groups);
      // Rows of one tensor go with columns of another and with rows of a third that has a single column.
      Tensor first = testing::random_tensor({groups, 5}, 1), second = testing::random_tensor({9, groups}, 2), third = testing::random_tensor({groups, 1}, 3);
      Tensor joined = Tensor::empty({groups, 15});
      const auto join = [&] {
        Tensor result = Tensor::empty({groups, 15});
        for (std::int64_t g = 0; g < groups; ++g) {
          for (std::int64_t j = 0; j < 15; ++j) {
            result.mutable_data()[g * 15 + j] = j < 5 ? first.data()[g * 5 + j] : j < 14 ? second.data()[(j - 5) * groups + g]
                                                                                         : third.data()[g];
          }
        }
        return result;
      };
      joined = join();
      const std::vector<kernels::GroupView> parts = {rows_of(first), columns_of(second), rows_of(third)};
      const std::vector<float> norms = r.prox(parts, 0.8, Stream()), whole = r.prox(rows_of(joined), 0.8, Stream());
      REQUIRE(norms.size() == whole.size());
      for (std::size_t g = 0; g < norms.size(); ++g) CHECK((std::abs(norms[g] - whole[g]) <= 4e-7f * whole[g]));
      const Tensor after = join();
      // Norms differ by roundings, scales by at most their slope times that: below 10 for norms near 2.
      for (std::int64_t i = 0; i < after.size(); ++i) CHECK((std::abs(after.data()[i] - joined.data()[i]) <= 1e-5f));
    }
  });
  Tensor a = testing::random_tensor({3, 5}, 1), b = testing::random_tensor({4, 5}, 2);
  const std::vector<kernels::GroupView> unequal = {rows_of(a), rows_of(b)};
  CHECK_THROWS_WITH(make_regularizer("l1")->prox(unequal, 0.1, Stream()), contains("3 groups") && contains("another 4"));
  CHECK_THROWS_AS(make_regularizer("l1")->prox(std::span<const kernels::GroupView>(), 0.1, Stream()), Error);
}

TEST_CASE("no step changes no bit; a huge one leaves a finite matrix of no higher penalty, and zeros of a separable one") {
  for_each_regularizer([](const Regularizer& r) {
    for (float size : {1e-30f, 1.0f, 1e18f}) {
      INFO("elements up to " << size);
      const Tensor before = testing::random_tensor({33, 5}, 4, -size, size);
      Tensor w = before.clone();
      r.prox(rows_of(w), 0.0, Stream());
      CHECK(std::equal(w.values().begin(), w.values().end(), before.values().begin()));
      const std::vector<float> norms = r.prox(rows_of(w), 1e60, Stream());
      const std::vector<float> after = group_norms(rows_of(w), Stream());
      for (float value : w.values()) CHECK(std::isfinite(value));
      CHECK((r.penalty(after) <= r.penalty(norms)));
      if (r.info().separable) CHECK(std::count(after.begin(), after.end(), 0.0f) == 33);
    }
    Tensor zeros = Tensor::zeros({4, 3});
    r.prox(rows_of(zeros), 0.1, Stream());
    for (float value : zeros.values()) CHECK(value == 0.0f);
    Tensor none = Tensor::empty({0, 3});
    CHECK(r.prox(rows_of(none), 0.1, Stream()).empty());
  });
}

TEST_CASE("an unknown regulariser or option is refused with the known ones, a value out of range with the range") {
  CHECK_THROWS_WITH(make_regularizer("l2"), contains("known: ") && contains("l1"));
  CHECK_THROWS_WITH(make_regularizer("l1", {{"eps", 1.0}}), contains("eps") && contains("known: none"));
  CHECK_THROWS_WITH(make_regularizer("logsum", {{"epz", 1.0}}), contains("did you mean 'eps'"));
  CHECK_THROWS_AS(make_regularizer("l2"), UsageError);
  for (const auto& [name, entry] : regularizers()) {
    for (const OptionInfo& option : entry.info.options) {
      for (double bad : {option.above, option.above - 1.0, 2.0 * option.at_most, std::nan(""), HUGE_VAL}) {
        INFO(name << " " << option.name << " = " << bad);
        CHECK_THROWS_AS(make_regularizer(name, {{option.name, bad}}), UsageError);
        CHECK_THROWS_WITH(make_regularizer(name, {{option.name, bad}}),
                          contains(name) && contains(option.name) && contains(fmt::format("{}", bad)) && contains(range_text(option)));
      }
      CHECK(make_regularizer(name)->options().at(option.name) == option.value);
      CHECK(make_regularizer(name, {{option.name, option.at_most}})->options().at(option.name) == option.at_most);
    }
  }
}

TEST_CASE("options are read from texts, and a mistake is named") {
  const std::vector<std::string> good = {"eps=1e-2", "gamma=3"};
  CHECK(parse_options(good) == RegularizerOptions{{"eps", 0.01}, {"gamma", 3.0}});
  for (const char* bad : {"eps", "=1", "eps=", "eps=x", "eps=1x", "eps=1,5"}) {
    const std::vector<std::string> texts = {bad};
    CHECK_THROWS_WITH(parse_options(texts), contains(bad));
    CHECK_THROWS_AS(parse_options(texts), UsageError);
  }
  const std::vector<std::string> twice = {"eps=1", "eps=2"};
  CHECK_THROWS_WITH(parse_options(twice), contains("eps is given twice"));
}

TEST_CASE("known operators have their known values") {
  // Where the literature gives numbers by hand: thresholds of l1/2 (1.5 t^(2/3)) and of l0 (sqrt(2 t)).
  CHECK(make_regularizer("l1/2")->shrink(1.5 * 1.0000001, 1.0) * 1.5 == testing::Approx(1.0).epsilon(1e-3));  // jumps to 2/3 of n
  CHECK(make_regularizer("l1/2")->shrink(1.4999999, 1.0) == 0.0);
  CHECK(make_regularizer("l0")->shrink(1.4142, 1.0) == 0.0);
  CHECK(make_regularizer("l0")->shrink(1.4143, 1.0) == 1.0);
  CHECK(make_regularizer("l1-2")->scales(std::vector<double>{0.5, 0.5, 0.4}, 1.0) == std::vector<double>{1.0, 0.0, 0.0});
  CHECK(make_regularizer("mcp", {{"gamma", 2.0}})->shrink(1.5, 1.0) * 1.5 == testing::Approx(1.0));  // (1.5 - 1)/(1 - 1/2)
  CHECK(make_regularizer("mcp", {{"gamma", 2.0}})->shrink(2.5, 1.0) == 1.0);
  CHECK(make_regularizer("scad", {{"a", 3.0}})->shrink(2.5, 1.0) * 2.5 == testing::Approx(2.0));  // (2*2.5 - 3)/(2 - 1)
}
