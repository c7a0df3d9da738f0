// Every registered regulariser in its CUDA kernel, against the CPU: the file under regularizers/ is the same, so are the
// functions in it; what is tested is that they reach the launch over a whole network. A new file needs no line here.
#include "compress/regularizer.h"

#include <cmath>
#include <optional>

#include "engine/core/error.h"
#include "kernels/group_table.h"
#include "kernels/sgd.h"
#include "tests/emulated/schedules.h"
#include "tests/support/random.h"

using namespace hinge;
using namespace hinge::compress;
using namespace hinge::testing;
using kernels::GroupView;

namespace {

constexpr double kEps = 1.2e-7;  // of floats

// A set of groups over tensors; all strides as the sets of a network have them.
struct Set {
  std::vector<std::size_t> tensors;
  std::vector<GroupView> views;  // their data: an offset into the tensor, as no memory is chosen yet
  double step, gamma;
};

struct Net {
  std::vector<Tensor> weights, gradients, velocities;
  std::vector<Set> sets;

  void add(std::vector<GroupView> views, double step, double gamma) {
    Set set{{}, std::move(views), step, gamma};
    for (const GroupView& view : set.views) {
      set.tensors.push_back(weights.size());
      const std::uint64_t seed = weights.size();
      for (auto* list : {&weights, &gradients, &velocities}) {
        list->push_back(random_tensor({view.groups * view.size}, seed + 100 * static_cast<std::uint64_t>(list - &weights)));
      }
    }
    sets.push_back(std::move(set));
  }
};

GroupView filters(std::int64_t groups, std::int64_t size) { return {nullptr, groups, size, size, 1}; }
GroupView matrix_rows(std::int64_t groups, std::int64_t size) { return {nullptr, groups, size, 1, groups}; }

// Steps beside which some groups live and some die; one set without any, one whose groups are all zero.
Net make_net() {
  Net net;
  net.add({filters(33, 9)}, 1.5, 0.5);
  net.add({filters(5, 1153)}, 20.0, 1.0);
  net.add({matrix_rows(40, 17)}, 2.4, 2.0);
  net.add({filters(16, 12), matrix_rows(16, 20)}, 3.0, 1.0);
  net.add({filters(7, 5)}, 0.0, 1.0);
  net.add({matrix_rows(6, 3)}, 0.1, 1.0);
  for (float& w : std::span(net.weights.back().mutable_data(), 18)) w = 0.0f;
  return net;
}

GroupView placed(const GroupView& view, float* data) { return {data, view.groups, view.size, view.group_stride, view.element_stride}; }

// The net in the memory of the (emulated) GPU.
struct OnGpu {
  std::vector<simt::Buffer<float>> weights, gradients, velocities;
  std::optional<kernels::GroupTables> tables;

