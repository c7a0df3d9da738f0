// hinge prox: one proximal step on one matrix of a file; the laboratory for regularisers.
#include <cmath>
#include <cstring>
#include <filesystem>

#include "compress/row_column.h"
#include "engine/core/error.h"
#include "engine/core/names.h"
#include "engine/io/file.h"
#include "engine/io/json.h"
#include "engine/io/safetensors.h"
#include "tools/hinge/commands.h"
#include "tools/hinge/session.h"

namespace hinge::cli {
namespace {

using compress::Regularizer;
using compress::RegularizerInfo;
using nlohmann::json;

struct Options {
  std::string file, tensor, groups = "rows", regularizer = "l1";
  double step = std::nan("");
  std::vector<std::string> options;
  bool exact = false, list = false;
  std::string out, json;
};

// A safetensors file of which one tensor may change: every other byte is written back as it was read.
class Patch {
 public:
  Patch(const std::string& path, const std::string& name) : bytes_(io::read_file(path)) {
    const io::SafetensorsFile file(bytes_, path);
    const auto found = file.tensors().find(name);
    if (found == file.tensors().end()) {
      std::vector<std::string> names = file.names();
      std::stable_sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
        return edit_distance(a, name) < edit_distance(b, name);
      });
      const std::size_t total = names.size();
      names.resize(std::min<std::size_t>(total, 5));
      fail_usage("{}: no tensor '{}' among its {} (nearest: {})", path, name, total, fmt::join(names, ", "));
    }
    const io::StoredTensor& stored = found->second;
    if (stored.shape.size() != 2) {
      fail_usage("{}: tensor '{}' is [{}], expected a matrix [rows, columns]", path, name, fmt::join(stored.shape, ", "));
    }
    if (stored.stored_as != "F32") fail_usage("{}: tensor '{}' is {}, expected F32", path, name, stored.stored_as);
    matrix_ = file.tensor(name);
    std::uint64_t header = 0;
    std::memcpy(&header, bytes_.data(), sizeof header);
    begin_ = sizeof header + header + stored.begin;
    for (std::int64_t i = 0; i < matrix_.size(); ++i) {
      require(std::isfinite(matrix_.data()[i]), "{}: tensor '{}' holds {} in row {}, column {}", path, name,
              matrix_.data()[i], i / matrix_.dim(1), i % matrix_.dim(1));
    }
  }

  Tensor& matrix() { return matrix_; }
  kernels::GroupView rows() { return {matrix_.mutable_data(), matrix_.dim(0), matrix_.dim(1), matrix_.dim(1), 1}; }
  void write(const std::string& path) {
    if (matrix_.size() > 0) std::memcpy(bytes_.data() + begin_, matrix_.data(), matrix_.bytes());
    io::write_file_atomically(path, bytes_);
  }

 private:
  std::string bytes_;
  Tensor matrix_;
  std::size_t begin_ = 0;  // of the matrix in bytes_
};

// What a step did to the groups of one direction.
struct Effect {
  std::string direction;  // "rows", "columns"
  std::vector<float> before, after;
  std::vector<double> scales;

  std::int64_t zeros() const { return std::count(after.begin(), after.end(), 0.0f); }
};

// Norm after by norm before, where no single factor was applied.
std::vector<double> ratios(const Effect& effect) {
  std::vector<double> result;
  for (std::size_t g = 0; g < effect.before.size(); ++g) {
    const double before = static_cast<double>(effect.before[g]);
    result.push_back(before > 0.0 ? static_cast<double>(effect.after[g]) / before : 0.0);
  }
  return result;
}

Effect shrink_one(const Regularizer& regularizer, const std::string& direction, const kernels::GroupView& view, double step) {
  Effect effect{.direction = direction, .before = {}, .after = {}, .scales = {}};
  effect.before = regularizer.prox(view, step, Stream());
  effect.after = compress::group_norms(view, Stream());
  effect.scales = regularizer.scales(std::vector<double>(effect.before.begin(), effect.before.end()), step);
  return effect;
}

