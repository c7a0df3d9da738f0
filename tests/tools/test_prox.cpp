// hinge prox from outside: what it computes, what it leaves alone, and what it refuses.
#include <cmath>
#include <nlohmann/json.hpp>

#include "compress/regularizer.h"
#include "engine/io/safetensors.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/tools/process.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

// A file with a matrix A : [4, 3], others beside it (one in half precision, in an order that is not that of the names).
struct Bench {
  io::Scratch scratch;
  std::string file = at("in.safetensors"), out = at("out.safetensors");
  std::vector<float> a = {3, 0, 4, 0.3f, 0, 0, 0, 0, 0, 0, 0.4f, 0.3f};

  Bench() { write(a, "F32"); }
  std::string at(const std::string& name) const { return (scratch.folder() / name).string(); }
  void write(const std::vector<float>& values, const std::string& type) const {
    const std::string header = R"({"zz":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},"__metadata__":{"who":"a test"},)"
                               R"("A.weight":{"dtype":")" +
                               type + R"(","shape":[4,3],"data_offsets":[6,54]},)"
                                      R"("conv":{"dtype":"U8","shape":[2,1,1],"data_offsets":[54,56]}})";
    std::string bytes = io::file_with(header, 56);
    std::memcpy(bytes.data() + 8 + header.size() + 6, values.data(), 48);
    io::write_file_atomically(file, bytes);
  }
  std::vector<std::string> arguments(const std::vector<std::string>& more) const {
    std::vector<std::string> result = {"prox", file, "--tensor", "A.weight"};
    result.insert(result.end(), more.begin(), more.end());
    return result;
  }
  // The report of a run that must succeed.
  nlohmann::json report(const std::vector<std::string>& more) const {
    std::vector<std::string> all = arguments(more);
    all.insert(all.end(), {"--json", at("report.json")});
    const Outcome outcome = run_hinge(all);
    INFO(outcome.output);
    REQUIRE(outcome.code == 0);
    return nlohmann::json::parse(slurp(at("report.json")));
  }
  void refused(const std::vector<std::string>& arguments, int code, const std::vector<std::string>& parts) const {
    const auto before = scratch.names();
    const Outcome outcome = run_hinge(arguments);
    INFO(outcome.output);
    CHECK(outcome.code == code);
    for (const std::string& part : parts) CHECK_THAT(outcome.output, contains(part));
    CHECK(outcome.output.starts_with("hinge: "));
    CHECK(scratch.names() == before);  // nothing, nor half of anything, was written
  }
};

}  // namespace

TEST_CASE("prox shrinks the groups it was asked to and reports what it did") {
  const Bench b;
  const auto report = b.report({"--groups", "rows", "--regularizer", "l1", "--step", "0.4", "--out", b.out});
  const std::vector<double> norms = {5.0, 0.3, 0.0, 0.5}, scales = {0.92, 0.0, 0.0, 0.2};
  for (std::size_t g = 0; g < 4; ++g) {
    CHECK((std::abs(report["norms"].at(g).get<double>() - norms[g]) <= 1e-6));
    CHECK((std::abs(report["scales"].at(g).get<double>() - scales[g]) <= 1e-6));
  }
  CHECK((std::abs(report["penalty"].get<double>() - 5.8) <= 1e-5));
  CHECK(report["zeros"] == 2);
  CHECK(report["regularizer"] == "l1");
  CHECK(report["step"] == 0.4);
  CHECK(report["groups"] == "rows");
  CHECK(report["tensor"] == "A.weight");
  const Tensor a = io::read_safetensors(b.out).tensors.at("A.weight");
  const std::vector<double> want = {2.76, 0, 3.68, 0, 0, 0, 0, 0, 0, 0, 0.08, 0.06};
  for (std::size_t i = 0; i < 12; ++i) CHECK((std::abs(static_cast<double>(a.values()[i]) - want[i]) <= 1e-6));
}

