#include "tools/report/sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "tools/report/markup.h"
#include "tools/report/plot.h"

namespace hinge::report {
namespace {

// The first `text_columns` columns are text: the first in one line, the others wrapped.
std::string table(const std::vector<std::string>& heading, const std::vector<std::vector<std::string>>& rows, std::size_t text_columns = 1) {
  const auto row_of = [&](const std::vector<std::string>& cells, const char* tag) {
    std::string row = "<tr>";
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const char* kind = i >= text_columns ? "" : i == 0 ? " class=\"text\""
                                                         : " class=\"text wide\"";
      row += fmt::format("<{0}{1}>{2}</{0}>", tag, kind, escaped(cells[i]));
    }
    return row + "</tr>";
  };
  std::string body;
  for (const auto& row : rows) body += row_of(row, "td");
  return fmt::format("<div class=\"scroll\"><table>{}<tbody>{}</tbody></table></div>", heading.empty() ? "" : "<thead>" + row_of(heading, "th") + "</thead>", body);
}

std::string card(const std::string& name, const std::string& value, const std::string& detail, const char* tone = "") {
  return fmt::format("<div class=\"card\"><div class=\"name\">{}</div><div class=\"value\">{}</div><div class=\"detail {}\">{}</div></div>", escaped(name), escaped(value), tone, escaped(detail));
}

std::string cards_of(const Compressed& c) {
  const double change = c.after.top1_error - c.before.top1_error;
  std::string text = card("top-1 error", percent(c.after.top1_error), fmt::format("{:+.2f} points, was {}", change, percent(c.before.top1_error)), change <= 0.0 ? "good" : "bad");
  text += card("multiply-adds kept", percent(share(static_cast<double>(c.after.macs), static_cast<double>(c.before.macs)), 1), fmt::format("{} of {}", thousands(c.after.macs), thousands(c.before.macs)));
  text += card("parameters kept", percent(share(static_cast<double>(c.after.parameters), static_cast<double>(c.before.parameters)), 1), fmt::format("{} of {}", thousands(c.after.parameters), thousands(c.before.parameters)));
  if (c.before.milliseconds && c.after.milliseconds) {
    text += card("time per image", percent(share(*c.after.milliseconds, *c.before.milliseconds), 1), fmt::format("{:.3f} of {:.3f} ms here", *c.after.milliseconds, *c.before.milliseconds));
  }
  return "<div class=\"cards\">" + text + "</div>";
}

std::vector<std::vector<std::string>> rows_of(const Compressed& c) {
  const auto top5 = [](const Score& s) { return s.top5_error ? percent(*s.top5_error) : std::string(); };
  std::vector<std::vector<std::string>> rows = {{"top-1 error", percent(c.before.top1_error), percent(c.after.top1_error), fmt::format("{:+.2f}", c.after.top1_error - c.before.top1_error)},
                                                {"top-5 error", top5(c.before), top5(c.after), ""},
                                                {"cross-entropy", fmt::format("{:.4f}", c.before.cross_entropy), fmt::format("{:.4f}", c.after.cross_entropy), ""}};
  const auto counted = [&](const char* name, std::int64_t before, std::int64_t after) {
    rows.push_back({name, thousands(before), thousands(after), percent(share(static_cast<double>(after), static_cast<double>(before)))});
  };
  counted("multiply-adds", c.before.macs, c.after.macs);
  counted("parameters", c.before.parameters, c.after.parameters);
  if (c.before.milliseconds && c.after.milliseconds) {
    rows.push_back({"ms per image", fmt::format("{:.4f}", *c.before.milliseconds), fmt::format("{:.4f}", *c.after.milliseconds), percent(share(*c.after.milliseconds, *c.before.milliseconds), 1)});
  }
  return rows;
}

// One value per epoch, along the whole run.
Series over_time(const Run& run, const std::string& name, int colour, double factor, std::optional<double> Epoch::*field) {
  Series series{.name = name, .colour = colour};
  bool any = false;
  for (std::size_t i = 0; i < run.epochs.size(); ++i) {
    const std::optional<double> value = run.epochs[i].*field;
    any |= value.has_value();
    series.points.emplace_back(static_cast<double>(i + 1), value ? factor * *value : NAN);
  }
  if (!any) series.points.clear();
  series.marks = series.points.size() <= 1;
  return series;
}

// Where a phase begins behind another.
std::vector<std::pair<double, std::string>> phase_borders(const Run& run) {
  std::vector<std::pair<double, std::string>> borders;
  for (std::size_t i = 0; i < run.epochs.size(); ++i) {
    if (i == 0 || run.epochs[i].phase != run.epochs[i - 1].phase) borders.emplace_back(i == 0 ? 1.0 : static_cast<double>(i) + 0.5, run.epochs[i].phase);
  }
  return borders.size() > 1 ? borders : std::vector<std::pair<double, std::string>>{};
}

std::string time_figure(const Run& run, const std::string& title, std::vector<Series> series, bool log_y = false) {
  std::erase_if(series, [](const Series& s) { return s.points.empty(); });
  return figure_of(Plot{.title = title, .x_label = "epoch of the run", .series = std::move(series), .log_y = log_y, .whole_x = true, .borders = phase_borders(run)});
}

// A curve that only the search has, over its epochs.
std::string search_figure(const Run& run, const std::string& title, double factor, std::optional<double> Epoch::*field, bool log_y, std::optional<double> target = {}) {
  Series series = over_time(run, "", 0, factor, field);
  std::erase_if(series.points, [](const auto& point) { return std::isnan(point.second); });
  if (series.points.empty()) return "";
  series.marks = series.points.size() <= 12;
  Plot plot{.title = title, .x_label = "epoch of the search", .series = {series}, .log_y = log_y, .whole_x = true};
  if (target) {
    plot.series[0].name = "reached";
    plot.series.push_back({.name = "target", .points = {{series.points.front().first, *target}, {series.points.back().first, *target}}, .colour = 7, .dashed = true});
  }
  return figure_of(plot);
}

// 100 * the share in "flops=0.5"; nothing where the target is of another kind.
std::optional<double> flops_target(const Run& run) {
  if (run.compressed.empty()) return std::nullopt;
  const std::string& target = run.budget ? run.budget->candidates.back() : run.compressed.back().target;
  if (!target.starts_with("flops=")) return std::nullopt;
  const double value = std::strtod(target.c_str() + 6, nullptr);
  return value > 0.0 ? std::optional(100.0 * value) : std::nullopt;
}

HeatMap heat_map(const Run& run, const std::string& title, auto bins_of) {
  HeatMap map{.title = title, .y_low = "0", .y_high = "1.9+", .columns = {}, .cells = {}};
  for (const Epoch& epoch : run.epochs) {
    if (epoch.histograms.empty()) continue;
    map.columns.push_back(std::to_string(epoch.number));
    map.cells.push_back(bins_of(epoch));
  }
  return map;
}

}  // namespace

