// hinge under mpirun: several processes make what one makes, and say so when one of them is lost.
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "engine/nn/model_file.h"
#include "engine/train/agreement.h"
#include "tests/support/catch.h"
#include "tests/tools/ranks.h"
#include "tests/tools/tiny_bench.h"

using namespace hinge;
using namespace hinge::testing;
using nlohmann::json;

namespace {

// Of the processes of the job that mpirun `job` runs: rank -> process, as its environment says.
std::map<int, pid_t> processes_of(const std::filesystem::path& run) {
  std::map<int, pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t process = std::atoi(entry.path().filename().c_str());
    if (process <= 0) continue;
    const std::string words = slurp(entry.path() / "cmdline"), environment = slurp(entry.path() / "environ");
    const std::string key = "OMPI_COMM_WORLD_RANK=";
    const std::size_t at = environment.find(key);
    if (words.find(run.string()) == std::string::npos || at == std::string::npos || words.starts_with("mpirun")) continue;
    found[std::atoi(environment.c_str() + at + key.size())] = process;
  }
  return found;
}

struct Bench : TinyBench {
  Bench() : TinyBench(12) {}

  std::vector<std::string> words(const std::string& command, const std::string& out, const std::vector<std::string>& more) const {
    std::vector<std::string> all = {command, "--data", "cifar10", "--data-dir", data, "--held-out", "12", "--threads", "1", "--seed", "3", "--sync-batch-norm", "--out", at(out)};
    all.insert(all.end(), more.begin(), more.end());
    if (std::ranges::find(more, "--batch") == more.end()) all.insert(all.end(), {"--batch", "12"});
    return all;
  }
  Outcome on(int ranks, const std::vector<std::string>& arguments) const {
    if (ranks == 1) return run_hinge(arguments);
    const std::filesystem::path log = at("log");
    const int code = wait_for(start_ranks(ranks, arguments, log));
    return {code, slurp(log)};
  }
  Network network(const std::string& run) const {
    const std::string file = at(run) + "/model.safetensors";
    return network_from(read_model_file(file), std::nullopt, file);
  }
  json result(const std::string& run) const { return json::parse(slurp(at(run) + "/result.json")); }
};

// Of two networks of one graph: the largest difference of their numbers, of 1 + the largest number.
double distance(const Network& a, const Network& b) {
  REQUIRE(a.graph() == b.graph());
  double largest = 0.0, difference = 0.0;
  const auto there = b.values();
  for (const auto& [name, value] : a.values()) {
    const auto x = value.values<float>(), y = there.at(name).values<float>();
    for (std::size_t i = 0; i < x.size(); ++i) {
      largest = std::max(largest, static_cast<double>(std::abs(x[i])));
      difference = std::max(difference, static_cast<double>(std::abs(x[i] - y[i])));
    }
  }
  return difference / (1.0 + largest);
}

// The first line of /tmp that a rank left behind, if any.
std::string left_behind() {
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::temp_directory_path())) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("hinge-rank-") && kill(std::atoi(name.c_str() + 11), 0) != 0) return name;
  }
  return "";
}

}  // namespace

TEST_CASE("2 and 4 ranks train, search, cut and fine-tune to the network that one rank makes", "[night]") {
  if (!is_there(no_ranks())) return;
  const Bench b;
  const std::vector<std::string> compression = {"--weights", b.weights, "--epochs", "1", "--search-epochs", "2", "--check-every", "2", "--target", "flops=0.6", "--distill", "0.3", "--lambda", "0.5"};
  for (const auto& [command, more] : {std::pair<std::string, std::vector<std::string>>{"train", {"--model", "resnet8", "--epochs", "2", "--lr", "0.05", "--ema", "0.9"}}, {"compress", compression}}) {
    for (const int ranks : {1, 2, 4}) {
      const std::string run = command + std::to_string(ranks);
      const Outcome outcome = b.on(ranks, b.words(command, run, more));
      INFO(outcome.output);
      REQUIRE(outcome.code == 0);
      if (ranks == 1) continue;
      CHECK_THAT(outcome.output, contains(fmt::format("{} ranks, 1 threads each", ranks)));
      CHECK(outcome.output.find("Everything is in") == outcome.output.rfind("Everything is in"));  // one rank speaks
      CHECK(b.result(run)["ranks"] == ranks);
      CHECK(b.result(run)["held_out_error"] == b.result(command + "1")["held_out_error"]);
      // Eight steps of sums in another order. Twelve with a search among them let a ReLU switch elsewhere: there one rank whose
      // weights are off by half an ulp is as far away (4e-5 and 1e-4 measured).
      CHECK(distance(b.network(run), b.network(command + "1")) <= (command == "train" ? 2e-5 : 1e-3));
      if (command == "train") continue;
      const auto kept = [&](const std::string& of) { return json::parse(slurp(b.at(of) + "/plan.json"))["plan"]["sets"]; };
      REQUIRE(kept(run).size() == kept("compress1").size());
      for (std::size_t set = 0; set < kept(run).size(); ++set) CHECK(kept(run)[set]["kept"] == kept("compress1")[set]["kept"]);
    }
  }
  CHECK(left_behind().empty());
}

