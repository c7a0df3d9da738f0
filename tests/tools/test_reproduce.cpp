// hinge reproduce: which runs make a row, how long they take, what the table says, and that a list can be cut off anywhere.
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/core/error.h"
#include "engine/io/json.h"
#include "tests/support/catch.h"
#include "tests/support/tiny.h"
#include "tests/tools/process.h"
#include "tests/tools/tiny_bench.h"
#include "tools/hinge/commands.h"
#include "tools/reproduce/jobs.h"
#include "tools/reproduce/progress.h"
#include "tools/reproduce/table.h"

using namespace hinge;
using namespace hinge::testing;
using nlohmann::json;
using reproduce::Job;

namespace {

const std::string kResults = HINGE_SOURCE_DIR "/docs/results";

std::string value_of(const Job& job, const std::string& option) {
  for (const std::string& word : job.words) {
    if (word.starts_with("--" + option + "=")) return word.substr(option.size() + 3);
  }
  return "";
}

// The options are ones that the command has, and take such values.
void check_parses(const Job& job) {
  INFO(job.folder.string());
  CLI::App app;
  const cli::Action action = job.words[0] == "train" ? cli::declare_train(app) : cli::declare_compress(app);
  CHECK_NOTHROW(app.parse(std::vector<std::string>(job.words.rbegin(), job.words.rend() - 1)));
}

reproduce::Entry entry(const std::string& method, double error, std::int64_t seed = 0, double flops = 50.0) {
  return {.folder = method + std::to_string(seed), .network = "resnet56", .data = "cifar10", .target = "flops=0.5", .method = method, .search_epochs = 6, .epochs = 26, .seed = seed, .error_before = 7.0, .error = error, .flops = flops, .parameters = 40.0, .selected_by = "held-out images", .proof_holds = true};
}

}  // namespace

TEST_CASE("every run of every row under every schedule is a command that the program takes") {
  const std::vector<std::string> rows = reproduce::rows_named({"table1", "table2"});
  CHECK(rows.size() == 14);
  for (const std::string& schedule : reproduce::schedule_names()) {
    INFO(schedule);
    const std::vector<Job> jobs = reproduce::jobs_of({.rows = rows, .seeds = 2, .out = "out", .data_dir = "DIR", .options = {{"device", "cpu"}, {"threads", 2}, {"mean", {0.5, 0.25, 0.125}}}}, reproduce::schedule_of(schedule));
    std::set<std::string> networks, folders;
    for (const Job& job : jobs) {
      check_parses(job);
      folders.insert(job.folder.string());
      if (job.kind == "baseline") networks.insert(job.row);
      CHECK(value_of(job, "mean") == "0.5,0.25,0.125");
    }
    CHECK(folders.size() == jobs.size());
    CHECK(networks.size() == 12);  // of 14 rows, some are of one network and data set
    CHECK(jobs.size() == networks.size() + rows.size() * 2 * 5);
  }
}

TEST_CASE("controls get the target and the epochs of the search, scratch its plan, and first seeds come first") {
  const reproduce::Schedule schedule = reproduce::schedule_of("short");
  const std::vector<Job> jobs = reproduce::jobs_of({.rows = {"resnet56-50", "resnet20-45"}, .first_seed = 3, .seeds = 2, .out = "out", .data_dir = "DIR", .options = json::object()}, schedule);
  REQUIRE(jobs.size() == 2 + 4 * 5);
  const Job* ours = nullptr;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const Job& job = jobs[i];
    INFO(job.folder.string());
    if (i > 0) CHECK(jobs[i - 1].seed <= job.seed);
    if (job.kind == "baseline") continue;
    CHECK(value_of(job, "weights") == "out/" + job.network + "-cifar10-baseline/model.safetensors");
    CHECK(value_of(job, "seed") == std::to_string(job.seed));
    CHECK(value_of(job, "out") == job.folder.string());
    CHECK(job.epochs == 26);
    if (job.kind == "hinge") {
      ours = &job;
      CHECK(value_of(job, "epochs") == "20");
      CHECK(value_of(job, "method") == "");
      CHECK(value_of(job, "target") == (job.row == "resnet56-50" ? "flops=0.5" : "flops=0.4516"));
      continue;
    }
    REQUIRE(ours != nullptr);  // before its controls
    CHECK(ours->row == job.row);
    CHECK(ours->seed == job.seed);
    CHECK(value_of(job, "method") == job.kind);
    CHECK(value_of(job, "epochs") == "26");
    for (const char* same : {"target", "count", "mode", "lr", "distill", "batch", "weights"}) CHECK(value_of(job, same) == value_of(*ours, same));
    CHECK(value_of(job, "plan") == (job.kind == "scratch" ? (ours->folder / "plan.json").string() : ""));
  }
  // A given network is the baseline.
  const std::vector<Job> given = reproduce::jobs_of({.rows = {"resnet20-45"}, .methods = {"l1-norm", "hinge"}, .out = "out", .data_dir = "DIR", .weights = "w.safetensors", .shortcut = "A-stride", .options = json::object()}, schedule);
  REQUIRE(given.size() == 2);
  CHECK(given[0].kind == "hinge");
  CHECK(value_of(given[1], "weights") == "w.safetensors");
  CHECK(value_of(given[1], "shortcut") == "A-stride");
  // With "recipe": true the recipe gives what the schedule leaves open.
  for (const Job& job : reproduce::jobs_of({.rows = {"resnet20-45"}, .out = "out", .data_dir = "DIR", .options = json::object()}, reproduce::schedule_of("paper"))) {
    if (job.kind == "baseline") continue;
    CHECK(value_of(job, "recipe") == "resnet20-45");
    CHECK(value_of(job, "lambda") == "");
    CHECK(job.epochs == 340);
  }
}

