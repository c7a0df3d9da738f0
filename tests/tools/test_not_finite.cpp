// Numbers that go wrong, and sets that are hardly sets: the run says what and where, or works.
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/core/finite.h"
#include "engine/io/checkpoint.h"
#include "tests/support/catch.h"
#include "tests/support/pictures.h"
#include "tests/tools/essence.h"
#include "tests/tools/tiny_bench.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

struct Bench : TinyBench {
  explicit Bench(int images = 16) : TinyBench(images) {}

  std::vector<std::string> train(const std::string& run, std::vector<std::string> more) const {
    std::vector<std::string> arguments = {"train", "--model", "resnet8", "--data", "cifar10", "--data-dir", data, "--held-out", "16", "--batch", "16",
                                          "--epochs", "1", "--schedule", "constant", "--weight-decay", "0", "--seed", "3", "--out", at(run)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  nlohmann::json result(const std::string& run) const { return nlohmann::json::parse(slurp(at(run) + "/result.json")); }
};

// A checkpoint there, and every number in it.
void check_good_checkpoint(const std::filesystem::path& run) {
  const auto checkpoint = io::load_checkpoint(run, "checkpoint");
  REQUIRE(checkpoint.has_value());
  for (const auto& [name, tensor] : checkpoint->tensors) {
    INFO(name);
    CHECK((tensor.dtype() != DType::kFloat32 || all_finite(tensor.values<float>())));
  }
}

}  // namespace

TEST_CASE("a number that isn't finite stops the run, says which and where, and keeps the last good checkpoint") {
  const Bench b;
  const Outcome outcome = run_hinge(b.train("run", {"--lr", "1e30"}));
  INFO(outcome.output);
  CHECK(outcome.code == 1);
  CHECK_THAT(outcome.output, contains("train, epoch 1, step 2: output of layer1.0.conv1[0, 0, 0, 0] is"));
  CHECK_THAT(outcome.output, contains("numbers are not finite"));
  CHECK_THAT(outcome.output, contains("a lower --lr"));
  check_good_checkpoint(b.at("run"));
  CHECK_FALSE(std::filesystem::exists(b.at("run/model.safetensors")));

  // A second try can be given what the first was not.
  const Outcome again = run_hinge({"train", "--resume", b.at("run"), "--on-nan", "rollback"});
  INFO(again.output);
  CHECK(again.code == 1);
  for (const char* share : {"now 0.5 of", "now 0.25 of", "now 0.125 of", "rolled back 3 times"}) CHECK_THAT(again.output, contains(share));
  check_good_checkpoint(b.at("run"));
}

TEST_CASE("however a run goes wrong, between steps or behind an epoch, no checkpoint holds a number that isn't finite") {
  const Bench b;
  for (const char* rate : {"1e14", "1e8", "1e4"}) {  // a running statistic, a gradient, held-out images: which it is depends on rounding
    std::filesystem::remove_all(b.at("run"));
    const Outcome outcome = run_hinge(b.train("run", {"--lr", rate, "--checkpoint-every", "1"}));
    INFO(outcome.output);
    CHECK(outcome.code == 1);
    CHECK_THAT(outcome.output, contains("not finite"));
    check_good_checkpoint(b.at("run"));
  }
}

TEST_CASE("a run that was rolled back ends as one that began with the lower rate, and says so in its result") {
  const Bench b;
  const Outcome outcome = run_hinge(b.train("rolled", {"--lr", "400", "--on-nan", "rollback"}));
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  const nlohmann::json rollbacks = b.result("rolled").at("rollbacks");
  CHECK(rollbacks.size() >= 1);
  CHECK(rollbacks[0].at("phase") == "train");
  CHECK_THAT(rollbacks[0].at("found").get<std::string>(), contains("not finite"));
  const double rate = 400.0 * std::pow(0.5, static_cast<double>(rollbacks.size()));
  CHECK(rollbacks.back().at("rate_factor").get<double>() * 400.0 == rate);
  CHECK(nlohmann::json::parse(slurp(b.at("rolled/metrics.jsonl"))).at("rollbacks") == rollbacks.size());
  check_good_checkpoint(b.at("rolled"));

  const Outcome lower = run_hinge(b.train("lower", {"--lr", std::to_string(rate), "--conv-choices", b.at("rolled/conv_choices.json")}));
  INFO(lower.output);
  REQUIRE(lower.code == 0);
  CHECK_FALSE(b.result("lower").contains("rollbacks"));
  CHECK(slurp(b.at("lower/model.safetensors")) == slurp(b.at("rolled/model.safetensors")));
}

TEST_CASE("a search that goes wrong says so, with the flags that are the search's") {
  const Bench b;
  const Outcome outcome = run_hinge({"compress", "--weights", b.weights, "--data", "cifar10", "--data-dir", b.data, "--held-out", "16", "--batch", "16", "--epochs", "1",
                                     "--search-epochs", "1", "--check-every", "1", "--search-lr", "1e38", "--target", "flops=0.6", "--out", b.at("run")});
  INFO(outcome.output);
  CHECK(outcome.code == 1);
  CHECK_THAT(outcome.output, contains("hinge: search, epoch 1, step"));
  CHECK_THAT(outcome.output, contains("--search-lr"));
  CHECK_THAT(outcome.output, contains("--lambda"));
  check_good_checkpoint(b.at("run"));
}

TEST_CASE("a search that was rolled back goes on as one that was killed behind the rollback and resumed", "[night]") {
  // Whether a rate explodes at once, and half of it no more, hangs on the last digits that the machine's convolutions give.
  for (const char* rate : {"300", "200", "100", "500", "50", "1000"}) {
    const Bench b;
    const auto search = [&](const std::string& run) {
      return std::vector<std::string>{"compress", "--weights", b.weights, "--data", "cifar10", "--data-dir", b.data, "--held-out", "16", "--batch", "16", "--epochs", "1", "--lr", "1e-30",
                                      "--search-epochs", "2", "--check-every", "1", "--search-lr", rate, "--weight-decay", "0", "--seed", "3", "--target", "flops=0.6", "--on-nan", "rollback", "--out", b.at(run)};
    };
    const Outcome whole = run_hinge(search("whole"));
    INFO(rate << "\n"
              << whole.output);
    CHECK((whole.code == 0 || whole.code == 1));
    if (whole.code != 0 || !b.result("whole").contains("rollbacks")) continue;
    CHECK(b.result("whole").at("rollbacks").at(0).at("phase") == "search");

    auto first = search("killed");
    first.insert(first.end(), {"--conv-choices", b.at("whole/conv_choices.json")});
    const Outcome killed = run_hinge(first, "rename:4:kill:checkpoint");  // of the first save behind the rollback's own
    INFO(killed.output);
    REQUIRE(killed.code == 128 + SIGKILL);
    if (killed.output.find("rolled back") == std::string::npos) continue;
    const Outcome resumed = run_hinge({"compress", "--resume", b.at("killed")});
    INFO(resumed.output);
    REQUIRE(resumed.code == 0);
    CHECK((essence(b.at("killed")) == essence(b.at("whole"))));
    return;
  }
  FAIL("at none of the rates a search was rolled back in time and ended well");
}

TEST_CASE("weights that aren't finite are refused with the file, the tensor and the place, whoever reads them") {
  const Bench b;
  Network network = tiny_network(1);
  network.parameter("layer1.0.conv2.weight").value.mutable_data()[10] = std::nanf("");
  write_network(b.weights, network);
  const std::string expected = b.weights + ": weight of layer1.0.conv2.weight[0, 0, 0, 10] is nan (1 of 2304 numbers is not finite)";
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{{"eval"}, {"compress", "--out", b.at("run")}, {"finetune", "--out", b.at("run")}}) {
    std::vector<std::string> arguments = command;
    arguments.insert(arguments.end(), {"--weights", b.weights, "--data", "cifar10", "--data-dir", b.data});
    const Outcome outcome = run_hinge(arguments);
    CHECK(outcome.code == 1);
    CHECK_THAT(outcome.output, contains(expected));
  }
  CHECK(run_hinge({"export", "--weights", b.weights, "--out", b.at("x.onnx")}).code == 1);
  CHECK_FALSE(std::filesystem::exists(b.at("x.onnx")));
}

