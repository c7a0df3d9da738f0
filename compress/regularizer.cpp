#include "compress/regularizer.h"

#include <cmath>
#include <stdexcept>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "kernels/registry.h"

namespace hinge::compress {

std::map<std::string, RegularizerEntry>& regularizers() {
  static std::map<std::string, RegularizerEntry> registry;
  return registry;
}

bool register_regularizer(const std::string& name, RegularizerEntry entry) {
  if (!regularizers().emplace(name, std::move(entry)).second) {
    throw std::logic_error("regulariser '" + name + "' is registered twice");
  }
  return true;
}

std::unique_ptr<Regularizer> make_regularizer(const std::string& name, const RegularizerOptions& options) {
  const auto found = regularizers().find(name);
  if (found == regularizers().end()) {
    std::vector<std::string> known;
    for (const auto& [known_name, entry] : regularizers()) known.push_back(known_name);
    fail_usage("unknown regulariser '{}' (known: {}){}", name, fmt::join(known, ", "), did_you_mean(name, known));
  }
  const std::vector<std::string>& known = found->second.options;
  for (const auto& [option, value] : options) {
    if (std::find(known.begin(), known.end(), option) == known.end()) {
      fail_usage("regulariser {}: unknown option '{}' (known: {})", name, option,
                 known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")));
    }
  }
  return found->second.make(options);
}

std::vector<float> group_norms(std::span<const kernels::GroupView> parts, const Stream& stream) {
  require(!parts.empty(), "group_norms: no parts");
  std::vector<float> norms(static_cast<std::size_t>(parts[0].groups));
  if (parts.size() == 1) {
    kernels::dispatch<kernels::GroupNorms>(stream, parts[0], norms.data());
    return norms;
  }
  std::vector<double> squares(norms.size(), 0.0);
  for (const kernels::GroupView& part : parts) {
    require(part.groups == parts[0].groups, "group_norms: parts of {} and {} groups", parts[0].groups, part.groups);
    kernels::dispatch<kernels::GroupNorms>(stream, part, norms.data());
    for (std::size_t g = 0; g < norms.size(); ++g) squares[g] += static_cast<double>(norms[g]) * static_cast<double>(norms[g]);
  }
  for (std::size_t g = 0; g < norms.size(); ++g) norms[g] = static_cast<float>(std::sqrt(squares[g]));
  return norms;
}

double Regularizer::penalty(std::span<const float> norms) const {
  double sum = 0.0;
  for (float norm : norms) sum += value(static_cast<double>(norm));
  return sum;
}

std::vector<float> Regularizer::prox(std::span<const kernels::GroupView> parts, double step, const Stream& stream) const {
  std::vector<float> norms = group_norms(parts, stream);
  std::vector<float> scales(norms.size());
  for (std::size_t g = 0; g < norms.size(); ++g) {
    scales[g] = static_cast<float>(shrink(static_cast<double>(norms[g]), step));
  }
  for (const kernels::GroupView& part : parts) kernels::dispatch<kernels::GroupScale>(stream, part, scales.data());
  return norms;
}

}  // namespace hinge::compress
