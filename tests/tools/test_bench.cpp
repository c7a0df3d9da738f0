// hinge-bench: its cases are right on the CPU, wrong results are found, and its reports say what was measured.
#include "kernels/elementwise.h"
#include "kernels/registry.h"
#include "tests/support/catch.h"
#include "tools/bench/report.h"

using namespace hinge;
using namespace hinge::bench;
using hinge::testing::contains;

namespace {

const Machine kMachine{"a <machine>", 10e9, 100e9};
Timing timing(const std::string& name, double bytes, double flops, double seconds) {
  return {.name = name, .family = "f", .bytes = bytes, .flops = flops, .seconds = seconds, .spread = 0.01, .sets = 2};
}

void broken_relu(std::int64_t size, const float* x, float* y) {
  for (std::int64_t i = 0; i + 1 < size; ++i) y[i] = x[i] <= 0.0f ? 0.0f : x[i];
}

}  // namespace

TEST_CASE("every case of the benchmark computes what its formula says") {
  int on_gpu_only = 0;
  for (const KernelCase& kernel : kernel_cases(CaseSize::kSmall)) {
    INFO(kernel.name);
    on_gpu_only += kernel.on_cpu ? 0 : 1;
    CHECK(kernel.on_cpu == (kernel.name.find("bfloat16") == std::string::npos && kernel.name.find("fused") == std::string::npos));
    if (!kernel.on_cpu) continue;
    const auto run = kernel.make(Device{}, 3);
    CHECK(run->check() != "");  // nothing was written yet
    run->run(Stream());
    CHECK(run->check() == "");
  }
  CHECK(on_gpu_only > 0);
}

TEST_CASE("a kernel that leaves out its last element is not timed") {
  const auto right = kernels::kernel_functions<kernels::ReluForward>.cpu;
  kernels::kernel_functions<kernels::ReluForward>.cpu = &broken_relu;
  for (const KernelCase& kernel : kernel_cases(CaseSize::kSmall)) {
    if (kernel.name == "relu 33") CHECK_THROWS_WITH(time_case(kernel, Device{}, {}), contains("relu 33 on cpu: y[32] is nan"));
  }
  kernels::kernel_functions<kernels::ReluForward>.cpu = right;
}

TEST_CASE("the share of the roof is the least time over the time taken") {
  CHECK(timing("m", 10e9, 1e9, 2.0).share_of_roof(kMachine) == 0.5);  // a second of copying
  CHECK(timing("m", 10e9, 1e9, 2.0).bound_by_memory(kMachine));
  CHECK(timing("a", 1e9, 100e9, 4.0).share_of_roof(kMachine) == 0.25);
  CHECK_FALSE(timing("a", 1e9, 100e9, 4.0).bound_by_memory(kMachine));
}

TEST_CASE("a comparison names what became slower or faster, and what is no such file is refused") {
  const std::vector<Timing> now = {timing("same", 1, 1, 1.0), timing("slow", 1, 1, 2.0), timing("new", 1, 1, 1.0)};
  const nlohmann::json old = json_of(kMachine, {timing("same", 1, 1, 1.01), timing("slow", 1, 1, 1.0), timing("gone", 1, 1, 1.0)});
  const std::string text = comparison_of(old, "old.json", now);
  CHECK_THAT(text, contains("x2.000  slower"));
  CHECK_THAT(text, contains("2 cases: 1 slower, 0 faster"));
  CHECK_THROWS_WITH(comparison_of({{"cases", 3}}, "bad.json", now), contains("bad.json: not a file of hinge-bench"));
  CHECK_THROWS_WITH(comparison_of(json_of(kMachine, {timing("gone", 1, 1, 1.0)}), "other.json", now), contains("none of the cases"));
}

TEST_CASE("the roofline has a point and a line in its list for every case, and escapes names") {
  const std::string svg = roofline_svg(kMachine, {timing("a<b", 1e9, 1e8, 0.2), timing("c", 1e9, 1e11, 2.0)});
  CHECK_THAT(svg, contains("<title>a&lt;b</title>"));
  CHECK_THAT(svg, contains("a &lt;machine&gt;"));
  CHECK_THAT(svg, contains("1  a&lt;b: 50 %"));
  CHECK(svg.find("nan") == std::string::npos);
  CHECK(svg.find("inf") == std::string::npos);
}