TEST_CASE("prox changes no byte outside of its matrix, and none at all without a step") {
  const Bench b;
  for (const char* groups : {"rows", "columns", "rows,columns"}) {
    std::filesystem::remove(b.out);
    REQUIRE(run_hinge(b.arguments({"--groups", groups, "--step", "0.4", "--out", b.out})).code == 0);
    const std::string before = slurp(b.file), after = slurp(b.out);
    const std::size_t begin = before.size() - 56 + 6, end = begin + 48;
    REQUIRE(before.size() == after.size());
    CHECK(before.substr(0, begin) == after.substr(0, begin));
    CHECK(before.substr(begin, 48) != after.substr(begin, 48));
    CHECK(before.substr(end) == after.substr(end));
    std::filesystem::remove(b.out);
    REQUIRE(run_hinge(b.arguments({"--groups", groups, "--step", "0", "--out", b.out})).code == 0);
    CHECK(slurp(b.out) == before);
  }
}

TEST_CASE("prox applies every regulariser to rows and columns as the library does, and --json - is pure JSON") {
  const Bench b;
  for (const auto& [name, entry] : compress::regularizers()) {
    for (const bool columns : {false, true}) {
      INFO(name << " columns " << columns);
      std::filesystem::remove(b.out);
      const auto report = b.report({"--groups", columns ? "columns" : "rows", "--regularizer", name, "--step", "0.2", "--out", b.out});
      Tensor w = Tensor::from({4, 3}, b.a);
      const kernels::GroupView view = columns ? kernels::GroupView{w.mutable_data(), 3, 4, 1, 3} : kernels::GroupView{w.mutable_data(), 4, 3, 3, 1};
      const auto regularizer = compress::make_regularizer(name);
      const std::vector<float> norms = regularizer->prox(view, 0.2, Stream());
      const Tensor written = io::read_safetensors(b.out).tensors.at("A.weight");
      CHECK(std::equal(w.values().begin(), w.values().end(), written.values().begin()));
      CHECK(report["norms"].get<std::vector<float>>() == norms);
      CHECK(report["penalty"].get<double>() == Approx(regularizer->penalty(norms)));
    }
  }
  const std::string command = std::string(HINGE_BINARY) + " prox " + b.file + " --tensor A.weight --step 0.1 --json - 2>/dev/null > " + b.at("pure.json");
  REQUIRE(std::system(command.c_str()) == 0);
  CHECK(nlohmann::json::parse(slurp(b.at("pure.json")))["norms"].size() == 4);
}

TEST_CASE("prox shrinks rows and columns together, in turn or exactly") {
  const Bench b;
  const auto sequential = b.report({"--groups", "rows,columns", "--step", "0.2"});
  const auto exact = b.report({"--groups", "rows,columns", "--step", "0.2", "--exact", "--out", b.out});
  CHECK(sequential["exact"] == false);
  CHECK(exact["exact"] == true);
  CHECK(exact["iterations"].get<int>() >= 1);
  CHECK(exact["distance"].get<double>() <= 1e-6);
  CHECK(exact["norms"]["rows"].size() == 4);
  CHECK(exact["norms"]["columns"].size() == 3);
  CHECK(exact["scales"]["columns"].size() == 3);
  CHECK(exact["zeros"]["rows"].get<int>() >= 1);
  CHECK(exact["penalty"] == sequential["penalty"]);
  b.refused(b.arguments({"--groups", "rows,columns", "--exact", "--step", "0.2", "--regularizer", "l1/2"}), 2, {"convex", "l1/2", "sequential"});
  b.refused(b.arguments({"--groups", "rows", "--exact", "--step", "0.2"}), 2, {"--exact", "rows,columns"});
}