TEST_CASE("a request that contradicts itself is refused and says how") {
  const reproduce::Schedule schedule = reproduce::schedule_of("short");
  const auto refusal = [&](const reproduce::Request& request) { return io::error_of([&] { reproduce::jobs_of(request, schedule); }); };
  CHECK_THAT(refusal({.rows = {"resnet20-45"}, .methods = {"l2-norm"}, .out = "out", .data_dir = "DIR", .options = json::object()}), contains("unknown method 'l2-norm'"));
  CHECK_THAT(refusal({.rows = {"resnet20-45"}, .methods = {"scratch"}, .out = "out", .data_dir = "DIR", .options = json::object()}), contains("hinge is missing"));
  CHECK_THAT(refusal({.rows = {"resnet20-45", "resnet56-50"}, .out = "out", .data_dir = "DIR", .weights = "w", .options = json::object()}), contains("resnet20-cifar10 and resnet56-cifar10"));
  CHECK_THAT(io::error_of([] { reproduce::rows_named({"resnet56-5"}); }), contains("did you mean 'resnet56-50'"));
  CHECK_THAT(io::error_of([] { reproduce::schedule_of("shrt"); }), contains("did you mean 'short'"));
  const io::Scratch scratch;
  const auto schedule_error = [&](const json& file) {
    io::write_json(scratch / "s.json", file);
    return io::error_of([&] { reproduce::schedule_of((scratch / "s.json").string()); });
  };
  CHECK_THAT(schedule_error({{"baseline", json::object()}}), contains("'compress' is missing"));
  CHECK_THAT(schedule_error({{"baseline", json::object()}, {"compress", json::object()}, {"recip", true}}), contains("did you mean 'recipe'"));
  CHECK_THAT(schedule_error({{"baseline", json::object()}, {"compress", json::object()}, {"recipe", 1}}), contains("expected true or false"));
  CHECK(run_hinge({"reproduce", "--data-dir", "x"}).code == 2);
  CHECK(run_hinge({"reproduce", "table1"}).code == 2);
  CHECK(run_hinge({"reproduce", "table2", "--row", "resnet56-50", "--data-dir", "x"}).code == 2);
  CHECK(run_hinge({"reproduce", "--table", "--out", (scratch / "nowhere").string()}).code == 1);
}

TEST_CASE("what is left takes as long as an epoch of the same network took, or, unknown, of any") {
  const io::Scratch scratch;
  const auto job = [&](const std::string& network, const std::string& name, int epochs) { return Job{.row = "r", .network = network, .kind = name, .folder = scratch / name, .words = {"compress"}, .epochs = epochs}; };
  const std::vector<Job> jobs = {job("a", "done", 2), job("a", "begun", 10), job("b", "unknown", 4), job("a", "new", 3)};
  const auto outlook = [&] {
    std::vector<reproduce::JobProgress> progress;
    for (const Job& j : jobs) progress.push_back(reproduce::progress_of(j));
    return reproduce::outlook_of(jobs, progress);
  };
  CHECK(outlook().left == 4);
  CHECK(!outlook().seconds);
  for (const char* name : {"done", "begun"}) {
    std::filesystem::create_directories(scratch / name);
    std::ofstream(scratch / name / "config.json") << "{}";
  }
  std::ofstream(scratch / "done/metrics.jsonl") << "{\"seconds\": 10}\n{\"seconds\": 14}\n";
  std::ofstream(scratch / "done/result.json") << "{}";
  std::ofstream(scratch / "begun/metrics.jsonl") << "{\"seconds\": 15}\n{\"seconds\": 90, \"ep";  // killed while it was written
  const reproduce::Outlook found = outlook();
  CHECK(found.done == 1);
  CHECK(found.left == 3);
  REQUIRE(found.seconds.has_value());
  // Three epochs took 39 s: 13 s each, of "a" and so of "b"; 9, 4 and 3 are left.
  CHECK(std::abs(*found.seconds - 16 * 13.0) <= 1e-9);
}

