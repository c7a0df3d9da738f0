// The proximal step of a whole network in one launch, against a float64 reference that knows nothing of tasks, parts'
// mappings or vectors: it takes every group element by element.
#include "kernels/group_prox.cuh"

#include <cmath>
#include <numeric>

#include "engine/core/device.h"
#include "kernels/group_prox.h"
#include "kernels/l1_minus_l2.h"
#include "kernels/registry.h"
#include "tests/emulated/schedules.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;
using namespace hinge::kernels;

namespace {

struct Lasso {
  SIMT_HOST_DEVICE double value(double norm) const { return norm; }
  SIMT_HOST_DEVICE double shrink(double norm, double step) const { return norm > step ? 1.0 - step / norm : 0.0; }
};

struct Weight {
  std::vector<float> values;
  simt::Buffer<float> gpu, gradient, velocity;
  explicit Weight(std::int64_t size, std::uint64_t seed, std::int64_t offset = 0) {
    const Tensor t = random_tensor({size + offset}, seed);
    values.assign(t.values().begin(), t.values().end());
    gpu = simt::Buffer<float>(values);
    const Tensor g = random_tensor({size + offset}, seed + 1000), v = random_tensor({size + offset}, seed + 2000);
    gradient = simt::Buffer<float>(g.values(), nullptr);
    velocity = simt::Buffer<float>(v.values(), nullptr);
  }
};

// A part by tensor number and offset, so that the same description serves the GPU's memory and the reference's.
struct Slice {
  std::size_t weight;
  std::int64_t size, group_stride, element_stride, run = 1, offset = 0;
};
struct Set {
  std::vector<Slice> slices;
  std::int64_t groups;
  double gamma, step;
};

std::int64_t element(const Slice& s, std::int64_t g, std::int64_t j) {
  return s.offset + g * s.group_stride + j / s.run * s.element_stride + j % s.run;
}

struct Network {
  std::vector<Weight> weights;
  std::vector<Set> sets;