TEST_CASE("ranks repeat their bytes, and a run goes on with another number of them", "[night]") {
  if (!is_there(no_ranks())) return;
  const Bench b;
  const std::vector<std::string> more = {"--model", "resnet8", "--epochs", "2", "--lr", "0.05"};
  // The first chooses convolutions by time, each rank for itself in its first step; from then on they are rank 0's.
  for (const char* run : {"first", "second", "again"}) {
    std::vector<std::string> words = b.words("train", run, more);
    if (std::string(run) != "first") words.insert(words.end(), {"--conv-choices", b.at("first") + "/conv_choices.json"});
    const Outcome outcome = b.on(2, words);
    INFO(outcome.output);
    REQUIRE(outcome.code == 0);
  }
  CHECK(slurp(b.at("second") + "/model.safetensors") == slurp(b.at("again") + "/model.safetensors"));
  CHECK(distance(b.network("first"), b.network("second")) <= 2e-5);
  // Each rank's own statistics, whose mean all have: a difference would have stopped the run.
  std::vector<std::string> apart = b.words("train", "apart", more);
  std::erase(apart, "--sync-batch-norm");
  const Outcome own = b.on(2, apart);
  INFO(own.output);
  REQUIRE(own.code == 0);
  CHECK(distance(b.network("apart"), b.network("second")) > 1e-4);
  // Half the bytes: every rank's gradients, and their sum, are off by up to 2^-8 of themselves, in eight steps of rate 0.05.
  std::vector<std::string> rounded = b.words("train", "rounded", more);
  rounded.insert(rounded.end(), {"--reduction", "bf16", "--conv-choices", b.at("first") + "/conv_choices.json"});
  const Outcome halved = b.on(2, rounded);
  INFO(halved.output);
  REQUIRE(halved.code == 0);
  CHECK(distance(b.network("rounded"), b.network("second")) > 1e-6);
  CHECK(distance(b.network("rounded"), b.network("second")) <= 1e-2);
  // From the middle: the folder as it was after the first epoch.
  std::vector<std::string> longer = b.words("train", "third", {"--model", "resnet8", "--epochs", "4000", "--lr", "0.05"});
  const pid_t job = start_ranks(2, longer, b.at("log"));
  REQUIRE(wait_until(job, [&] { return !slurp(b.at("third") + "/metrics.jsonl").empty(); }));
  kill(job, SIGTERM);
  wait_for(job);
  for (const int ranks : {3, 1}) {
    std::filesystem::copy(b.at("third"), b.at("third" + std::to_string(ranks)), std::filesystem::copy_options::recursive);
    // As many epochs as are done, and two more.
    const std::string run = b.at("third" + std::to_string(ranks));
    const std::string metrics = slurp(run + "/metrics.jsonl");
    json config = json::parse(slurp(run + "/config.json"));
    config["options"]["epochs"] = std::ranges::count(metrics, '\n') + 2;
    std::ofstream(run + "/config.json") << config.dump();
    const Outcome outcome = b.on(ranks, {"train", "--resume", run});
    INFO(outcome.output);
    REQUIRE(outcome.code == 0);
    CHECK_THAT(outcome.output, contains("train: resumed at epoch"));
  }
  CHECK(distance(b.network("third3"), b.network("third1")) <= 2e-5);
}

