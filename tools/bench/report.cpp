#include "tools/bench/report.h"

#include <cmath>

#include "engine/core/error.h"

namespace hinge::bench {
namespace {

std::string time_text(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.2f} us", seconds * 1e6);
  if (seconds < 1.0) return fmt::format("{:.3f} ms", seconds * 1e3);
  return fmt::format("{:.3f} s", seconds);
}

}  // namespace

std::string table_of(const Machine& machine, const std::vector<Timing>& timings) {
  std::string text = fmt::format("{}: copies {:.1f} GB/s, multiplies and adds {:.1f} GFLOP/s (both measured)\n\n", machine.name,
                                 machine.copy_bytes_per_second * 1e-9, machine.flops_per_second * 1e-9);
  std::size_t width = 4;
  for (const Timing& t : timings) width = std::max(width, t.name.size());
  text += fmt::format("{:<{}}  {:>11}  {:>6}  {:>9}  {:>9}  {:>6}  {}\n", "case", width, "time", "+-", "GB/s", "GFLOP/s", "roof", "bound by");
  for (const Timing& t : timings) {
    text += fmt::format("{:<{}}  {:>11}  {:>5.1f}%  {:>9.1f}  {:>9.1f}  {:>5.1f}%  {}\n", t.name, width, time_text(t.seconds), 100.0 * t.spread,
                        t.bytes_per_second() * 1e-9, t.flops_per_second() * 1e-9, 100.0 * t.share_of_roof(machine),
                        t.bound_by_memory(machine) ? "memory" : "arithmetic");
  }
  return text;
}

nlohmann::json json_of(const Machine& machine, const std::vector<Timing>& timings) {
  nlohmann::json cases = nlohmann::json::array();
  for (const Timing& t : timings) {
    cases.push_back({{"name", t.name},
                     {"family", t.family},
                     {"bytes", t.bytes},
                     {"flops", t.flops},
                     {"seconds", t.seconds},
                     {"spread", t.spread},
                     {"sets", t.sets},
                     {"bytes_per_second", t.bytes_per_second()},
                     {"flops_per_second", t.flops_per_second()},
                     {"share_of_roof", t.share_of_roof(machine)},
                     {"bound_by", t.bound_by_memory(machine) ? "memory" : "arithmetic"}});
  }
  return {{"machine", {{"name", machine.name}, {"copy_bytes_per_second", machine.copy_bytes_per_second}, {"flops_per_second", machine.flops_per_second}}},
          {"cases", cases}};
}

std::string comparison_of(const nlohmann::json& old, const std::string& origin, const std::vector<Timing>& timings) {
  std::string text;
  int slower = 0, faster = 0, common = 0;
  double log_sum = 0.0;
  try {
    text = fmt::format("against {} ({}):\n", origin, old.at("machine").at("name").get<std::string>());
    for (const Timing& t : timings) {
      for (const nlohmann::json& other : old.at("cases")) {
        if (other.at("name") != t.name) continue;
        const double before = other.at("seconds").get<double>(), ratio = t.seconds / before;
        require(std::isfinite(ratio) && ratio > 0.0, "{}: '{}' took {} seconds", origin, t.name, before);
        const double noise = std::max({0.03, t.spread, other.at("spread").get<double>()});
        const bool changed = std::fabs(ratio - 1.0) > noise;
        slower += changed && ratio > 1.0, faster += changed && ratio < 1.0, ++common;
        log_sum += std::log(ratio);
        text += fmt::format("  {:<60} {:>11} -> {:>11}  x{:.3f}{}\n", t.name, time_text(before), time_text(t.seconds), ratio,
                            !changed ? "" : ratio > 1.0 ? "  slower"
                                                        : "  faster");
      }
    }
  } catch (const nlohmann::json::exception& error) {
    fail("{}: not a file of hinge-bench --json: {}", origin, error.what());
  }
  require(common > 0, "{}: holds none of the cases that were measured", origin);
  return text + fmt::format("{} cases: {} slower, {} faster, times {:.3f} of the old ones on (geometric) average\n", common, slower, faster,
                            std::exp(log_sum / common));
}

}  // namespace hinge::bench
