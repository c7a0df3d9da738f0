#include "tools/reproduce/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "engine/core/error.h"
#include "engine/io/json.h"
#include "tools/hinge/recipe.h"

namespace hinge::reproduce {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::vector<Entry> entries_of(const fs::path& file, const std::string& folder) {
  const json result = io::read_json(file);
  std::vector<Entry> entries;
  try {
    if (!result.is_object() || result.value("command", "") != "compress") return entries;
    const json& options = result.at("config").at("options");
    for (const json& network : result.contains("networks") ? result["networks"] : json::array({result})) {
      entries.push_back({.folder = folder,
                         .network = result.at("architecture"),
                         .data = options.value("data", ""),
                         .target = network.at("target"),
                         .method = result.at("method"),
                         .search_epochs = result.at("search_epochs"),
                         .epochs = result.at("search_epochs").get<int>() + result.at("finetune_epochs").get<int>(),
                         .seed = options.value("seed", std::int64_t{0}),
                         .error_before = network.at("before").at("top1_error"),
                         .error = network.at("after").at("top1_error"),
                         .flops = 100.0 * network.at("flops_ratio").get<double>(),
                         .parameters = 100.0 * network.at("parameters_ratio").get<double>(),
                         .selected_by = result.value("selected_by", ""),
                         .proof_holds = network.at("proof").at("relative").get<double>() <= network.at("proof").at("bound").get<double>()});
    }
  } catch (const json::exception& error) {
    fail("{}: not as hinge writes it: {}", file.string(), error.what());
  }
  return entries;
}

Mean mean_of(std::vector<Entry> entries) {
  Mean mean{.entries = std::move(entries)};
  const auto n = static_cast<double>(mean.entries.size());
  for (const Entry& entry : mean.entries) mean.error += entry.error / n;
  for (const Entry& entry : mean.entries) mean.spread += (entry.error - mean.error) * (entry.error - mean.error);
  mean.spread = n > 1.0 ? std::sqrt(mean.spread / (n - 1.0)) : 0.0;
  return mean;
}

std::string error_text(const Mean& mean) { return mean.entries.size() > 1 ? fmt::format("{:.2f} ± {:.2f}", mean.error, mean.spread) : fmt::format("{:.2f}", mean.error); }

}  // namespace

std::vector<Entry> entries_below(const fs::path& folder) {
  require(fs::is_directory(folder), "{}: no such folder to look for results in", folder.string());
  std::vector<fs::path> files;
  for (const fs::directory_entry& found : fs::recursive_directory_iterator(folder)) {
    if (found.path().filename() == "result.json") files.push_back(found.path());
  }
  std::ranges::sort(files);
  std::vector<Entry> entries;
  for (const fs::path& file : files) {
    for (Entry& entry : entries_of(file, file.parent_path().lexically_relative(folder).string())) entries.push_back(std::move(entry));
  }
  return entries;
}

std::optional<PaperRow> paper_row(const std::string& network, const std::string& data, double flops) {
  std::optional<PaperRow> nearest;
  for (const std::string& name : cli::recipe_names()) {
    const cli::Recipe recipe = cli::recipe_of(name);
    if (recipe.network != network || recipe.data != data || !recipe.expected.contains("flops")) continue;
    const PaperRow row{name, recipe.expected.at("top1_error"), recipe.expected.at("baseline_error"), recipe.expected.at("flops"), recipe.expected.at("parameters")};
    if (std::fabs(row.flops - flops) <= 1.5 && (!nearest || std::fabs(row.flops - flops) < std::fabs(nearest->flops - flops))) nearest = row;
  }
  return nearest;
}

std::vector<Row> rows_of(const std::vector<Entry>& entries) {
  std::map<std::tuple<std::string, std::string, std::string, int>, std::map<std::string, std::vector<Entry>>> groups;
  for (const Entry& entry : entries) groups[{entry.network, entry.data, entry.target, entry.epochs}][entry.method].push_back(entry);
  std::vector<Row> rows;
  for (auto& [key, methods] : groups) {
    Row row;
    std::tie(row.network, row.data, row.target, row.epochs) = key;
    double flops = 0.0;
    for (auto& [method, of_method] : methods) {
      flops = of_method.front().flops;
      row.methods.push_back(mean_of(std::move(of_method)));
    }
    std::ranges::stable_sort(row.methods, [](const Mean& a, const Mean& b) {
      const bool a_ours = a.entries[0].method == "hinge", b_ours = b.entries[0].method == "hinge";
      return a_ours != b_ours ? a_ours : a.error < b.error;
    });
    row.paper = paper_row(row.network, row.data, flops);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string verdict_of(const Row& row) {
  if (row.methods[0].entries[0].method != "hinge") return "only controls here";
  if (row.methods.size() == 1) return "no control at this target and number of epochs";
  std::string better, worse;
  for (std::size_t i = 1; i < row.methods.size(); ++i) {
    const double ahead = row.methods[i].error - row.methods[0].error;
    std::string& list = ahead > 0.0 ? better : worse;
    list += fmt::format("{}{} ({:+.2f})", list.empty() ? "" : ", ", row.methods[i].entries[0].method, -ahead);
  }
  std::string text = better.empty() ? "" : "better than " + better;
  if (!worse.empty()) text += (text.empty() ? "" : "; ") + ("not better than " + worse);
  const bool one = std::ranges::all_of(row.methods, [](const Mean& mean) { return mean.entries.size() == 1; });
  return text + (one ? "; one seed" : "");
}

std::string markdown_of(const std::vector<Row>& rows) {
  std::string text =
      "| network, data | target | epochs | method | seeds | top-1 error, % | before | MACs kept, % | parameters kept, % | the paper: error / before at MACs | chosen by | runs |\n"
      "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.methods.size(); ++i) {
      const Mean& mean = row.methods[i];
      const Entry& first = mean.entries[0];
      std::string folders;
      for (const Entry& entry : mean.entries) folders += (folders.empty() ? "" : ", ") + entry.folder + (entry.proof_holds ? "" : " (**proof fails**)");
      const std::string paper = row.paper && first.method == "hinge" ? fmt::format("{:.2f} / {:.2f} at {:.1f}", row.paper->error, row.paper->baseline_error, row.paper->flops) : "";
      text += fmt::format("| {} | {} | {} | {} | {} | {} | {:.2f} | {:.2f} | {:.2f} | {} | {} | {} |\n", i == 0 ? row.network + ", " + row.data : "", i == 0 ? row.target : "", i == 0 ? fmt::format("{}", row.epochs) : "",
                          first.method, mean.entries.size(), error_text(mean), first.error_before, first.flops, first.parameters, paper, first.selected_by, folders);
    }
  }
  text += "\n";
  for (const Row& row : rows) text += fmt::format("- {}, {}, {}, {} epochs: {}.\n", row.network, row.data, row.target, row.epochs, verdict_of(row));
  return text;
}

}  // namespace hinge::reproduce
