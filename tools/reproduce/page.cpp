// The results as a page for a browser; table.h.
#include <fmt/format.h>

#include <map>

#include "tools/report/markup.h"
#include "tools/report/page.h"
#include "tools/report/plot.h"
#include "tools/reproduce/table.h"

namespace hinge::reproduce {
namespace {

using report::escaped;

std::string figure_of_network(const std::string& title, const std::vector<const Row*>& rows) {
  std::map<std::string, report::Series> methods;  // by method and epochs
  report::Series paper{.name = "the paper", .points = {}, .colour = 7, .marks = true};
  for (const Row* row : rows) {
    for (const Mean& mean : row->methods) {
      const std::string name = fmt::format("{}, {} epochs", mean.entries[0].method, row->epochs);
      report::Series& series = methods.try_emplace(name, report::Series{.name = name, .points = {}, .marks = true}).first->second;
      for (const Entry& entry : mean.entries) {
        series.points.emplace_back(entry.flops, entry.error);
        series.labels.push_back(fmt::format("{}: {:.2f} % error at {:.2f} % of the multiply-adds, seed {}", entry.folder, entry.error, entry.flops, entry.seed));
      }
    }
    if (row->paper) {
      paper.points.emplace_back(row->paper->flops, row->paper->error);
      paper.labels.push_back(fmt::format("the paper: {:.2f} % at {:.2f} %, from {:.2f} %", row->paper->error, row->paper->flops, row->paper->baseline_error));
    }
  }
  report::Plot plot{.title = title + ": top-1 error, %", .x_label = "multiply-adds kept, %", .series = {}};
  for (auto& [name, series] : methods) {
    series.colour = static_cast<int>(plot.series.size()) % (report::kColours - 1);
    plot.series.push_back(std::move(series));
  }
  if (!paper.points.empty()) plot.series.push_back(std::move(paper));
  return report::figure_of(plot);
}

}  // namespace

std::string page_of(const std::vector<Row>& rows) {
  std::map<std::string, std::vector<const Row*>> networks;
  for (const Row& row : rows) networks[row.network + ", " + row.data].push_back(&row);
  std::string figures, table, verdicts;
  for (const auto& [name, of_network] : networks) figures += figure_of_network(name, of_network);
  for (const Row& row : rows) {
    for (const Mean& mean : row.methods) {
      for (const Entry& e : mean.entries) {
        table += fmt::format("<tr><td>{}</td><td class=\"text\">{}</td><td>{}</td><td>{:.2f}</td><td>{:.2f}</td><td>{:.2f}</td><td>{:.2f}</td><td>{}</td><td>{}</td><td>{}</td></tr>", escaped(row.network + ", " + row.data),
                             escaped(e.method), row.epochs, e.error, e.error_before, e.flops, e.parameters, e.seed, e.proof_holds ? "holds" : "fails", escaped(e.folder));
      }
    }
    verdicts += fmt::format("<li>{}</li>", escaped(fmt::format("{}, {}, {}, {} epochs: {}", row.network, row.data, row.target, row.epochs, verdict_of(row))));
  }
  return report::document(
      "Results", fmt::format("<p class=\"soft\">Every point is a run whose folder it names. Down and to the left is better.</p><div class=\"grid\">{}</div><section><h2>Against the controls</h2><ul>{}</ul></section>"
                             "<section><h2>Runs</h2><div class=\"scroll\"><table><thead><tr><th>network</th><th class=\"text\">method</th><th>epochs</th><th>error, %</th><th>before</th><th>multiply-adds, %</th>"
                             "<th>parameters, %</th><th>seed</th><th>proof</th><th>folder</th></tr></thead><tbody>{}</tbody></table></div></section>",
                             figures, verdicts, table));
}

}  // namespace hinge::reproduce