TEST_CASE("the table has mean and spread over seeds, the paper's row, and says where a control is not beaten") {
  using namespace reproduce;
  std::vector<Entry> entries = {entry("random", 9.0), entry("hinge", 6.0, 0), entry("hinge", 6.4, 1), entry("hinge", 6.8, 2), entry("l1-norm", 6.3, 0)};
  std::vector<Row> rows = rows_of(entries);
  REQUIRE(rows.size() == 1);
  REQUIRE(rows[0].methods.size() == 3);
  CHECK(rows[0].methods[0].entries.size() == 3);
  CHECK(std::abs(rows[0].methods[0].error - 6.4) <= 1e-12);
  CHECK(std::abs(rows[0].methods[0].spread - 0.4) <= 1e-12);
  REQUIRE(rows[0].paper.has_value());
  CHECK(rows[0].paper->name == "resnet56-50");
  CHECK(verdict_of(rows[0]) == "better than random (-2.60); not better than l1-norm (+0.10)");
  const std::string markdown = markdown_of(rows);
  CHECK_THAT(markdown, contains("| hinge | 3 | 6.40 ± 0.40 | 7.00 | 50.00 | 40.00 | 6.31 / 7.05 at 50.0 |"));
  CHECK_THAT(markdown, contains("not better than l1-norm (+0.10)"));
  const std::string page = page_of(rows);
  CHECK_THAT(page, contains("hinge1: 6.40 % error at 50.00 % of the multiply-adds, seed 1"));
  CHECK_THAT(page, contains("the paper: 6.31 % at 50.00 %, from 7.05 %"));
  CHECK(page.find("<script") == std::string::npos);
  // Other epochs, another target: nothing to compare with. And far from any row of the paper's.
  entries = {entry("hinge", 6.0), entry("random", 9.0)};
  entries[1].epochs = 27;
  entries[0].flops = 35.0;
  rows = rows_of(entries);
  REQUIRE(rows.size() == 2);
  CHECK(verdict_of(rows[0]) == "no control at this target and number of epochs");
  CHECK(verdict_of(rows[1]) == "only controls here");
  CHECK(!rows[0].paper);
  // A failed proof is seen.
  entries = {entry("hinge", 6.0)};
  entries[0].proof_holds = false;
  CHECK_THAT(markdown_of(rows_of(entries)), contains("proof fails"));
}

TEST_CASE("the committed results are all found, and a damaged one is named") {
  const std::vector<reproduce::Entry> entries = reproduce::entries_below(kResults);
  const auto has = [&](const std::string& folder, const std::string& method) {
    return std::ranges::any_of(entries, [&](const reproduce::Entry& e) { return e.folder == folder && e.method == method && e.network == "resnet20"; });
  };
  CHECK(has("resnet20-cifar10-flops0.455/hinge", "hinge"));
  CHECK(has("resnet20-cifar10-flops0.455/l1-norm", "l1-norm"));
  // The committed table is these results': else run hinge reproduce --table --out docs/results.
  CHECK(slurp(kResults + "/table.md") == reproduce::markdown_of(reproduce::rows_of(entries)));
  CHECK(slurp(kResults + "/table.html") == reproduce::page_of(reproduce::rows_of(entries)));
  const io::Scratch scratch;
  std::filesystem::create_directories(scratch / "run");
  json result = io::read_json(kResults + "/resnet20-cifar10-flops0.5/result.json");
  result["after"].erase("top1_error");
  io::write_json(scratch / "run/result.json", result);
  CHECK_THAT(io::error_of([&] { reproduce::entries_below(scratch.folder()); }), contains("run/result.json: not as hinge writes it"));
}

TEST_CASE("a row is made from its baseline to its table, cut off and gone on with") {
  const TinyBench b(24);
  io::write_json(b.at("tiny.json"), {{"baseline", {{"epochs", 1}, {"held-out", 20}, {"batch", 32}}}, {"compress", {{"search-epochs", 1}, {"epochs", 1}, {"held-out", 20}, {"batch", 32}}}});
  const std::vector<std::string> command = {"reproduce", "--row", "resnet20-45", "--schedule", b.at("tiny.json"), "--methods", "hinge,scratch", "--data-dir", b.data, "--out", b.at("rows")};
  int code = -1, stops = 0;
  for (int attempt = 0; attempt < 30 && code != 0; ++attempt) {
    code = stops < 2 ? run_and_signal(command, 400 + 500 * attempt, stops == 0 ? SIGINT : SIGKILL, b.at("log")) : wait_for(start_hinge(command, b.at("log")));
    INFO(slurp(b.at("log")));
    CHECK((code == 0 || code == 130 || code == 128 + SIGKILL || code == 128 + SIGINT));
    stops += code != 0;
  }
  REQUIRE(code == 0);
  CHECK(stops >= 1);
  const std::string table = slurp(b.at("rows/table.md"));
  CHECK_THAT(table, contains("| resnet20, cifar10 | flops=0.4516 | 2 | hinge | 1 |"));
  CHECK_THAT(table, contains("resnet20-45/seed-0/scratch"));
  CHECK(io::read_json(b.at("rows/resnet20-45/seed-0/scratch/result.json"))["flops_ratio"] == io::read_json(b.at("rows/resnet20-45/seed-0/hinge/result.json"))["flops_ratio"]);
  // Nothing is left to do.
  const Outcome again = run_hinge(command);
  CHECK(again.code == 0);
  CHECK_THAT(again.output, contains("3 of 3 runs are done"));
  CHECK(slurp(b.at("rows/table.md")) == table);
}
