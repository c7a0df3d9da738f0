// The report: one page from a run's files, well-formed, self-contained, with the run's numbers and nothing executable.
#include <cmath>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/io/json.h"
#include "engine/nn/model_file.h"
#include "tests/support/catch.h"
#include "tests/support/tiny.h"
#include "tests/tools/process.h"
#include "tools/report/markup.h"
#include "tools/report/page.h"
#include "tools/report/plot.h"

using namespace hinge;
using namespace hinge::testing;
using nlohmann::json;

namespace {

const std::string kSample = HINGE_SOURCE_DIR "/docs/results/resnet20-cifar10-flops0.5";

int count_of(const std::string& text, const std::string& part) {
  int count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

// As XML, by a parser that isn't ours; true without Python.
bool is_well_formed(const std::string& page, const io::Scratch& scratch) {
  if (std::system("/usr/bin/python3 -c 'import xml.etree.ElementTree' >/dev/null 2>&1") != 0) return true;
  std::ofstream(scratch / "page.xml") << page.substr(page.find('\n') + 1);  // without the DOCTYPE of HTML
  return std::system(("/usr/bin/python3 -c 'import sys, xml.etree.ElementTree as e; e.parse(sys.argv[1])' " + (scratch / "page.xml").string()).c_str()) == 0;
}

void check_self_contained(const std::string& page) {
  for (const char* part : {"<script", "<link", "<img", "<iframe", "src=", "href=", "url(", "@import", "http:", "https:", "javascript:"}) {
    INFO(part);
    CHECK(page.find(part) == std::string::npos);
  }
  CHECK(page.find("default-src 'none'") != std::string::npos);
  CHECK(page.size() < 500'000);  // can be mailed
}

std::filesystem::path copy_of_sample(const io::Scratch& scratch, const std::string& name) {
  std::filesystem::copy(kSample, scratch / name);
  return scratch / name;
}

void change(const std::filesystem::path& file, const auto& act) {
  json value = io::read_json(file);
  act(value);
  io::write_json(file, value);
}

}  // namespace

TEST_CASE("the page of a run shows the numbers of its files") {
  const io::Scratch scratch;
  const std::string page = report::page_of({report::read_run(kSample)});
  CHECK(is_well_formed(page, scratch));
  check_self_contained(page);
  for (const char* text : {"resnet20 on cifar10", "8.27 %", "9.22 %", "+0.95", "20,187,776", "40,551,040", "130,250", "49.78 %", "0.5210", "conv1", "left whole", "8 of 16 ranks", "13 must stay",
                           "Intel(R) Xeon(R) Processor", "hinge compress", "--held-out 5000", "--mean 0.485,0.456,0.406", "1,000", "holds", "prefers-color-scheme: dark"}) {
    INFO(text);
    CHECK(page.find(text) != std::string::npos);
  }
  const json groups = io::read_json(kSample + "/groups.json");
  CHECK(count_of(page, "<div class=\"layer\">") == static_cast<int>(groups["sets"].size() + groups["refused"].size()));
  CHECK(count_of(page, "<figure>") == 1 + 5 + 1 + static_cast<int>(groups["sets"].size()));  // trade-off, curves, histograms
}

TEST_CASE("the page says what each layer took before and after, the slower ones marked") {
  const io::Scratch scratch;
  const auto run = copy_of_sample(scratch, "run");
  const std::string without = report::page_of({report::read_run(run)});
  CHECK(without.find("Time per layer") == std::string::npos);
  change(run / "result.json", [](json& result) {
    result["layer_times"] = {{"batch", 128}, {"method", "images"}, {"layers", {{{"layer", "layer1.0.conv1"}, {"before", 0.004}, {"after", 0.001}}, {{"layer", "<b>pool"}, {"before", 0.001}, {"after", 0.002}}}}};
  });
  const std::string page = report::page_of({report::read_run(run)});
  CHECK(is_well_formed(page, scratch));
  check_self_contained(page);
  for (const char* text : {"Time per layer", "in calls of 128", "5.0 before and 3.0 after (60.0 %)", "4.00 &#8594; 1.00 &#181;s", ">25 %<", "class=\"slower\" width=\"50.00\"", "&lt;b&gt;pool"}) {
    INFO(text);
    CHECK(page.find(text) != std::string::npos);
  }
  CHECK(count_of(page, "class=\"slower\"") == 1);
  change(run / "result.json", [](json& result) { result["layer_times"] = {{"batch", "many"}}; });
  CHECK_THAT(io::error_of([&] { report::read_run(run); }), contains("result.json: not as hinge writes it"));
}

TEST_CASE("names from files are shown, never executed") {
  const io::Scratch scratch;
  const std::string hostile = "</text></svg><script>alert('x')</script> & \"quoted\" \x01";
  const auto run = copy_of_sample(scratch, "run");
  change(run / "groups.json", [&](json& groups) {
    groups["sets"][0]["layer"] = groups["sets"][0]["set"] = hostile;
    groups["refused"][0]["layer"] = groups["refused"][0]["reason"] = hostile;
  });
  change(run / "result.json", [&](json& result) {
    for (const char* key : {"architecture", "method", "mode", "target", "finished", "selected_by"}) result[key] = hostile;
    result["environment"][hostile] = hostile;
    result["config"]["options"]["data"] = result["config"]["options"]["out"] = hostile;
  });
  const std::string page = report::page_of({report::read_run(run)}), both = report::page_of({report::read_run(run), report::read_run(run)});
  for (const std::string& text : {page, both}) {
    CHECK(is_well_formed(text, scratch));
    check_self_contained(text);
    CHECK(count_of(text, "&lt;script&gt;") > 10);
  }
  CHECK(report::escaped("<a b=\"c\">'&\x02") == "&lt;a b=&quot;c&quot;&gt;&#39;&amp;\xEF\xBF\xBD");
}

TEST_CASE("several runs stand side by side, each folded up below") {
  const io::Scratch scratch;
  const auto control = copy_of_sample(scratch, "control");
  change(control / "result.json", [](json& result) { result["method"] = "random", result["after"]["top1_error"] = 11.5; });
  const std::string page = report::page_of({report::read_run(kSample), report::read_run(control)});
  CHECK(is_well_formed(page, scratch));
  for (const char* text : {"2 runs compared", "Side by side", "resnet20-cifar10-flops0.5", "control", "random", "11.50 %", "+3.23"}) CHECK(page.find(text) != std::string::npos);
  CHECK(page.find("There is no control here") == std::string::npos);
  CHECK(count_of(page, "<summary>") == 4);  // two runs, and every layer's histograms in each
}

TEST_CASE("an unfinished run has a page, a damaged file is named, and a folder that is no run is refused") {
  const io::Scratch scratch;
  const auto run = copy_of_sample(scratch, "run");
  io::write_json(run / "config.json", io::read_json(run / "result.json")["config"]);
  const json result = io::read_json(run / "result.json");
  std::filesystem::remove(run / "result.json");
  std::string page = report::page_of({report::read_run(run)});
  CHECK(page.find("This run isn't finished") != std::string::npos);
  CHECK(page.find("Top-1 error, %") != std::string::npos);
  CHECK(is_well_formed(page, scratch));
  json wrong = result;
  wrong["before"]["macs"] = "many";
  io::write_json(run / "result.json", wrong);
  CHECK_THAT(io::error_of([&] { report::read_run(run); }), contains("result.json: not as hinge writes it"));
  io::write_json(run / "result.json", result);
  std::ofstream(run / "metrics.jsonl", std::ios::app) << "{\"phase\": 3}\n";
  CHECK_THAT(io::error_of([&] { report::read_run(run); }), contains("metrics.jsonl: line 29"));
  CHECK_THROWS_AS(report::read_run(scratch / "nowhere"), UsageError);
  CHECK(run_hinge({"report", (scratch / "nowhere").string()}).code == 2);
  CHECK(run_hinge({"report", kSample, kSample}).code == 2);  // --out is missing
}

TEST_CASE("every compress run writes its page, and the command on it repeats the run's config", "[night]") {
  const io::Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch.folder() / name).string(); };
  write_tiny_cifar(at("it's data"), 40);
  write_network(at("net.safetensors"), tiny_network(1));
  const Outcome made = run_hinge({"compress", "--weights", at("net.safetensors"), "--data", "cifar10", "--data-dir", at("it's data"), "--target", "flops=0.8,0.6", "--search-epochs", "1", "--epochs", "1",
                                  "--held-out", "20", "--batch", "32", "--nesterov", "--milestones", "0.25,0.5", "--out", at("run")});
  INFO(made.output);
  REQUIRE(made.code == 0);
  const std::string page = slurp(at("run/report.html"));
  CHECK(is_well_formed(page, scratch));
  check_self_contained(page);
  CHECK(page.find("flops=0.8") != std::string::npos);
  // Every convolution was timed, before and after.
  const json result = io::read_json(at("run/result.json"));
  REQUIRE(result.at("networks").size() == 2);
  const Network original = network_from(read_model_file(at("net.safetensors")), std::nullopt, "net");
  for (const json& network : result["networks"]) {
    std::map<std::string, json> times;
    for (const json& layer : network.at("layer_times").at("layers")) times[layer.at("layer")] = layer;
    for (const GraphNode& node : original.graph().nodes) {
      if (node.kind != OpKind::kConv2d) continue;
      INFO(node.name);
      REQUIRE(times.contains(node.name));
      CHECK(times[node.name].at("before").get<double>() > 0.0);
      CHECK(times[node.name].at("after").get<double>() > 0.0);
    }
  }
  CHECK(page.find("Time per layer") != std::string::npos);
  // The same page from the same files.
  REQUIRE(run_hinge({"report", at("run"), "--out", at("again.html")}).code == 0);
  CHECK(slurp(at("again.html")) == page);