  GroupTables tables() {
    std::vector<GroupSetSpec> specs;
    std::vector<double> steps;
    for (const Set& set : sets) {
      GroupSetSpec spec{{}, set.groups, set.gamma};
      for (const Slice& s : set.slices) {
        Weight& w = weights[s.weight];
        spec.parts.push_back({w.gpu.data() + s.offset, s.size, s.group_stride, s.element_stride, s.run,
                              w.gradient.data() + s.offset, w.velocity.data() + s.offset, static_cast<int>(s.weight)});
      }
      specs.push_back(spec);
      steps.push_back(set.step);
    }
    GroupTables tables(specs, nullptr);
    tables.set_steps(steps);
    return tables;
  }
};

// Every mapping, at sizes that hurt: filters (short, long, longer than registers hold, off alignment), rows of A, and
// joint groups over two tensors, one of them in runs.
Network make_network() {
  Network net;
  const auto add = [&](std::int64_t size, Set set, std::int64_t offset = 0) {
    net.weights.emplace_back(size, net.weights.size() + 1, offset);
    for (Slice& s : set.slices) s.weight = net.weights.size() - 1, s.offset = offset;
    net.sets.push_back(std::move(set));
  };
  for (const std::int64_t n : kSizesThatHurt) {
    const double step = 0.5 * std::sqrt(static_cast<double>(n) / 3.0);  // near the middle of the norms: some groups die
    add(n * 33, {{{0, n, n, 1}}, 33, 0.5, step * 2});                   // contiguous, short
    add(n * 33, {{{0, 33, 1, n}}, n, 2.0, 3.3});                        // rows of A [33, n]
  }
  for (const std::int64_t n : {1023, 1024, 1025, 4608, 8192, 8193, 9001}) add(n * 3, {{{0, n, n, 1}}, 3, 1.0, 0.98 * std::sqrt(n / 3.0)});
  add(7 * 129, {{{0, 129, 129, 1}}, 7, 1.0, 6.5}, 1);
  add(3 * 2001, {{{0, 2001, 2001, 1}}, 3, 1.0, 25.0}, 3);
  add(130, {{{0, 0, 0, 1}}, 5, 1.0, 1.0});  // groups without elements
  // ResNeXt: 8 cardinality groups of 4 channels; conv1 [32, 64] by filters, conv3 [48, 32] by input channels in runs of 4.
  net.weights.emplace_back(32 * 64, 901);
  net.weights.emplace_back(48 * 32, 902);
  const std::size_t last = net.weights.size() - 1;
  net.sets.push_back({{{last - 1, 4 * 64, 4 * 64, 1}, {last, 4 * 48, 4, 32, 4}}, 8, 3.0, 12.3});
  // Both parts neighbours in memory: two tensors' rows, one lane per group.
  net.weights.emplace_back(20 * 40, 903);
  net.weights.emplace_back(31 * 40, 904);
  net.sets.push_back({{{last + 1, 20, 1, 40}, {last + 2, 31, 1, 40}}, 40, 1.0, 4.1});
  return net;
}

// x: all weights, before; returns what they must be and fills in norms, penalties and zero counts.
struct Expected {
  std::vector<std::vector<double>> weights;
  std::vector<double> norms, penalties;
  std::vector<int> zeros;
};
template <class Rule>  // rule(norms of the set, step) -> scales
Expected expect(const Network& net, std::vector<std::vector<double>> weights, Rule rule) {
  Expected e;
  for (const Set& set : net.sets) {
    std::vector<double> norms;
    for (std::int64_t g = 0; g < set.groups; ++g) {
      double squares = 0.0;
      for (const Slice& s : set.slices) {
        for (std::int64_t j = 0; j < s.size; ++j) squares += std::pow(weights[s.weight][static_cast<std::size_t>(element(s, g, j))], 2);
      }
      norms.push_back(std::sqrt(squares));
    }
    const auto [scales, penalty] = rule(norms, set.step);
    int zeros = 0;
    for (std::int64_t g = 0; g < set.groups; ++g) {
      const double scale = scales[static_cast<std::size_t>(g)];
      zeros += scale == 0.0;
      for (const Slice& s : set.slices) {
        for (std::int64_t j = 0; j < s.size; ++j) weights[s.weight][static_cast<std::size_t>(element(s, g, j))] *= scale;
      }
    }
    e.norms.insert(e.norms.end(), norms.begin(), norms.end());
    e.penalties.push_back(set.gamma * penalty);
    e.zeros.push_back(zeros);
  }
  e.weights = std::move(weights);
  return e;
}

auto lasso_rule(const std::vector<double>& norms, double step) {
  std::vector<double> scales;
  for (const double n : norms) scales.push_back(Lasso().shrink(n, step));
  return std::pair(scales, std::accumulate(norms.begin(), norms.end(), 0.0));
}

// From norms rounded to float, as the kernel's contract has it: where all z are small, x depends on n - step, and a norm's
// last bit is many of x's.
auto l1_minus_l2_rule(std::vector<double> norms, double step) {
  for (double& n : norms) n = static_cast<double>(static_cast<float>(n));
  double z_squares = 0.0, sum = 0.0, squares = 0.0;
  for (const double n : norms) {
    z_squares += std::pow(std::max(n - step, 0.0), 2);
    sum += n, squares += n * n;
  }
  const auto first_largest = std::max_element(norms.begin(), norms.end()) - norms.begin();
  std::vector<double> scales;
  for (std::size_t g = 0; g < norms.size(); ++g) {
    const double z = std::max(norms[g] - step, 0.0);
    const bool survives = static_cast<std::ptrdiff_t>(g) == first_largest && norms[g] > 0.0;
    scales.push_back(z_squares > 0.0 ? (z > 0 ? z * (1.0 + step / std::sqrt(z_squares)) / norms[g] : 0.0) : survives);
  }
  return std::pair(scales, sum - std::sqrt(squares));
}

std::vector<std::vector<double>> as_double(const Network& net) {
  std::vector<std::vector<double>> all;
  for (const Weight& w : net.weights) all.emplace_back(w.values.begin(), w.values.end());
  return all;
}

// Weights are at most 1, and so are scales: an error is a few roundings of 1.
void check(const Network& net, const GroupTables& tables, const Expected& want, double weight_tolerance) {
  for (std::size_t w = 0; w < net.weights.size(); ++w) {
    const std::vector<float> got = net.weights[w].gpu.to_host();
    std::string wrong;
    for (std::size_t i = 0; i < got.size() && wrong.empty(); ++i) {
      const double error = std::fabs(static_cast<double>(got[i]) - want.weights[w][i]);
      if (!(error <= weight_tolerance)) wrong = fmt::format("weight {}[{}] = {}, expected {}", w, i, got[i], want.weights[w][i]);
    }
    CHECK(wrong == "");
  }
  const std::vector<float> norms = tables.norms();
  for (std::size_t g = 0; g < norms.size(); ++g) {
    const bool close = std::fabs(static_cast<double>(norms[g]) - want.norms[g]) <= 4 * weight_tolerance + kEpsilon * want.norms[g];
    if (!close) CHECK(static_cast<double>(norms[g]) == want.norms[g]);
  }
  const std::vector<double> penalties = tables.penalties();
  for (std::size_t s = 0; s < penalties.size(); ++s) {
    INFO("set " << s);
    // Norms are wrong by at most 4 weight_tolerance plus their rounding; a penalty adds up one set's.
    const double size = std::accumulate(want.norms.begin(), want.norms.end(), 0.0);
    CHECK(std::fabs(penalties[s] - want.penalties[s]) <=
          net.sets[s].gamma * (4 * weight_tolerance * static_cast<double>(net.sets[s].groups) + kEpsilon * size));
  }
  CHECK(tables.zeros() == want.zeros);
}

}  // namespace

