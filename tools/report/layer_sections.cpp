// The parts of a report that go layer by layer, as bars: what stays of each, and the time it takes.
#include <fmt/format.h>

#include <algorithm>

#include "tools/report/markup.h"
#include "tools/report/sections.h"

namespace hinge::report {
namespace {

std::string layer_row(const Layer& layer) {
  static constexpr const char* kFates[] = {"decomposed", "pruned", "kept"};
  const char* fate = kFates[static_cast<int>(layer.fate)];
  const double part = layer.groups > 0 ? 100.0 * layer.kept / layer.groups : 100.0;
  const std::string carriers = layer.carriers > 0 ? fmt::format(" + {} to carry constants", layer.carriers) : "";
  const std::string count = layer.groups == 0 ? "left whole" : fmt::format("{} of {} {}{}", layer.kept, layer.groups, layer.unit, carriers);
  return fmt::format(
      "<div class=\"layer\"><span class=\"name\">{}</span><span class=\"bar-cell\"><svg class=\"bar\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{:.0f} % stay\">"
      "<rect class=\"was\" width=\"100\" height=\"10\"/><rect class=\"{}\" width=\"{:.2f}\" height=\"10\"/></svg></span><span class=\"count\">{}</span><span class=\"reason\">{}: {}</span></div>",
      escaped(layer.name), part, fate, part, escaped(count), fate, escaped(layer.reason));
}

std::string layers_of(const Compressed& c) {
  if (c.layers.empty()) return "";
  std::string rows;
  for (const Layer& layer : c.layers) rows += layer_row(layer);
  return "<div class=\"layers\">" + rows + "</div>";
}

// Bars on one scale: the longest is the layer that took longest.
std::string times_of(const Compressed& c) {
  double longest = 0.0, before = 0.0, after = 0.0;
  for (const LayerTime& time : c.times) longest = std::max({longest, time.before, time.after}), before += time.before, after += time.after;
  if (!(longest > 0.0)) return "";
  std::string rows;
  for (const LayerTime& time : c.times) {
    const bool slower = time.after > 1.02 * time.before;  // less is noise
    rows += fmt::format(
        "<div class=\"layer\"><span class=\"name\">{}</span><span class=\"bar-cell\"><svg class=\"bar\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{:.0f} % of the time\">"
        "<rect class=\"was\" width=\"{:.2f}\" height=\"10\"/><rect class=\"{}\" width=\"{:.2f}\" y=\"{}\" height=\"{}\"/></svg></span><span class=\"count\">{:.2f} &#8594; {:.2f} &#181;s</span>"
        "<span class=\"reason\">{}</span></div>",
        escaped(time.layer), share(time.after, time.before), 100.0 * time.before / longest, slower ? "slower" : "decomposed", 100.0 * time.after / longest, slower ? 3 : 0,
        slower ? 4 : 10, 1e3 * time.before, 1e3 * time.after, time.before > 0.0 ? percent(share(time.after, time.before), 0) : "new");
  }
  return fmt::format("<p class=\"soft\">Microseconds per image in calls of {}, measured on the machine of the run, the two networks in turns; all layers together {:.1f} before and {:.1f} after ({}).</p>",
                     c.timed_batch, 1e3 * before, 1e3 * after, percent(share(after, before), 1)) +
         "<div class=\"layers\">" + rows + "</div>";
}

// Of each compressed network; folded up where there are several.
std::string per_network(const Run& run, std::string (*content_of)(const Compressed&)) {
  std::string html;
  for (const Compressed& c : run.compressed) {
    const std::string content = content_of(c);
    if (content.empty()) continue;
    html += run.compressed.size() > 1 ? fmt::format("<details><summary>{}</summary>{}</details>", escaped(c.target), content) : content;
  }
  return html;
}

}  // namespace

std::string layers_section(const Run& run) {
  const std::string html = per_network(run, layers_of);
  if (html.empty()) return "";
  return section("Layers",
                 "<div class=\"key\"><span><span class=\"k0\"></span>decomposed into two thin ones</span><span><span class=\"k1\"></span>channels pruned</span>"
                 "<span><span class=\"k7\"></span>kept</span><span><span class=\"kw\"></span>removed</span></div>" +
                     html);
}

std::string times_section(const Run& run) {
  const std::string html = per_network(run, times_of);
  if (html.empty()) return "";
  return section("Time per layer", "<div class=\"key\"><span><span class=\"kw\"></span>before</span><span><span class=\"k0\"></span>after</span><span><span class=\"k4\"></span>after, where it is slower</span></div>" + html);
}

}  // namespace hinge::report