TEST_CASE("a rank that is killed or hangs ends the job, which says which one it was, and the run goes on without it", "[night]") {
  if (!is_there(no_ranks())) return;
  const Bench b;
  for (const auto& [signal, wanted] : {std::pair{SIGKILL, "rank 1 with PID"}, std::pair{SIGSTOP, "for 2 s rank 1 on"}}) {
    const std::string run = signal == SIGKILL ? "killed" : "hanging";
    const pid_t job = start_ranks(3, b.words("train", run, {"--model", "resnet8", "--epochs", "4000", "--lr", "0.05", "--checkpoint-every", "2", "--rank-timeout", "2"}), b.at("log"));
    REQUIRE(wait_until(job, [&] { return !slurp(b.at(run) + "/metrics.jsonl").empty(); }));
    const auto processes = processes_of(b.at(run));
    REQUIRE(processes.contains(1));
    const auto begun = std::chrono::steady_clock::now();
    kill(processes.at(1), signal);
    CHECK(wait_for(job) != 0);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    const std::string said = slurp(b.at("log"));
    INFO(said);
    CHECK_THAT(said, contains(wanted));
    CHECK(took.count() < 60.0);                                                          // 2 s, 1 s for who answers, and what mpirun and a busy machine take
    for (const auto& [rank, process] : processes_of(b.at(run))) kill(process, SIGKILL);  // one that was stopped
    // Its last checkpoint is whole: two ranks take it up.
    json config = json::parse(slurp(b.at(run) + "/config.json"));
    config["options"]["epochs"] = std::ranges::count(slurp(b.at(run) + "/metrics.jsonl"), '\n') + 1;
    std::ofstream(b.at(run) + "/config.json") << config.dump();
    const Outcome resumed = b.on(2, {"train", "--resume", b.at(run)});
    INFO(resumed.output);
    CHECK(resumed.code == 0);
    CHECK(resumed.output.find("warning") == std::string::npos);
  }
}

TEST_CASE("a rank that is slow for a while is waited for, and nothing changes", "[night]") {
  if (!is_there(no_ranks())) return;
  const Bench b;
  const std::vector<std::string> more = {"--model", "resnet8", "--epochs", "40", "--lr", "0.05", "--rank-timeout", "30"};
  Outcome outcome = b.on(2, b.words("train", "even", more));
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  std::vector<std::string> words = b.words("train", "slow", more);
  words.insert(words.end(), {"--conv-choices", b.at("even") + "/conv_choices.json"});
  std::vector<std::string> same = b.words("train", "same", more);
  same.insert(same.end(), {"--conv-choices", b.at("even") + "/conv_choices.json"});
  REQUIRE(b.on(2, same).code == 0);
  const pid_t job = start_ranks(2, words, b.at("log"));
  REQUIRE(wait_until(job, [&] { return !slurp(b.at("slow") + "/metrics.jsonl").empty(); }));
  const std::map<int, pid_t> processes = processes_of(b.at("slow"));
  REQUIRE(processes.contains(1));
  const std::string before = slurp(b.at("slow") + "/metrics.jsonl");
  REQUIRE(kill(processes.at(1), SIGSTOP) == 0);
  std::this_thread::sleep_for(std::chrono::seconds(3));
  // The others stood still: an epoch's line at most, that was being written.
  CHECK(std::ranges::count(slurp(b.at("slow") + "/metrics.jsonl"), '\n') <= std::ranges::count(before, '\n') + 2);
  kill(processes.at(1), SIGCONT);
  CHECK(wait_for(job) == 0);
  CHECK(slurp(b.at("slow") + "/model.safetensors") == slurp(b.at("same") + "/model.safetensors"));
}

