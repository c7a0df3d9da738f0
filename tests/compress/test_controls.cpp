// The controls of an honest comparison: each picks what its definition says and meets the same budget as the search.
#include "compress/controls.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "compress/surgery.h"
#include "engine/core/error.h"
#include "tests/compress/dearest_group.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/random_graph.h"
#include "tests/support/tiny.h"

using namespace hinge;
using namespace hinge::compress;

namespace {

struct Case {
  Network dense;
  Structure structure;
  Network attached;
  Budget budget;
  Case(Network network, Mode mode)
      : dense(std::move(network)),
        structure(make_structure(dense.graph(), {.mode = mode, .exclude = {}, .residual = false})),
        attached(attach(dense, structure.choice.attach, Initialisation::kSvd2).network),
        budget(structure) {}
  explicit Case(Mode mode) : Case(testing::tiny_network(6, "C"), mode) {}

  Scores scores(Control control, std::uint64_t seed = 1) { return control_scores(control, structure, dense, attached, seed, Stream()); }
};

using Filter = std::vector<double>;
// The filters of a layer of the dense network, one by one.
std::vector<Filter> filters_of(const Network& dense, const std::string& layer) {
  const Tensor w = dense.value(layer + ".weight");
  std::vector<Filter> filters;
  for (std::int64_t k = 0; k < w.dim(0); ++k) {
    const auto all = w.values().subspan(static_cast<std::size_t>(k * (w.size() / w.dim(0))), static_cast<std::size_t>(w.size() / w.dim(0)));
    filters.emplace_back(all.begin(), all.end());
  }
  return filters;
}

double sum_of_magnitudes(const Filter& f) {
  return std::accumulate(f.begin(), f.end(), 0.0, [](double sum, double w) { return sum + std::abs(w); });
}
double distance(const Filter& a, const Filter& b) {
  double squares = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(squares);
}

// The point with the least sum of distances to the filters: Weiszfeld's iteration.
Filter geometric_median(const std::vector<Filter>& filters) {
  Filter median(filters[0].size(), 0.0);
  for (const Filter& f : filters) {
    for (std::size_t i = 0; i < f.size(); ++i) median[i] += f[i] / static_cast<double>(filters.size());
  }
  for (int turn = 0; turn < 200; ++turn) {
    Filter next(median.size(), 0.0);
    double weights = 0.0;
    for (const Filter& f : filters) {
      const double weight = 1.0 / std::max(distance(f, median), 1e-12);
      for (std::size_t i = 0; i < f.size(); ++i) next[i] += weight * f[i];
      weights += weight;
    }
    for (double& x : next) x /= weights;
    median = next;
  }
  return median;
}

// Singular values of the matrix with these columns, largest first: one-sided Jacobi rotations until all are orthogonal.
std::vector<double> singular_values(std::vector<Filter> columns) {
  const auto dot = [](const Filter& a, const Filter& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); };
  bool turned = true;
  for (int sweep = 0; sweep < 30 && turned; ++sweep) {
    turned = false;
    for (std::size_t p = 0; p < columns.size(); ++p) {
      for (std::size_t q = p + 1; q < columns.size(); ++q) {
        const double a = dot(columns[p], columns[p]), b = dot(columns[q], columns[q]), c = dot(columns[p], columns[q]);
        if (std::abs(c) <= 1e-14 * std::sqrt(a * b)) continue;
        turned = true;
        const double zeta = (b - a) / (2.0 * c), t = (zeta >= 0.0 ? 1.0 : -1.0) / (std::abs(zeta) + std::hypot(1.0, zeta));
        const double cosine = 1.0 / std::hypot(1.0, t), sine = cosine * t;
        for (std::size_t i = 0; i < columns[p].size(); ++i) {
          const double x = columns[p][i], y = columns[q][i];
          columns[p][i] = cosine * x - sine * y, columns[q][i] = sine * x + cosine * y;
        }
      }
    }
  }
  std::vector<double> values;
  for (const Filter& column : columns) values.push_back(std::sqrt(dot(column, column)));
  std::ranges::sort(values, std::greater<>());
  return values;
}

void check_proportional(const std::vector<double>& scores, const std::vector<double>& expected, double tolerance) {
  REQUIRE(scores.size() == expected.size());
  const double mean = std::accumulate(expected.begin(), expected.end(), 0.0) / static_cast<double>(expected.size());
  for (std::size_t g = 0; g < scores.size(); ++g) {
    INFO("group " << g);
    CHECK((std::abs(scores[g] - expected[g] / mean) <= tolerance));
  }
}