  json config = io::read_json(at("run/config.json"));
  config["options"]["out"] = at("repeated");
  std::string command;
  for (const std::string& part : report::command_line(config)) command += part + " ";
  REQUIRE(command.starts_with("hinge "));
  REQUIRE(std::system((std::string(HINGE_BINARY) + command.substr(5) + " >" + at("log") + " 2>&1").c_str()) == 0);
  CHECK(io::read_json(at("repeated/config.json")) == config);
}

TEST_CASE("ticks are round, in order and inside") {
  for (double low : {-3.7, 0.0, 0.001, 12.0, 1e6}) {
    for (double width : {1e-3, 0.7, 1.0, 9.0, 40.0, 1e5}) {
      for (int count : {2, 5, 7}) {
        const std::vector<double> found = report::ticks(low, low + width, count);
        INFO(low << " " << width << " " << count);
        CHECK(found.size() <= static_cast<std::size_t>(count) + 1);
        CHECK(!found.empty());
        for (std::size_t i = 0; i < found.size(); ++i) {
          CHECK(found[i] >= low - 1e-6 * width);
          CHECK(found[i] <= low + width + 1e-6 * width);
          if (i > 0) CHECK(found[i] > found[i - 1]);
        }
      }
    }
  }
  CHECK(report::ticks(0.0, 10.0, 5) == std::vector<double>{0.0, 2.0, 4.0, 6.0, 8.0, 10.0});
  CHECK(report::ticks(1.0, 1.0, 5).empty());
  CHECK(report::ticks(91.0 + 2.0 / 3.0, std::nextafter(91.0 + 2.0 / 3.0, 100.0), 5).empty());
  CHECK(report::ticks(2.0, 1.0, 5).empty());
  CHECK(report::ticks(NAN, 1.0, 5).empty());
}