std::vector<Effect> shrink_both(const Regularizer& regularizer, const kernels::GroupView& rows, const Options& options,
                                json& report) {
  const compress::RowColumnPenalty penalty{regularizer, options.step, regularizer, options.step};
  const compress::RowColumnResult result = options.exact ? compress::shrink_rows_and_columns(rows, penalty, Stream())
                                                         : compress::shrink_rows_then_columns(rows, penalty, Stream());
  report["exact"] = options.exact;
  if (options.exact) {
    report["iterations"] = result.iterations, report["distance"] = result.distance;
  }
  std::vector<Effect> effects = {
      {"rows", result.row_norms, compress::group_norms(rows, Stream()), {}},
      {"columns", result.column_norms, compress::group_norms(compress::columns_of(rows), Stream()), {}}};
  for (Effect& effect : effects) effect.scales = ratios(effect);
  return effects;
}

void say_effect(const Effect& effect) {
  constexpr std::size_t kShown = 64;
  std::vector<std::vector<std::string>> table = {{effect.direction, "norm before", "scale", "norm after"}};
  for (std::size_t g = 0; g < std::min(effect.before.size(), kShown); ++g) {
    table.push_back({fmt::format("{}", g), fmt::format("{:.6g}", effect.before[g]), fmt::format("{:.6g}", effect.scales[g]),
                     fmt::format("{:.6g}", effect.after[g])});
  }
  say_table(table);
  if (effect.before.size() > kShown) say("  ... {} more; --json gives all", effect.before.size() - kShown);
  say("{} of {} {} are zero", effect.zeros(), effect.before.size(), effect.direction);
}

void describe_step(const Options& options) {
  if (options.file.empty()) fail_usage("FILE is missing: the safetensors file with the matrix");
  if (options.tensor.empty()) fail_usage("--tensor is missing: which matrix of {}?", options.file);
  const bool both = options.groups == "rows,columns";
  if (!both && options.groups != "rows" && options.groups != "columns") {
    fail_usage("--groups {}: expected rows, columns, or rows,columns", options.groups);
  }
  if (options.exact && !both) fail_usage("--exact is for --groups rows,columns; one direction is exact as it is");
  if (std::isnan(options.step)) fail_usage("--step is missing, or not a number: how far to shrink, e.g. --step 0.1");
  if (!(options.step >= 0.0 && std::isfinite(options.step))) fail_usage("--step {}: expected a finite number from 0", options.step);
  const auto regularizer = compress::make_regularizer(options.regularizer, compress::parse_options(options.options));
  if (!options.out.empty() && std::filesystem::exists(options.out)) fail_usage("--out {} exists already; choose another name", options.out);

  Patch patch(options.file, options.tensor);
  json report = {{"file", options.file}, {"tensor", options.tensor}, {"groups", options.groups}, {"regularizer", options.regularizer}, {"step", options.step}, {"options", regularizer->options()}, {"shape", {patch.matrix().dim(0), patch.matrix().dim(1)}}};
  std::vector<Effect> effects;
  if (both) {
    effects = shrink_both(*regularizer, patch.rows(), options, report);
  } else {
    const kernels::GroupView view = options.groups == "rows" ? patch.rows() : compress::columns_of(patch.rows());
    effects.push_back(shrink_one(*regularizer, options.groups, view, options.step));
  }

  double penalty = 0.0, penalty_after = 0.0;
  for (const Effect& effect : effects) {
    penalty += regularizer->penalty(effect.before), penalty_after += regularizer->penalty(effect.after);
    const std::pair<const char*, json> entries[] = {{"norms", effect.before}, {"norms_after", effect.after}, {"scales", effect.scales}, {"zeros", effect.zeros()}};
    for (const auto& [key, value] : entries) {
      if (both)
        report[key][effect.direction] = value;
      else
        report[key] = value;
    }
  }
  report["penalty"] = penalty, report["penalty_after"] = penalty_after;
  if (!options.out.empty()) patch.write(options.out);
  try {
    if (options.json == "-") {
      std::fputs((io::json_text(report, "prox", 2) + "\n").c_str(), stdout);
    } else if (!options.json.empty()) {
      io::write_json(options.json, report);
    }
  } catch (...) {
    if (!options.out.empty()) std::filesystem::remove(options.out);  // all of it or nothing
    throw;
  }
  // Said only now: a failure is one message.
  say("{} {}: {}, {}, step {}", options.file, options.tensor, patch.matrix().shape(), options.regularizer, options.step);
  if (both && !options.exact) say("sequential: rows, then columns");
  if (options.exact) {
    say("exact: {} iterations; the solution is at most {:.1e} of the matrix's norm away", report["iterations"].get<int>(),
        report["distance"].get<double>());
  }
  for (const Effect& effect : effects) say_effect(effect);
  say("penalty {:.6g} before, {:.6g} after", penalty, penalty_after);
  say("{}", options.out.empty() ? std::string("nothing written (no --out)") : "written to " + options.out);
}