// The same vector added to every filter of every convolution.
Network translated(const Network& network) {
  Network result = network.clone();
  for (Parameter* parameter : result.parameters()) {
    Tensor& w = parameter->value;
    if (w.shape().rank() != 4) continue;
    const Tensor shift = testing::random_tensor({w.size() / w.dim(0)}, 17, -0.5f, 0.5f);
    for (std::int64_t i = 0; i < w.size(); ++i) w.mutable_data()[i] += shift.data()[i % shift.size()];
  }
  return result;
}

}  // namespace

TEST_CASE("every control meets the budget from below by less than one group, and its network computes what was masked") {
  for (const std::string& name : control_names()) {
    const Control control = control_of(name);
    for (Mode mode : {Mode::kDecompose, Mode::kPrune, Mode::kMixed, Mode::kBoth}) {
      if (needs_channels(control) && mode != Mode::kPrune) continue;
      for (double share : {0.8, 0.5}) {
        INFO(name << " mode " << name_of(mode) << " flops " << share);
        Case c(mode);
        const Target target{.count = Count::kMacs, .flops = share, .parameters = {}, .bytes = {}};
        const Scores scores = c.scores(control);
        const Selection selection = select_groups(c.budget, scores, target, {});
        REQUIRE(selection.reaches_target);
        const double gap = share * static_cast<double>(c.budget.dense().cost.macs) - static_cast<double>(selection.size.cost.macs);
        CHECK((gap >= 0.0 && gap < static_cast<double>(dearest_group(c.budget, selection))));

        const CompressionPlan plan = make_plan(c.structure, c.budget, c.attached, scores, target);
        CHECK(plan.flops_ratio() <= share);
        Network shrunken = apply(plan, c.structure, c.attached);
        mask(plan, c.structure, c.attached);
        Proof proof;
        extend_proof(proof, c.attached, shrunken, testing::random_tensor({2, 32, 32, 3}, 99, -2.0f, 2.0f), Stream());
        CHECK((proof.relative() <= kProofBound));
      }
    }
  }
}

TEST_CASE("random scores follow from the seed alone, not from the weights, and prefer no group") {
  Case c(Mode::kDecompose), other(testing::tiny_network(7, "C"), Mode::kDecompose);
  CHECK(c.scores(Control::kRandom, 3) == other.scores(Control::kRandom, 3));
  CHECK(c.scores(Control::kRandom, 3) != c.scores(Control::kRandom, 4));
  int first_below_second = 0;
  constexpr int kDraws = 400;
  for (int seed = 0; seed < kDraws; ++seed) {
    const Scores scores = c.scores(Control::kRandom, static_cast<std::uint64_t>(seed));
    first_below_second += scores[0][0] < scores[0][1];
    CHECK(scores[0] != scores[1]);
  }
  CHECK(std::abs(first_below_second - kDraws / 2) <= 40);  // four standard deviations
}

TEST_CASE("svd scores are the singular values of the trained filters, and its plan keeps the leading ones") {
  Case c(Mode::kDecompose);
  const Scores scores = c.scores(Control::kSvd);
  for (std::size_t s = 0; s < scores.size(); ++s) {
    const std::string& layer = c.structure.sets[s].layer;
    INFO(layer);
    std::vector<double> expected = singular_values(filters_of(c.dense, layer));
    expected.resize(scores[s].size());
    check_proportional(scores[s], expected, 1e-5 * expected[0] / expected.back());
    CHECK(std::is_sorted(scores[s].rbegin(), scores[s].rend()));
  }
  const CompressionPlan plan = make_plan(c.structure, c.budget, c.attached, scores, {.count = Count::kMacs, .flops = 0.5, .parameters = {}, .bytes = {}});
  int removed = 0;
  for (const SetEdit& edit : plan.sets) {
    for (std::size_t g = 0; g < edit.kept.size(); ++g) CHECK(edit.kept[g] == static_cast<int>(g));
    removed += static_cast<int>(edit.groups) - static_cast<int>(edit.kept.size());
  }
  CHECK(removed > 0);
}