TEST_CASE("one launch shrinks the groups of a whole network, whatever their form, and tells about them") {
  under_all_schedules([] {
    Network net = make_network();
    const Expected want = expect(net, as_double(net), lasso_rule);
    const int dead = std::accumulate(want.zeros.begin(), want.zeros.end(), 0);
    CHECK((dead > 100 && dead < static_cast<int>(want.norms.size()) - 100));
    GroupTables tables = net.tables();
    group_prox(tables.table(), Lasso(), nullptr);
    check(net, tables, want, 4 * kEpsilon);
  });
}

TEST_CASE("two steps in a row work on the same table: nothing is left behind by the first") {
  Network net = make_network();
  GroupTables tables = net.tables();
  group_prox(tables.table(), Lasso(), nullptr);
  const std::vector<double> first = tables.penalties();
  group_prox(tables.table(), Lasso(), nullptr);
  const std::vector<double> second = tables.penalties();
  for (std::size_t s = 0; s < first.size(); ++s) CHECK(second[s] <= first[s]);
  CHECK(std::accumulate(second.begin(), second.end(), 0.0) < std::accumulate(first.begin(), first.end(), 0.0));
}

TEST_CASE("all results are the same bytes under every schedule") {
  CHECK(same_under_all_schedules([] {
    Network net = make_network();
    GroupTables tables = net.tables();
    group_prox(tables.table(), Lasso(), nullptr);
    std::vector<double> all = tables.penalties();
    for (const float n : tables.norms()) all.push_back(static_cast<double>(n));
    for (const Weight& w : net.weights) {
      for (const float v : w.gpu.to_host()) all.push_back(static_cast<double>(v));
    }
    return all;
  }));
}

TEST_CASE("SGD fused with the proximal step is SGD and then the proximal step") {
  under_all_schedules([] {
    Network net = make_network();
    std::vector<std::vector<double>> stepped = as_double(net);
    std::vector<std::vector<float>> velocities;
    std::vector<SgdOptions> options;
    for (std::size_t w = 0; w < net.weights.size(); ++w) {
      options.push_back({0.01f * static_cast<float>(w + 1), 0.9f, 0.01f, w % 2 == 0, w % 3 == 0});
      std::vector<float> v = net.weights[w].velocity.to_host();
      const std::vector<float> g = net.weights[w].gradient.to_host();
      for (std::size_t i = 0; i < v.size(); ++i) {
        bool used = false;  // elements that no group holds stay as they are
        for (const Set& set : net.sets) {
          for (const Slice& s : set.slices) used = used || (s.weight == w && s.size > 0 && static_cast<std::int64_t>(i) >= s.offset);
        }
        if (!used) continue;
        float weight = net.weights[w].values[i];
        sgd_update(options[w], g[i], v[i], weight);
        stepped[w][i] = static_cast<double>(weight);
      }
      velocities.push_back(v);
    }
    const Expected want = expect(net, stepped, lasso_rule);
    GroupTables tables = net.tables();
    const simt::Buffer<SgdOptions> on_gpu(options);
    sgd_group_prox(tables.table(), on_gpu.data(), Lasso(), nullptr);
    check(net, tables, want, 16 * kEpsilon);
    for (std::size_t w = 0; w < net.weights.size(); ++w) {
      const std::vector<float> got = net.weights[w].velocity.to_host();
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < got.size(); ++i) wrong += !(std::fabs(got[i] - velocities[w][i]) <= 8 * kEpsilon);
      CHECK(wrong == 0);
    }
  });
}