  explicit OnGpu(const Net& net) {
    for (std::size_t i = 0; i < net.weights.size(); ++i) {
      weights.emplace_back(net.weights[i].values(), nullptr);
      gradients.emplace_back(net.gradients[i].values(), nullptr);
      velocities.emplace_back(net.velocities[i].values(), nullptr);
    }
    std::vector<kernels::GroupSetSpec> specs;
    std::vector<double> steps;
    for (const Set& set : net.sets) {
      kernels::GroupSetSpec spec{{}, set.views[0].groups, set.gamma};
      for (std::size_t p = 0; p < set.views.size(); ++p) {
        const std::size_t t = set.tensors[p];
        const GroupView& view = set.views[p];
        spec.parts.push_back({weights[t].data(), view.size, view.group_stride, view.element_stride, 1, gradients[t].data(),
                              velocities[t].data(), static_cast<int>(t)});
      }
      specs.push_back(std::move(spec));
      steps.push_back(set.step);
    }
    tables.emplace(specs, nullptr);
    tables->set_steps(steps);
  }
};

// The state behind one launch must be the CPU's scales of the norms before it, applied to `before`, of whose elements the
// kernel may have found others, by at most `slack`: a compiler chooses where a step of SGD is rounded.
void check_against_cpu(const Regularizer& r, const Net& net, const std::vector<Tensor>& before, double slack, const OnGpu& gpu) {
  const std::vector<float> norms = gpu.tables->norms();
  const std::vector<double> penalties = gpu.tables->penalties();
  const std::vector<int> zeros = gpu.tables->zeros();
  std::size_t first = 0;
  for (std::size_t s = 0; s < net.sets.size(); ++s) {
    INFO("set " << s);
    const Set& set = net.sets[s];
    const auto groups = static_cast<std::size_t>(set.views[0].groups);
    std::vector<Tensor> copies;
    std::vector<GroupView> views;
    double elements = 0.0;  // of a group
    for (std::size_t p = 0; p < set.views.size(); ++p) {
      elements += static_cast<double>(set.views[p].size);
      copies.push_back(before[set.tensors[p]].clone());
      views.push_back(placed(set.views[p], copies.back().mutable_data()));
    }
    const std::vector<float> expected_norms = group_norms(views, Stream());
    // Norms may differ in the last digit, and a norm's last digit decides who dies: scales are those of the kernel's norms.
    const std::vector<double> exact(norms.begin() + static_cast<std::ptrdiff_t>(first), norms.begin() + static_cast<std::ptrdiff_t>(first + groups));
    const std::vector<double> scales = r.scales(exact, set.step);
    int dead = 0;
    for (std::size_t g = 0; g < groups; ++g) {
      CHECK((std::abs(exact[g] - static_cast<double>(expected_norms[g])) <= 2 * kEps * exact[g] + slack * std::sqrt(elements)));
      dead += static_cast<float>(scales[g]) == 0.0f;
    }
    for (std::size_t p = 0; p < views.size(); ++p) {
      const std::vector<float> after = gpu.weights[set.tensors[p]].to_host();
      int wrong = 0;
      for (std::int64_t g = 0; g < views[p].groups; ++g) {
        for (std::int64_t j = 0; j < views[p].size; ++j) {
          const auto at = static_cast<std::size_t>(g * views[p].group_stride + j * views[p].element_stride);
          const double want = scales[static_cast<std::size_t>(g)] * static_cast<double>(copies[p].data()[at]);
          wrong += !(std::abs(static_cast<double>(after[at]) - want) <= 2 * kEps * std::abs(want) + slack);
        }
      }
      CHECK(wrong == 0);
    }
    const double penalty = set.gamma * r.penalty(std::span<const double>(exact));
    double size = 0.0;  // of the terms that were added up
    for (double n : exact) size += std::abs(r.value(n)) + n;
    CHECK((std::abs(penalties[s] - penalty) <= 1e-13 * set.gamma * size));
    CHECK(zeros[s] == dead);
    first += groups;
  }
}

// act(regulariser): all of them with the default options, and with each option at a tenth of its default.
template <class Act>
void for_each_regularizer(const Act& act) {
  for (const auto& [name, entry] : regularizers()) {
    std::vector<RegularizerOptions> sets = {{}};
    for (const OptionInfo& option : entry.info.options) sets.push_back({{option.name, option.above + 0.1 * (option.value - option.above)}});
    for (const RegularizerOptions& options : sets) {
      INFO(name << (options.empty() ? "" : " with " + options.begin()->first));
      act(*make_regularizer(name, options));
    }
  }
}

}  // namespace

TEST_CASE("the CUDA kernel of every registered regulariser does to a whole network what the CPU does, set by set") {
  CHECK(regularizers().contains("laplace"));  // the one that stands in docs/add-a-regularizer.md
  const Net net = make_net();
  for_each_regularizer([&](const Regularizer& r) {
    under_all_schedules([&] {
      OnGpu gpu(net);
      r.group_prox(gpu.tables->table(), nullptr);
      check_against_cpu(r, net, net.weights, 0.0, gpu);
    });
  });
}

TEST_CASE("SGD fused with the proximal step of every regulariser is the one and then the other, or is refused untouched") {
  const Net net = make_net();
  const std::vector<kernels::SgdOptions> options(net.weights.size(), {.rate = 0.1f, .momentum = 0.9f, .decay = 0.01f});
  std::vector<Tensor> stepped;
  for (std::size_t t = 0; t < net.weights.size(); ++t) {
    stepped.push_back(net.weights[t].clone());
    Tensor velocity = net.velocities[t].clone();
    for (std::int64_t i = 0; i < stepped[t].size(); ++i) {
      kernels::sgd_update(options[t], net.gradients[t].data()[i], velocity.mutable_data()[i], stepped[t].mutable_data()[i]);
    }
  }
  int fused = 0;
  for_each_regularizer([&](const Regularizer& r) {
    OnGpu gpu(net);
    const simt::Buffer<kernels::SgdOptions> on_gpu(options);
    if (r.sgd_group_prox(gpu.tables->table(), on_gpu.data(), nullptr)) {
      check_against_cpu(r, net, stepped, 4 * kEps, gpu);
      ++fused;
    } else {
      CHECK_FALSE(r.info().separable);  // nothing else has a reason not to
      for (std::size_t t = 0; t < net.weights.size(); ++t) {
        const std::vector<float> after = gpu.weights[t].to_host();
        CHECK(std::equal(after.begin(), after.end(), net.weights[t].values().begin()));
      }
    }
  });
  CHECK(fused >= 6);
}