TEST_CASE("l1-norm scores are the sums of the filters' magnitudes, added up where a group has several filters") {
  Case basic(Mode::kPrune), grouped(testing::random_network(models::build("resnext20", {}), 3), Mode::kAuto);
  for (Case* c : {&basic, &grouped}) {
    const Scores scores = c->scores(Control::kL1Norm);
    for (std::size_t s = 0; s < scores.size(); ++s) {
      INFO(c->structure.sets[s].layer);
      const std::vector<Filter> filters = filters_of(c->dense, c->structure.sets[s].layer);
      const std::size_t groups = scores[s].size(), per = filters.size() / groups;
      CHECK((c == &basic ? per == 1 : per >= 1));
      std::vector<double> expected(groups, 0.0);
      for (std::size_t k = 0; k < filters.size(); ++k) expected[k / per] += sum_of_magnitudes(filters[k]);
      check_proportional(scores[s], expected, 1e-12);
    }
  }
}

TEST_CASE("fpgm removes the filter nearest the geometric median first, wherever the filters lie") {
  Case c(Mode::kPrune);
  const Scores scores = c.scores(Control::kFpgm);
  for (std::size_t s = 0; s < scores.size(); ++s) {
    INFO(c.structure.sets[s].layer);
    const std::vector<Filter> filters = filters_of(c.dense, c.structure.sets[s].layer);
    std::vector<double> sums(filters.size(), 0.0);
    for (std::size_t k = 0; k < filters.size(); ++k) {
      for (const Filter& other : filters) sums[k] += distance(filters[k], other);
    }
    check_proportional(scores[s], sums, 1e-12);
    // The least sum of all points is the geometric median's: the filter that goes first comes closest to it.
    const Filter median = geometric_median(filters);
    double least = 0.0;
    for (const Filter& f : filters) least += distance(f, median);
    for (double sum : sums) CHECK((sum >= least * (1.0 - 1e-9)));
  }
  // Norms say nothing: the same filters elsewhere get the same scores from fpgm, and others from l1-norm.
  Case elsewhere(translated(c.dense), Mode::kPrune);
  const Scores moved = elsewhere.scores(Control::kFpgm);
  for (std::size_t s = 0; s < scores.size(); ++s) {
    for (std::size_t g = 0; g < scores[s].size(); ++g) CHECK((std::abs(moved[s][g] - scores[s][g]) <= 1e-5));
  }
  const Scores norms = c.scores(Control::kL1Norm), moved_norms = elsewhere.scores(Control::kL1Norm);
  double largest = 0.0;
  for (std::size_t s = 0; s < norms.size(); ++s) {
    for (std::size_t g = 0; g < norms[s].size(); ++g) largest = std::max(largest, std::abs(norms[s][g] - moved_norms[s][g]));
  }
  CHECK(largest > 0.05);
}

TEST_CASE("a filter planted at the geometric median goes first with fpgm, and not with l1-norm") {
  Network dense = testing::tiny_network(6, "C");
  // Pairs of filters on both sides of a centre, one beside it, and the last one at the centre itself: of all points it
  // has the least distances to each pair, and the filter beside it gains nothing by being that one filter.
  Tensor& w = dense.parameter("layer1.0.conv1.weight").value;
  const std::int64_t filters = w.dim(0), size = w.size() / filters;
  const Tensor side = testing::random_tensor({filters, size}, 5, -0.5f, 0.5f);
  for (std::int64_t k = 0; k < filters; ++k) {
    for (std::int64_t i = 0; i < size; ++i) {
      const float away = side.data()[k / 2 * size + i];
      w.mutable_data()[k * size + i] = k == filters - 1 ? 1.0f : k % 2 == 0 ? 1.0f + away
                                                                            : 1.0f - away;
    }
  }
  Case c(std::move(dense), Mode::kPrune);
  const Scores fpgm = c.scores(Control::kFpgm), norms = c.scores(Control::kL1Norm);
  int seen = 0;
  for (std::size_t s = 0; s < fpgm.size(); ++s) {
    if (c.structure.sets[s].layer != "layer1.0.conv1") continue;
    ++seen;
    CHECK(std::ranges::min_element(fpgm[s]) - fpgm[s].begin() == filters - 1);
    CHECK(std::ranges::min_element(norms[s]) - norms[s].begin() != filters - 1);
  }
  CHECK(seen == 1);
}

TEST_CASE("controls that rank filters refuse a decomposition, an unknown control is refused with the nearest") {
  Case c(Mode::kDecompose);
  CHECK_THROWS_WITH(c.scores(Control::kFpgm), testing::contains("--mode prune"));
  CHECK_THROWS_AS(c.scores(Control::kL1Norm), UsageError);
  CHECK_THROWS_WITH(control_of("fpmg"), testing::contains("did you mean 'fpgm'"));
}
