#include "compress/regularizer.h"

#include <charconv>
#include <cmath>
#include <stdexcept>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "engine/core/tensor.h"
#include "kernels/registry.h"

namespace hinge::compress {
namespace {

const OptionInfo* find_option(const RegularizerInfo& info, const std::string& name) {
  const auto found = std::find_if(info.options.begin(), info.options.end(),
                                  [&](const OptionInfo& option) { return option.name == name; });
  return found == info.options.end() ? nullptr : &*found;
}

// The defaults, overwritten by what was given.
RegularizerOptions complete(const RegularizerInfo& info, const RegularizerOptions& given) {
  RegularizerOptions result;
  std::vector<std::string> known;
  for (const OptionInfo& option : info.options) result[option.name] = option.value, known.push_back(option.name);
  for (const auto& [name, value] : given) {
    const OptionInfo* option = find_option(info, name);
    if (option == nullptr) {
      fail_usage("regulariser {}: unknown option '{}' (known: {}){}", info.name, name,
                 known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")), did_you_mean(name, known));
    }
    if (!(value > option->above && value <= option->at_most)) {  // NaN is out of every range
      fail_usage("regulariser {}: option {} is {}, expected {}", info.name, name, value, range_text(*option));
    }
    result[name] = value;
  }
  return result;
}

std::vector<double> widened(std::span<const float> norms) { return {norms.begin(), norms.end()}; }

}  // namespace

std::map<std::string, RegularizerEntry>& regularizers() {
  static std::map<std::string, RegularizerEntry> registry;
  return registry;
}

bool register_regularizer(RegularizerInfo info, RegularizerFactory make) {
  const std::string name = info.name;
  for (const OptionInfo& option : info.options) {
    if (!(option.value > option.above && option.value <= option.at_most)) {
      throw std::logic_error("regulariser '" + name + "': the default of " + option.name + " is out of its range");
    }
  }
  if (!regularizers().emplace(name, RegularizerEntry{std::move(info), std::move(make)}).second) {
    throw std::logic_error("regulariser '" + name + "' is registered twice");
  }
  return true;
}

std::unique_ptr<Regularizer> make_regularizer(const std::string& name, const RegularizerOptions& given) {
  const auto found = regularizers().find(name);
  if (found == regularizers().end()) {
    std::vector<std::string> known;
    for (const auto& [known_name, entry] : regularizers()) known.push_back(known_name);
    fail_usage("unknown regulariser '{}' (known: {}){}", name, fmt::join(known, ", "), did_you_mean(name, known));
  }
  RegularizerOptions options = complete(found->second.info, given);
  std::unique_ptr<Regularizer> result = found->second.make(options);
  result->info_ = &found->second.info;
  result->options_ = std::move(options);
  return result;
}

RegularizerOptions parse_options(std::span<const std::string> texts) {
  RegularizerOptions result;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) fail_usage("option '{}': expected NAME=NUMBER, e.g. eps=1e-2", text);
    const std::string name = text.substr(0, equals), number = text.substr(equals + 1);
    double value = 0.0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (error != std::errc() || end != number.data() + number.size()) {
      fail_usage("option '{}': '{}' is not a number", text, number);
    }
    if (!result.emplace(name, value).second) fail_usage("option {} is given twice", name);
  }
  return result;
}

std::string range_text(const OptionInfo& option) {
  return fmt::format("above {} and at most {}", option.above, option.at_most);
}

namespace {

std::vector<float> norms_of(const kernels::GroupView& part, const Stream& stream) {
  std::vector<float> result(static_cast<std::size_t>(part.groups));
  if (stream.device().is_cpu()) {
    kernels::dispatch<kernels::GroupNorms>(stream, part, result.data());
    return result;
  }
  Tensor norms = Tensor::empty({part.groups}, DType::kFloat32, stream.device());
  kernels::dispatch<kernels::GroupNorms>(stream, part, norms.mutable_data());
  const Tensor here = norms.to(Device{});
  return {here.values().begin(), here.values().end()};
}

}  // namespace

std::vector<float> group_norms(std::span<const kernels::GroupView> parts, const Stream& stream) {
  require(!parts.empty(), "group norms: no part is given");
  for (const kernels::GroupView& part : parts) {
    require(part.groups == parts[0].groups, "group norms: one part has {} groups, another {}; expected equally many",
            parts[0].groups, part.groups);
  }
  std::vector<float> norms = norms_of(parts[0], stream);
  if (parts.size() == 1) return norms;
  std::vector<double> squares(norms.size(), 0.0);
  for (const kernels::GroupView& part : parts) {
    norms = norms_of(part, stream);
    for (std::size_t g = 0; g < norms.size(); ++g) squares[g] += static_cast<double>(norms[g]) * static_cast<double>(norms[g]);
  }
  for (std::size_t g = 0; g < norms.size(); ++g) norms[g] = static_cast<float>(std::sqrt(squares[g]));
  return norms;
}

std::vector<float> group_norms(const kernels::GroupView& whole, const Stream& stream) {
  return group_norms(std::span<const kernels::GroupView>(&whole, 1), stream);
}

double Regularizer::penalty(std::span<const double> norms) const {
  double sum = 0.0;
  for (double norm : norms) sum += value(norm);
  return sum;
}

double Regularizer::penalty(std::span<const float> norms) const {
  const std::vector<double> wide = widened(norms);
  return penalty(std::span<const double>(wide));
}

std::vector<double> Regularizer::scales(std::span<const double> norms, double step) const {
  std::vector<double> result;
  result.reserve(norms.size());
  for (double norm : norms) result.push_back(shrink(norm, step));
  return result;
}

std::vector<double> Regularizer::gradient(std::span<const double> norms) const {
  std::vector<double> result;
  for (double norm : norms) result.push_back(norm > 0.0 ? derivative(norm) : 0.0);
  return result;
}

std::vector<float> Regularizer::prox(std::span<const kernels::GroupView> parts, double step, const Stream& stream) const {
  std::vector<float> norms = group_norms(parts, stream);
  const std::vector<double> wide = scales(widened(norms), step);
  const std::vector<float> factors(wide.begin(), wide.end());
  if (stream.device().is_cpu()) {
    for (const kernels::GroupView& part : parts) kernels::dispatch<kernels::GroupScale>(stream, part, factors.data());
    return norms;
  }
  const Tensor there = Tensor::from({static_cast<std::int64_t>(factors.size())}, factors).to(stream.device());
  for (const kernels::GroupView& part : parts) kernels::dispatch<kernels::GroupScale>(stream, part, there.data());
  return norms;
}

void Regularizer::group_prox(const kernels::GroupTable&, simt::NativeStream) const {
  fail("regulariser {}: this program holds no CUDA kernel of it", info().name);
}

bool Regularizer::sgd_group_prox(const kernels::GroupTable&, const kernels::SgdOptions*, simt::NativeStream) const { return false; }

}  // namespace hinge::compress
