// What the proximal step is made of: norms of groups, and scaling them.
#include "kernels/group_prox.h"

#include "kernels/registry.h"
#include "tools/bench/case_run.h"

namespace hinge::bench {
namespace {

using namespace kernels;

// Rows of [groups, size], or columns of [size, groups].
GroupView view_of(float* data, std::int64_t groups, std::int64_t size, bool columns) {
  return columns ? GroupView{data, groups, size, 1, groups} : GroupView{data, groups, size, size, 1};
}
std::int64_t place(std::int64_t g, std::int64_t j, std::int64_t groups, std::int64_t size, bool columns) { return columns ? j * groups + g : g * size + j; }

KernelCase norms(std::int64_t groups, std::int64_t size, bool columns) {
  const auto count = static_cast<double>(groups * size);
  return {fmt::format("group norms, {} {}x{}", columns ? "columns" : "rows", groups, size), "groups", 4.0 * count, 2.0 * count, [=](Device device, std::uint64_t seed) {
            const Tensor w = random_floats(groups * size, seed);
            Tensor wd = w.copy_on(device), n = unwritten(groups, device);
            return std::make_unique<TensorRun>(
                [=](const Stream& on) mutable { dispatch<GroupNorms>(on, view_of(wd.mutable_data(), groups, size, columns), n.mutable_data()); },
                [=] {
                  const Tensor got = n.to(Device{});
                  Errors errors;
                  for (std::int64_t g = 0; g < groups; ++g) {
                    double squares = 0.0;
                    for (std::int64_t j = 0; j < size; ++j) {
                      const double v = wide(w.data()[place(g, j, groups, size, columns)]);
                      squares += v * v;
                    }
                    errors.add("norm", g, got.data()[g], std::sqrt(squares), std::sqrt(squares), 1.0);
                  }
                  return errors.text();
                });
          }};
}

// Scales of 1 and -1 keep the weights' size however often the kernel runs.
KernelCase scale(std::int64_t groups, std::int64_t size, bool columns) {
  const auto count = static_cast<double>(groups * size);
  return {fmt::format("group scale, {} {}x{}", columns ? "columns" : "rows", groups, size), "groups", 8.0 * count, count, [=](Device device, std::uint64_t seed) {
            const Tensor w = random_floats(groups * size, seed);
            Tensor factors = Tensor::empty({groups});
            for (std::int64_t g = 0; g < groups; ++g) factors.mutable_data()[g] = g % 3 == 0 ? 1.0f : g % 3 == 1 ? -1.0f
                                                                                                                 : 0.0f;
            const Tensor fd = factors.to(device);
            Tensor wd = w.copy_on(device);
            auto runs = std::make_shared<int>(0);
            return std::make_unique<TensorRun>(
                [=](const Stream& on) mutable {
                  ++*runs;
                  dispatch<GroupScale>(on, view_of(wd.mutable_data(), groups, size, columns), fd.data());
                },
                [=] {
                  if (*runs == 0) return std::string("nothing was run");
                  const Tensor got = wd.to(Device{});
                  Errors errors;
                  for (std::int64_t g = 0; g < groups; ++g) {
                    const double factor = g % 3 == 2 ? 0.0 : g % 3 == 1 && *runs % 2 == 1 ? -1.0
                                                                                          : 1.0;
                    for (std::int64_t j = 0; j < size; ++j) {
                      const std::int64_t i = place(g, j, groups, size, columns);
                      errors.add("w", i, got.data()[i], factor * wide(w.data()[i]), 0.0, 0.0);
                    }
                  }
                  return errors.text();
                });
          }};
}

}  // namespace

void add_group_cases(std::vector<KernelCase>& cases, CaseSize size) {
  for (const bool columns : {false, true}) {
    if (size == CaseSize::kSmall) {
      cases.push_back(norms(33, 129, columns)), cases.push_back(scale(33, 129, columns));
    } else {
      cases.push_back(norms(512, 4608, columns)), cases.push_back(scale(512, 4608, columns));  // ResNet-50's widest 3x3
    }
  }
}

std::vector<KernelCase> kernel_cases(CaseSize size) {
  std::vector<KernelCase> cases;
  add_elementwise_cases(cases, size);
  add_batch_norm_cases(cases, size);
  add_product_cases(cases, size);
  add_group_cases(cases, size);
  return cases;
}

}  // namespace hinge::bench