TEST_CASE("options reach the penalty") {
  const Bench b;
  const auto narrow = b.report({"--regularizer", "logsum", "--option", "eps=1e-3", "--step", "0.01"});
  const auto wide = b.report({"--regularizer", "logsum", "--option", "eps=1", "--step", "0.01"});
  CHECK(narrow["options"]["eps"] == 1e-3);
  CHECK(narrow["penalty"].get<double>() < wide["penalty"].get<double>());
  const auto two = b.report({"--regularizer", "mcp", "--option", "gamma=2", "--option", "lambda=0.5", "--step", "0.01"});
  CHECK(two["options"] == nlohmann::json({{"gamma", 2.0}, {"lambda", 0.5}}));
}

TEST_CASE("prox refuses what makes no sense with one message, and writes nothing") {
  const Bench b;
  b.refused({"prox"}, 2, {"FILE is missing"});
  b.refused({"prox", b.file, "--step", "0.1"}, 2, {"--tensor is missing"});
  b.refused({"prox", b.file, "--tensor", "A.wieght", "--step", "0.1", "--out", b.out}, 2, {"no tensor 'A.wieght' among its 3", "nearest: A.weight"});
  b.refused({"prox", b.file, "--tensor", "conv", "--step", "0.1", "--out", b.out}, 2, {"conv", "[2, 1, 1]", "matrix"});
  b.refused(b.arguments({"--out", b.out}), 2, {"--step is missing"});
  for (const char* step : {"-0.1", "inf", "nan", "x"}) b.refused(b.arguments({"--step", step, "--out", b.out}), 2, {"--step"});
  b.refused(b.arguments({"--step", "0.1", "--groups", "filters", "--out", b.out}), 2, {"--groups filters", "rows,columns"});
  b.refused(b.arguments({"--step", "0.1", "--regularizer", "logsun", "--out", b.out}), 2, {"logsun", "known: l0, l1, l1-2", "did you mean 'logsum'"});
  b.refused(b.arguments({"--step", "0.1", "--option", "eps=1", "--out", b.out}), 2, {"l1", "eps", "known: none"});
  b.refused(b.arguments({"--step", "0.1", "--regularizer", "logsum", "--option", "eps=0", "--out", b.out}), 2, {"logsum", "eps is 0", "above 0"});
  b.refused(b.arguments({"--step", "0.1", "--regularizer", "logsum", "--option", "eps", "--out", b.out}), 2, {"'eps'", "NAME=NUMBER"});
  b.refused(b.arguments({"--step", "0.1", "--out", b.file}), 2, {b.file, "exists"});
  b.refused(b.arguments({"--step", "0.1", "--out", b.at("no/such/folder.safetensors")}), 1, {"no/such/folder.safetensors"});
  b.refused(b.arguments({"--step", "0.1", "--out", b.out, "--json", b.at("no/such.json")}), 1, {"no/such.json"});
  b.refused({"prox", b.at("none"), "--tensor", "A", "--step", "0.1", "--out", b.out}, 1, {"none"});
  b.write({3, NAN, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "F32");
  b.refused(b.arguments({"--step", "0.1", "--out", b.out}), 1, {"A.weight", "nan in row 0, column 1"});
  b.write(b.a, "I32");
  b.refused(b.arguments({"--step", "0.1", "--out", b.out}), 2, {"A.weight", "I32", "F32"});
  std::ofstream(b.file, std::ios::binary) << "damaged";
  b.refused(b.arguments({"--step", "0.1", "--out", b.out}), 1, {b.file});
}

TEST_CASE("prox --list prints every regulariser with its equation and options") {
  const Outcome outcome = run_hinge({"prox", "--list"});
  REQUIRE(outcome.code == 0);
  for (const auto& [name, entry] : compress::regularizers()) {
    CHECK_THAT(outcome.output, contains(name) && contains(entry.info.equation) && contains(entry.info.source));
    for (const auto& option : entry.info.options) {
      CHECK_THAT(outcome.output, contains(fmt::format("{} = {}", option.name, option.value)) && contains(option.meaning) && contains(range_text(option)));
    }
  }
}