void list_regularizers(const Options& options) {
  json report = json::array();
  for (const auto& [name, entry] : compress::regularizers()) {
    const RegularizerInfo& info = entry.info;
    say("{:<8} {}{}{}", name, info.equation, info.convex ? "   (convex)" : "", info.separable ? "" : "   (couples the groups of a layer)");
    say("         {}", info.source);
    json known = json::array();
    for (const compress::OptionInfo& option : info.options) {
      say("         {} = {}   {}; {}", option.name, option.value, range_text(option), option.meaning);
      known.push_back({{"name", option.name}, {"default", option.value}, {"above", option.above}, {"at_most", option.at_most}, {"meaning", option.meaning}});
    }
    report.push_back({{"name", name}, {"equation", info.equation}, {"source", info.source}, {"convex", info.convex}, {"separable", info.separable}, {"options", known}});
  }
  if (options.json == "-") {
    std::fputs((io::json_text(report, "regularisers", 2) + "\n").c_str(), stdout);
  } else if (!options.json.empty()) {
    io::write_json(options.json, report);
  }
}

}  // namespace

Action declare_prox(CLI::App& app) {
  auto options = std::make_shared<Options>();
  Flags flags(app);
  flags.option("FILE", options->file, "A safetensors file");
  flags.option("--tensor", options->tensor, "The matrix in it, stored as [rows, columns] in F32");
  flags.option("--groups", options->groups, "What shrinks as one: rows, columns, or rows,columns");
  flags.option("--regularizer", options->regularizer, "The penalty on the groups' norms (--list shows all)");
  app.add_option("--step", options->step, "The proximal step: learning rate times lambda");
  flags.option("--option", options->options, "NAME=NUMBER for the penalty, e.g. eps=1e-2; may be repeated")->delimiter(',')->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  flags.flag("--exact", options->exact, "With rows,columns: the minimiser of both penalties at once (convex ones), not rows, then columns");
  flags.group("Output");
  flags.option("--out", options->out, "The file with the shrunken matrix; everything else in it stays as it is");
  flags.option("--json", options->json, "Write the result as JSON to a file, or to standard output with -");
  flags.flag("--list", options->list, "Print every regulariser with its equation and options");
  app.footer(
      "With x_g the norm of group g before, x the one after:  x = argmin 1/2 (x - x_g)^2 + step * penalty(x)\n"
      "Examples:\n  hinge prox net.safetensors --tensor linear.weight --groups columns --regularizer l1/2 --step 0.1 --out smaller.safetensors\n"
      "  hinge prox net.safetensors --tensor linear.weight --regularizer logsum --option eps=1e-2 --step 0.05 --json -\n"
      "  hinge prox --list");
  return [options] {
    if (options->json == "-") lines_to_stderr();
    options->list ? list_regularizers(*options) : describe_step(*options);
  };
}

}  // namespace hinge::cli