TEST_CASE("a network that overflows on the test images has no score") {
  const Bench b;
  Network network = tiny_network(1);
  Tensor weight = network.parameter("linear.weight").value.detached();
  std::fill_n(weight.mutable_data(), weight.size(), 3e38f);
  write_network(b.weights, network);
  const Outcome outcome = run_hinge({"eval", "--weights", b.weights, "--data", "cifar10", "--data-dir", b.data, "--json", b.at("e.json")});
  CHECK(outcome.code == 1);
  CHECK_THAT(outcome.output, contains("output of resnet8 (test images)["));
  CHECK_FALSE(std::filesystem::exists(b.at("e.json")));
}

TEST_CASE("a mean or a deviation that is no number is refused as a request") {
  const Bench b;
  for (const std::vector<std::string>& flags : std::vector<std::vector<std::string>>{{"--mean", "nan,0,0", "--std", "1,1,1"}, {"--mean", "0,0,0", "--std", "1,inf,1"}, {"--mean", "0,0,0", "--std", "1,nan,1"}}) {
    const Outcome outcome = run_hinge(b.train("run", flags));
    INFO(outcome.output);
    CHECK(outcome.code == 2);
  }
}

TEST_CASE("sets that are hardly sets work, or say why not") {
  const Bench b(4);  // 20 training images, 4 test images
  const auto train = [&](const std::string& run, std::vector<std::string> more) {
    std::vector<std::string> arguments = {"train", "--model", "resnet8", "--data", "cifar10", "--data-dir", b.data, "--out", b.at(run)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_hinge(arguments);
  };
  const auto works = [&](const std::string& run, const std::vector<std::string>& more) {
    const Outcome outcome = train(run, more);
    INFO(outcome.output);
    REQUIRE(outcome.code == 0);
    CHECK(b.result(run).at("cross_entropy").is_number());
  };
  works("one image, and a batch that is larger", {"--train-images", "1", "--epochs", "2", "--held-out", "16"});
  works("a batch larger than the set", {"--batch", "4096", "--epochs", "1", "--held-out", "16"});
  works("a last batch of one image is left out", {"--batch", "3", "--epochs", "1", "--held-out", "16"});  // 4 = 3 + 1
  works("batches of one image", {"--batch", "1", "--epochs", "1", "--held-out", "16"});
  works("nothing held out", {"--epochs", "1", "--held-out", "0"});
  const Outcome none = train("none", {"--held-out", "20"});
  CHECK(none.code == 1);
  CHECK_THAT(none.output, contains("20 images were to be held out, expected 0 to 19 of 20"));

  for (const auto& file : std::filesystem::directory_iterator(b.data + "/cifar-10-batches-bin")) {  // every label is 3
    std::string bytes = slurp(file.path());
    for (std::size_t record = 0; record + 3073 <= bytes.size(); record += 3073) bytes[record] = 3;
    std::ofstream(file.path(), std::ios::binary) << bytes;
  }
  works("one label", {"--epochs", "1", "--held-out", "4"});
}

TEST_CASE("one class alone is refused by its name, one test picture a class is scored and compressed on like many") {
  const io::Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch.folder() / name).string(); };
  const auto run = [&](std::vector<std::string> arguments) {
    for (const char* more : {"--data", "folder", "--data-dir"}) arguments.push_back(more);
    for (const std::string& more : {at("set"), std::string("--image-size"), std::string("32"), std::string("--held-out"), std::string("1"), std::string("--batch"), std::string("4"), std::string("--epochs"), std::string("1")}) arguments.push_back(more);
    return run_hinge(arguments);
  };
  const auto add = [&](const std::string& name, int seed) {
    std::filesystem::create_directories(std::filesystem::path(at("set/" + name)).parent_path());
    write_bytes(at("set/" + name), png_of(noise_picture(33 + seed, 40, seed)));
  };
  for (int i = 0; i < 5; ++i) add("train/cat/" + std::to_string(i) + ".png", i);
  add("val/cat/0.png", 9);
  const Outcome alone = run({"train", "--model", "resnet8", "--out", at("run")});
  CHECK(alone.code == 1);
  CHECK_THAT(alone.output, contains("one class, 'cat', expected two or more"));

  add("train/dog/0.png", 6);
  add("val/dog/0.png", 8);
  const Outcome trained = run({"train", "--model", "resnet8", "--out", at("two")});
  INFO(trained.output);
  REQUIRE(trained.code == 0);
  const Outcome compressed = run({"compress", "--weights", at("two/model.safetensors"), "--target", "flops=0.6", "--search-epochs", "1", "--out", at("small")});
  INFO(compressed.output);
  CHECK(compressed.code == 0);
  CHECK(nlohmann::json::parse(slurp(at("small/result.json"))).at("after").at("images") == 2);
}
