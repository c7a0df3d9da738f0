// hinge-bench: what each kernel takes, next to what the machine can do.
//
//   hinge-bench [--device cpu|cuda:N] [--only TEXT] [--json FILE] [--compare OLD.json] [--svg FILE]
//
// Each result is checked before it is timed. Operands take turns among several sets that are larger than the cache
// together. Exit code 1 where a kernel is wrong, 2 where the command line is.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "engine/core/accelerator.h"
#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/json.h"
#include "kernels/math_mode.h"
#include "tools/bench/report.h"
#include "tools/bench/run_main.h"
#include "tools/hinge/run_folder.h"

namespace {

struct Options {
  std::string device = "auto", only, json, compare, svg;
  double seconds = 0.3;
  bool tf32 = false, list = false, small = false;
};

int measure(const Options& options) {
  using namespace hinge;
  using namespace hinge::bench;
  std::vector<KernelCase> cases;
  for (KernelCase& kernel : kernel_cases(options.small ? CaseSize::kSmall : CaseSize::kLarge)) {
    if (kernel.name.find(options.only) != std::string::npos) cases.push_back(std::move(kernel));
  }
  if (cases.empty()) fail_usage("--only {}: no case has that in its name (see --list)", options.only);
  if (options.list) {
    for (const KernelCase& kernel : cases) std::printf("%s\n", kernel.name.c_str());
    return 0;
  }
  const DeviceChoice choice = choose_device(options.device);
  if (!choice.note.empty()) std::fprintf(stderr, "%s\n", choice.note.c_str());
  if (choice.device.is_cpu()) std::erase_if(cases, [](const KernelCase& kernel) { return !kernel.on_cpu; });
  if (cases.empty()) fail_usage("--only {}: these kernels are a GPU's", options.only);
  kernels::set_math_mode({.tf32 = options.tf32});
  // Read before anything is measured: a file that can't be used would be noticed minutes too late.
  const nlohmann::json old = options.compare.empty() ? nlohmann::json() : io::read_json(options.compare);
  const Machine machine = measure_machine(choice.device);
  std::vector<Timing> timings;
  for (const KernelCase& kernel : cases) {
    timings.push_back(time_case(kernel, choice.device, {.seconds = options.seconds}));
    std::fprintf(stderr, "\r%zu of %zu", timings.size(), cases.size());
  }
  std::fprintf(stderr, "\r              \r");
  std::fputs(table_of(machine, timings).c_str(), stdout);
  if (!options.json.empty()) {
    nlohmann::json json = json_of(machine, timings);
    json["date"] = cli::utc_now(), json["device"] = choice.device.to_string(), json["precision"] = options.tf32 ? "tf32" : "fp32";
    io::write_json(options.json, json);
  }
  if (!options.svg.empty()) io::write_file_atomically(options.svg, roofline_svg(machine, timings));
  if (!options.compare.empty()) std::fputs(("\n" + comparison_of(old, options.compare, timings)).c_str(), stdout);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("hinge-bench: times kernels, next to what this machine can do at most");
  app.add_option("--device", options.device, "auto, cpu or cuda:N")->capture_default_str();
  app.add_option("--only", options.only, "Cases with this text in their name");
  app.add_option("--seconds", options.seconds, "To run each case for, at least")->check(CLI::Range(0.0, 60.0))->capture_default_str();
  app.add_option("--json", options.json, "Write all numbers to this file");
  app.add_option("--compare", options.compare, "Print times next to those of an older --json file");
  app.add_option("--svg", options.svg, "Draw the roofline to this file");
  app.add_flag("--tf32", options.tf32, "On a GPU: products on the tensor cores in TF32");
  app.add_flag("--small", options.small, "The tests' sizes: a look whether everything works");
  app.add_flag("--list", options.list, "Name the cases and end");
  return hinge::bench::run_main("hinge-bench", app, argc, argv, [&] { return measure(options); });
}