std::string title_of(const Run& run) {
  const std::string network = run.architecture.empty() ? "A network" : run.architecture;
  return run.data.empty() ? network : network + " on " + run.data;
}

std::string short_name(const Run& run) {
  const std::filesystem::path path = std::filesystem::path(run.folder).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

std::string headline_section(const Run& run) {
  std::string sub = fmt::format("hinge {}", run.command);
  if (!run.compressed.empty()) sub += fmt::format(", method {}{}", run.method, run.mode.empty() ? "" : ", mode " + run.mode);
  if (run.budget) {
    sub += fmt::format(", at most {} points more held-out error", run.budget->increase);
  } else if (!run.compressed.empty()) {
    sub += ", target " + run.compressed.back().target;
  }
  if (!run.selected_by.empty()) sub += ", selected by " + run.selected_by;
  if (!run.finished.empty()) sub += ", finished " + run.finished;
  std::string html = fmt::format("<p class=\"soft\">{}</p>", escaped(sub));
  if (run.finished.empty()) html += "<p class=\"bad\">This run isn't finished: it has no result.json yet.</p>";
  const std::optional<std::string> chosen = run.budget ? run.budget->chosen : std::nullopt;  // the others are in the budget's table
  for (const Compressed& c : run.compressed) {
    if (chosen && c.target != *chosen) continue;
    if (run.compressed.size() > 1) html += fmt::format("<p><strong>{}</strong></p>", escaped(c.target));
    html += cards_of(c) + table({"", "before", "after", "change"}, rows_of(c));
  }
  if (run.trained) {
    html += "<div class=\"cards\">" + card("top-1 error", percent(run.trained->top1_error), fmt::format("cross-entropy {:.4f}", run.trained->cross_entropy)) +
            card("multiply-adds", thousands(run.trained->macs), "per image") + card("parameters", thousands(run.trained->parameters), "") + "</div>";
  }
  return html + "\n";
}

std::string trade_off_section(const std::vector<Run>& runs) {
  Plot plot{.title = "Top-1 error on the test images, %", .x_label = "multiply-adds kept, %", .series = {}};
  for (const Run& run : runs) {
    if (run.compressed.empty()) continue;
    Series series{.name = runs.size() > 1 ? short_name(run) : "compressed", .colour = static_cast<int>(plot.series.size()), .marks = true};
    const auto add = [&](const Score& score, double kept, const std::string& what) {
      series.points.emplace_back(kept, score.top1_error);
      series.labels.push_back(fmt::format("{}: {} error at {} of the multiply-adds", what, percent(score.top1_error), percent(kept, 1)));
    };
    add(run.compressed[0].before, 100.0, "before");
    for (const Compressed& c : run.compressed) add(c.after, share(static_cast<double>(c.after.macs), static_cast<double>(c.before.macs)), c.target);
    plot.series.push_back(std::move(series));
    if (run.expected.is_object() && run.expected.contains("top1_error") && run.expected.contains("flops") && run.expected["top1_error"].is_number() && run.expected["flops"].is_number()) {
      plot.series.push_back({.name = "the paper's row", .points = {{run.expected["flops"], run.expected["top1_error"]}}, .colour = static_cast<int>(plot.series.size()), .marks = true});
    }
  }
  const std::string figure = figure_of(plot);
  if (figure.empty()) return "";
  std::string note = "The right end is the network before. Down and to the left is better.";
  const bool controlled = std::ranges::any_of(runs, [](const Run& run) { return !run.method.empty() && run.method != "hinge"; });
  if (!controlled) note += " There is no control here: compare with a run of --method random, svd or l1-norm at the same target by naming both folders to hinge report.";
  return section("Trade-off", fmt::format("<p class=\"soft\">{}</p>{}", escaped(note), figure));
}

std::string budget_section(const Run& run) {
  if (!run.budget) return "";
  const ErrorBudget& budget = *run.budget;
  std::vector<std::vector<std::string>> rows;
  for (const ErrorBudget::Trial& trial : budget.trials) {
    rows.push_back({trial.target, percent(trial.held_out_error), fmt::format("{:+.2f}", trial.increase), trial.within ? "within" : "beyond", budget.chosen == trial.target ? "chosen" : ""});
  }
  const std::string verdict = budget.chosen ? fmt::format("Chosen: {}, the smallest that keeps within it.", *budget.chosen) : "No network keeps within it.";
  return section("Error budget",
                 fmt::format("<p{}>{}</p><p class=\"soft\">Held-out error {} before, at most {} allowed. Bisection over {} sizes on the path of one search; each that was tried was fine-tuned and "
                             "scored on the held-out images. The test images had no part in it.</p>{}",
                             budget.chosen ? "" : " class=\"bad\"", escaped(verdict), percent(budget.before), percent(budget.before + budget.increase), budget.candidates.size(),
                             table({"network", "held-out error", "points", "the budget", ""}, rows)));
}

std::string training_section(const Run& run) {
  std::string figures = time_figure(run, "Top-1 error, %", {over_time(run, "training images", 0, 1.0, &Epoch::train_error), over_time(run, "held-out images", 1, 1.0, &Epoch::held_out_error)});
  figures += time_figure(run, "Loss", {over_time(run, "training loss", 0, 1.0, &Epoch::train_loss), over_time(run, "held-out cross-entropy", 1, 1.0, &Epoch::held_out_loss)});
  figures += search_figure(run, "FLOPs ratio in the search, %", 100.0, &Epoch::flops_ratio, false, flops_target(run));
  figures += search_figure(run, "Lambda in the search", 1.0, &Epoch::lambda, true);
  figures += search_figure(run, "Penalty in the search", 1.0, &Epoch::penalty, false);
  return figures.empty() ? "" : section("Over time", "<div class=\"grid\">" + figures + "</div>");
}

std::string histogram_section(const Run& run) {
  std::size_t sets = 0;
  for (const Epoch& epoch : run.epochs) sets = std::max(sets, epoch.histograms.size());
  if (sets == 0) return "";
  const auto sum_of = [](const Epoch& epoch) {
    std::vector<double> sum;
    for (const auto& bins : epoch.histograms) {
      sum.resize(std::max(sum.size(), bins.size()), 0.0);
      for (std::size_t b = 0; b < bins.size(); ++b) sum[b] += bins[b];
    }
    return sum;
  };
  std::string layers;
  for (std::size_t s = 0; s < sets; ++s) {
    const std::string name = s < run.sets.size() ? run.sets[s] : fmt::format("set {}", s + 1);
    layers += figure_of(heat_map(run, name, [&](const Epoch& epoch) {
      std::vector<double> bins;
      if (s < epoch.histograms.size()) bins.assign(epoch.histograms[s].begin(), epoch.histograms[s].end());
      return bins;
    }));
  }
  return section("Group norms through the search",
                 "<p class=\"soft\">Each column is an epoch, each square a range of group norms (relative to the mean of the layer's living groups); the stronger its colour, the more groups it holds. "
                 "The lowest row fills as groups go to zero.</p>" +
                     figure_of(heat_map(run, "All layers", sum_of)) + "<details><summary>Every layer</summary><div class=\"grid\">" + layers + "</div></details>");
}

std::string proof_section(const Run& run) {
  std::vector<std::vector<std::string>> rows;
  for (const Compressed& c : run.compressed) {
    if (!c.proof) continue;
    const Proof& p = *c.proof;
    rows.push_back({c.target, p.relative <= p.bound ? "holds" : "fails", fmt::format("{:.1e}", p.relative), fmt::format("{:.0e}", p.bound), thousands(p.images), fmt::format("{:.2e}", p.largest_difference), fmt::format("{:.1f}", p.largest_logit)});
  }
  if (rows.empty()) return "";
  return section("Proof", "<p class=\"soft\">Before fine-tuning, the network with its removed groups set to zero and the physically smaller one were run on the same test images.</p>" +
                              table({"target", "the proof", "relative difference", "allowed", "images", "largest difference of a logit", "largest logit"}, rows));
}

std::string origin_section(const Run& run) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, value] : run.environment) rows.push_back({name, value});
  std::string html = table({}, rows, 2);
  if (run.config.is_object()) {
    std::string command;
    for (const std::string& part : command_line(run.config)) command += fmt::format("<span>{}</span> ", escaped(part));
    html += "<p class=\"soft above\">The command, with every option it ran with:</p><pre>" + command + "</pre>";
  }
  return section("Where it comes from", html);
}

std::string comparison_section(const std::vector<Run>& runs) {
  std::vector<std::vector<std::string>> rows;
  for (const Run& run : runs) {
    for (const Compressed& c : run.compressed) {
      rows.push_back({short_name(run), run.method, c.target, percent(c.after.top1_error), fmt::format("{:+.2f}", c.after.top1_error - c.before.top1_error),
                      percent(share(static_cast<double>(c.after.macs), static_cast<double>(c.before.macs)), 1), percent(share(static_cast<double>(c.after.parameters), static_cast<double>(c.before.parameters)), 1),
                      c.before.milliseconds && c.after.milliseconds ? percent(share(*c.after.milliseconds, *c.before.milliseconds), 1) : "", percent(c.before.top1_error), title_of(run), c.proof ? (c.proof->relative <= c.proof->bound ? "holds" : "fails") : ""});
    }
    if (run.trained) rows.push_back({short_name(run), "hinge " + run.command, "", percent(run.trained->top1_error), "", "", "", "", "", title_of(run), ""});
  }
  if (rows.empty()) return "";
  return section("Side by side", table({"run", "method", "target", "error", "points", "multiply-adds kept", "parameters kept", "time kept", "error before", "network", "proof"}, rows));
}

}  // namespace hinge::report