TEST_CASE("a scale of zero writes zeros even over infinities, a scale of one changes no bit") {
  struct Fixed {
    double scale;
    SIMT_HOST_DEVICE double value(double) const { return 0.0; }
    SIMT_HOST_DEVICE double shrink(double, double) const { return scale; }
  };
  for (const bool rows : {false, true}) {
    for (const double scale : {0.0, 1.0}) {
      const std::vector<float> values = {INFINITY, NAN, 1e-40f, -3.0f, -INFINITY, 2.0f};
      simt::Buffer<float> w(values);
      GroupTables tables({{{{w.data(), 3, rows ? 1 : 3, rows ? 2 : 1}}, 2, 1.0}}, nullptr);
      group_prox(tables.table(), Fixed{scale}, nullptr);
      const std::vector<float> after = w.to_host();
      for (std::size_t i = 0; i < after.size(); ++i) {
        CHECK(std::bit_cast<unsigned>(after[i]) == (scale == 0.0 ? 0u : std::bit_cast<unsigned>(values[i])));
      }
    }
  }
}

TEST_CASE("l1 - l2 in one launch agrees with the reference, also where no group exceeds the step") {
  under_all_schedules([] {
    for (const double factor : {1.0, 100.0}) {
      INFO("steps times " << factor);
      Network net = make_network();
      for (Set& set : net.sets) set.step *= factor;
      const Expected want = expect(net, as_double(net), l1_minus_l2_rule);
      GroupTables tables = net.tables();
      cuda::l1_minus_l2_prox(tables.table(), nullptr);
      check(net, tables, want, 16 * kEpsilon);
    }
  });
}

TEST_CASE("l1 - l2 keeps the first of equal groups, and nothing of nothing") {
  under_all_schedules([] {
    simt::Buffer<float> tie(std::vector<float>{1, 2, 2, 0, 2, 1}), none(std::vector<float>(6, 0.0f));
    GroupTables tables({{{{tie.data(), 1, 1, 1}}, 6, 1.0}, {{{none.data(), 2, 2, 1}}, 3, 1.0}}, nullptr);
    tables.set_steps({5.0, 5.0});
    cuda::l1_minus_l2_prox(tables.table(), nullptr);
    CHECK(tie.to_host() == std::vector<float>{0, 2, 0, 0, 0, 0});
    CHECK(none.to_host() == std::vector<float>(6, 0.0f));
    CHECK(tables.zeros() == std::vector<int>{5, 3});
  });
}

TEST_CASE("norms and scaling of one matrix give the CPU's numbers, by rows and by columns") {
  const Stream gpu(Device{Device::Kind::kCuda, 0});
  for (const std::int64_t groups : kSizesThatHurt) {
    for (const std::int64_t size : {0, 1, 33, 128, 1025, 9001}) {
      for (const bool by_row : {false, true}) {
        Tensor w = random_tensor({groups * size}, 1);
        const Tensor scales = random_tensor({groups}, 2, 0.0f, 1.0f);
        GroupView view{w.mutable_data(), groups, size, by_row ? size : 1, by_row ? 1 : groups};
        Tensor norms = Tensor::empty({groups}), scaled = w.clone();
        dispatch<GroupNorms>(Stream(), view, norms.mutable_data());
        simt::Buffer<float> gw(w.values(), nullptr), gn(groups, nullptr);
        const simt::Buffer<float> gs(scales.values(), nullptr);
        view.data = scaled.mutable_data();
        dispatch<GroupScale>(Stream(), view, scales.data());
        under_all_schedules([&] {
          INFO(groups << " groups of " << size << ", by row " << by_row);
          gw = simt::Buffer<float>(w.values(), nullptr);
          view.data = gw.data();
          dispatch<GroupNorms>(gpu, view, gn.data());
          CHECK(mismatch(Tensor::from({groups}, gn.to_host()), Array(norms), Array(norms), 2.0) == "");
          dispatch<GroupScale>(gpu, view, gs.data());
          CHECK(same_bytes(Tensor::from(w.shape(), gw.to_host()), scaled));
        });
      }
    }
  }
}
