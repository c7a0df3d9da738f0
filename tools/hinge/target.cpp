#include "tools/hinge/target.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/core/names.h"

namespace hinge::cli {
namespace {

// The number at the start of `text`; what follows it goes to `rest`.
double number_of(const std::string& part, const std::string& text, std::string& rest) {
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !std::isfinite(value)) fail_usage("--target {}: '{}' is not a number", part, text);
  rest.assign(end, text.data() + text.size());
  return value;
}

double share_of(const std::string& part, const std::string& text) {
  std::string rest;
  const double share = number_of(part, text, rest);
  if (!rest.empty() || !(share > 0.0 && share <= 1.0)) fail_usage("--target {}: '{}' is not a share above 0 and up to 1", part, text);
  return share;
}

std::int64_t bytes_of(const std::string& part, const std::string& text) {
  std::string unit;
  const double value = number_of(part, text, unit);
  double factor = 0.0;
  for (const auto& [name, size] : {std::pair{"", 1.0}, {"B", 1.0}, {"kB", 1e3}, {"MB", 1e6}, {"KiB", 1024.0}, {"MiB", 1048576.0}}) {
    if (unit == name) factor = size;
  }
  if (factor == 0.0) fail_usage("--target {}: unknown unit '{}' (known: B, kB, MB, KiB, MiB)", part, unit);
  if (!(value > 0.0) || value * factor > 1e15) fail_usage("--target {}: '{}' is not a size above 0", part, text);
  return static_cast<std::int64_t>(value * factor);
}

// "0.5" is a share of the time, "3.1ms" a time.
void set_latency(compress::Target& target, const std::string& part, const std::string& text) {
  std::string unit;
  const double value = number_of(part, text, unit);
  if (unit.empty()) {
    target.latency = share_of(part, text);
    return;
  }
  const double factor = unit == "ms" ? 1e-3 : unit == "us" ? 1e-6
                                          : unit == "s"    ? 1.0
                                                           : 0.0;
  if (factor == 0.0) fail_usage("--target {}: unknown unit '{}' (known: s, ms, us; or none, for a share)", part, unit);
  if (!(value > 0.0)) fail_usage("--target {}: '{}' is not a time above 0", part, text);
  target.seconds = value * factor;
}

}  // namespace

std::vector<compress::Target> parse_targets(const std::vector<std::string>& parts, Count count) {
  compress::Target common{.count = count, .flops = {}, .parameters = {}, .bytes = {}, .latency = {}, .seconds = {}};
  std::vector<double> path;
  std::string last;
  for (const std::string& part : parts) {
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos) {
      if (last != "flops") fail_usage("--target {}: expected NAME=VALUE such as flops=0.5 (bare numbers may follow flops=)", part);
      path.push_back(share_of(part, part));
      continue;
    }
    last = part.substr(0, equals);
    const std::string value = part.substr(equals + 1);
    if (last == "flops") {
      if (!path.empty()) fail_usage("--target {}: flops is given twice; several points are written flops=0.8,0.5", part);
      path.push_back(share_of(part, value));
    } else if (last == "params") {
      if (common.parameters) fail_usage("--target {}: params is given twice", part);
      common.parameters = share_of(part, value);
    } else if (last == "bytes") {
      if (common.bytes) fail_usage("--target {}: bytes is given twice", part);
      common.bytes = bytes_of(part, value);
    } else if (last == "latency") {
      if (common.wants_time()) fail_usage("--target {}: latency is given twice", part);
      set_latency(common, part, value);
    } else {
      const std::vector<std::string> known = {"flops", "params", "bytes", "latency"};
      fail_usage("--target {}: unknown target '{}' (known: {}){}", part, last, fmt::join(known, ", "), did_you_mean(last, known));
    }
  }
  const bool others = common.parameters || common.bytes || common.wants_time();
  if (path.empty() && !others) fail_usage("--target is empty, expected e.g. flops=0.5");
  if (path.size() > 1 && others) fail_usage("--target: several flops shares go with no other constraint");
  if (path.empty()) return {common};
  std::ranges::sort(path, std::greater<>());
  if (std::ranges::adjacent_find(path) != path.end()) fail_usage("--target: the same flops share is given twice");
  std::vector<compress::Target> targets;
  for (double flops : path) {
    targets.push_back(common);
    targets.back().flops = flops;
  }
  return targets;
}

Count count_of(const std::string& name) {
  if (name == "macs") return Count::kMacs;
  if (name == "reference") return Count::kReference;
  fail_usage("--count {}: expected macs or reference", name);
}

void check_reachable(const compress::Target& target, const compress::Budget& budget, const compress::SelectionOptions& options) {
  const compress::Size least = compress::least_size(budget, options), &dense = budget.dense();
  if (target.met_by(least, dense)) return;
  const auto share = [](std::int64_t a, std::int64_t b) { return static_cast<double>(a) / static_cast<double>(b); };
  const std::string time = !target.wants_time() ? ""
                                                : fmt::format(", {:.3f} to 1 of its time ({:.3f} to {:.3f} ms a call; another --latency-batch or --mode may allow more)",
                                                              least.seconds / dense.seconds, 1e3 * least.seconds, 1e3 * dense.seconds);
  fail_usage(
      "--target {}: can't be reached; with at least {:.0f} % of each layer's groups (--minimum-share) this network can keep "
      "{:.4f} to 1 of its FLOPs, {:.4f} to 1 of its parameters, {} to {} bytes{}",
      target.to_string(), 100.0 * options.minimum_share, target.flops_ratio(least, dense),
      share(least.cost.parameters, dense.cost.parameters), least.bytes, dense.bytes, time);
}

}  // namespace hinge::cli
