// hinge explain: why a layer kept what it kept.
#include <algorithm>

#include "engine/io/json.h"
#include "tools/hinge/commands.h"
#include "tools/hinge/console.h"
#include "tools/hinge/group_report.h"
#include "tools/hinge/session.h"

namespace hinge::cli {
namespace {

struct Options {
  std::string run, layer;
};

constexpr const char* kReport = "groups.json";

// A run with several targets has a report in each target's folder.
[[noreturn]] void fail_without_report(const std::string& run) {
  std::vector<std::string> below;
  if (std::filesystem::is_directory(run)) {
    for (const auto& entry : std::filesystem::directory_iterator(run)) {
      if (std::filesystem::exists(entry.path() / kReport)) below.push_back(entry.path().string());
    }
  }
  std::ranges::sort(below);
  if (!below.empty()) fail_usage("{}: this run made several networks; name one of {}", run, fmt::join(below, ", "));
  fail_usage("{}: no {} here: expected the folder of a run of 'hinge compress' behind its surgery", run, kReport);
}

void explain_layers(const nlohmann::json& report) {
  std::vector<std::vector<std::string>> rows = {{"groups", "stay", "of", "form", "bound by"}};
  for (const auto& set : report.at("sets")) {
    rows.push_back({set.at("set").get<std::string>(), fmt::format("{}", set.at("kept").size()), fmt::format("{}", set.at("scores").size()),
                    set.at("form").get<std::string>(), set.at("bound").get<std::string>()});
  }
  say_table(rows);
  for (const auto& refusal : report.at("refused")) {
    say("  {}: untouched: {}", refusal.at("layer").get<std::string>(), refusal.at("reason").get<std::string>());
  }
}

void explain(const Options& options) {
  const std::filesystem::path file = std::filesystem::path(options.run) / kReport;
  if (!std::filesystem::exists(file)) fail_without_report(options.run);
  const nlohmann::json report = io::read_json(file);
  try {
    if (options.layer.empty()) return explain_layers(report);
    for (const std::string& line : explain_layer(report, options.layer)) say("{}", line);
  } catch (const nlohmann::json::exception& error) {  // of an older version, or edited
    fail("{}: expected the report that this version's 'hinge compress' writes: {}", file.string(), error.what());
  }
}

}  // namespace

Action declare_explain(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("run", options->run, "Folder of a run of 'hinge compress'")->required();
  app.add_option("layer", options->layer, "Layer, e.g. layer1.0.conv1 (all of them in short, if not given)");
  app.footer("Examples:\n  hinge explain RUN\n  hinge explain RUN layer1.0.conv1");
  return [options] { explain(*options); };
}

}  // namespace hinge::cli