TEST_CASE("what can't be drawn is a gap, and a plot of nothing is no plot") {
  using report::Plot;
  const auto figure = [](std::vector<std::pair<double, double>> points, bool log_y = false) {
    return report::figure_of(Plot{.title = "t", .x_label = "x", .series = {{.name = "s", .points = std::move(points)}}, .log_y = log_y});
  };
  CHECK(figure({}) == "");
  CHECK(figure({{1.0, NAN}}) == "");
  CHECK(figure({{1.0, -1.0}}, true) == "");
  CHECK(count_of(figure({{1.0, 1.0}, {2.0, NAN}, {3.0, 2.0}, {4.0, 3.0}}), "<path class=\"line") == 1);
  const std::string gap = figure({{1.0, 1.0}, {2.0, INFINITY}, {3.0, 2.0}});
  CHECK(gap.find("nan") == std::string::npos);
  CHECK(gap.find("inf") == std::string::npos);
  for (const std::string& svg : {figure({{5.0, 5.0}}), figure({{1.0, 2.0}, {2.0, 2.0}}), figure({{1.0, 275.0 / 3.0}, {2.0, std::nextafter(275.0 / 3.0, 0.0)}}), figure({{1.0, 0.0}}), figure({{1.0, 1e-8}, {2.0, 1e3}}, true), figure({{1.0, 2e-3}, {2.0, 2.1e-3}}, true)}) {
    CHECK(svg.find("nan") == std::string::npos);
    CHECK(svg.find("inf") == std::string::npos);
    CHECK(svg.find("text-anchor=\"end\"") != std::string::npos);  // it has a scale
  }
}