TEST_CASE("two hosts on a network train what two processes of one host train, and one that is cut off is named", "[night]") {
  if (!is_there(no_ranks())) return;
  const Bench b;
  const auto on_two_hosts = [&](const std::vector<std::string>& options, const std::vector<std::string>& words) {
    std::vector<std::string> all = {HINGE_SOURCE_DIR "/tools/dev/two_hosts.sh"};
    all.insert(all.end(), options.begin(), options.end());
    all.push_back(HINGE_BINARY);
    all.insert(all.end(), words.begin(), words.end());
    const int code = wait_for(start(all, b.at("log")));
    return Outcome{code, slurp(b.at("log"))};
  };
  const std::vector<std::string> more = {"--model", "resnet8", "--epochs", "2", "--lr", "0.05"};
  REQUIRE(b.on(2, b.words("train", "first", more)).code == 0);
  std::vector<std::string> one_host = b.words("train", "one", more), two_hosts = b.words("train", "two", more);
  for (auto* words : {&one_host, &two_hosts}) words->insert(words->end(), {"--conv-choices", b.at("first") + "/conv_choices.json"});
  REQUIRE(b.on(2, one_host).code == 0);
  const Outcome outcome = on_two_hosts({}, two_hosts);
  if (outcome.code == 77) {
    WARN(outcome.output);
    return;
  }
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  // Of two numbers the sum is the same in either order.
  CHECK(slurp(b.at("two") + "/model.safetensors") == slurp(b.at("one") + "/model.safetensors"));

  const Outcome cut = on_two_hosts({"--cut", "4"}, b.words("train", "cut", {"--model", "resnet8", "--epochs", "100000", "--lr", "0.05", "--rank-timeout", "2", "--checkpoint-every", "2"}));
  INFO(cut.output);
  CHECK(cut.code != 0);
  CHECK_THAT(cut.output, contains("for 2 s rank 1 on host-2 hasn't come to"));
  REQUIRE_FALSE(slurp(b.at("cut") + "/metrics.jsonl").empty());
  json config = json::parse(slurp(b.at("cut") + "/config.json"));
  config["options"]["epochs"] = std::ranges::count(slurp(b.at("cut") + "/metrics.jsonl"), '\n') + 1;
  std::ofstream(b.at("cut") + "/config.json") << config.dump();
  const Outcome resumed = b.on(1, {"train", "--resume", b.at("cut")});
  INFO(resumed.output);
  CHECK(resumed.code == 0);
}

TEST_CASE("what ranks can't do together is refused once, with exit code 2, and an error of one rank has its name", "[night]") {
  if (!is_there(no_ranks())) return;
  const Bench b;
  const auto refused = [&](int ranks, const std::vector<std::string>& words, const std::string& part) {
    const Outcome outcome = b.on(ranks, words);
    INFO(outcome.output);
    CHECK(outcome.code == 2);
    CHECK_THAT(outcome.output, contains(part));
    CHECK(outcome.output.find(part) == outcome.output.rfind(part));
  };
  refused(2, {"eval", "--weights", b.weights, "--data", "cifar10", "--data-dir", b.data}, "hinge eval is the work of one process");
  refused(2, {"train", "--modle", "resnet8"}, "unknown option '--modle'; did you mean '--model'");
  refused(3, b.words("train", "small", {"--model", "resnet8", "--batch", "2"}), "a batch has 2 images and there are 3 ranks");
  refused(2, b.words("compress", "timed", {"--weights", b.weights, "--target", "latency=0.5"}), "times are measured by one process alone");
  CHECK_FALSE(std::filesystem::exists(b.at("timed")));

  // Folders by rank: rank 1 has none, or another.
  const auto with_data = [&](const std::string& folder) {
    std::vector<std::string> words = b.words("train", folder, {"--model", "resnet8", "--epochs", "1"});
    *std::ranges::find(words, b.data) = b.at(folder) + "-data-RANK";
    return words;
  };
  write_tiny_cifar(b.at("lacking") + "-data-0", 12);
  const Outcome lacking = b.on(2, with_data("lacking"));
  INFO(lacking.output);
  CHECK(lacking.code != 0);
  CHECK_THAT(lacking.output, contains("hinge: rank 1: ") && contains("lacking-data-1"));
  CHECK_FALSE(std::filesystem::exists(b.at("lacking")));
  write_tiny_cifar(b.at("other") + "-data-0", 12);
  write_tiny_cifar(b.at("other") + "-data-1", 13);
  const Outcome other = b.on(2, with_data("other"));
  INFO(other.output);
  CHECK(other.code == 1);
  CHECK_THAT(other.output, contains("hinge: rank 1: the data or files here aren't rank 0's"));
}
