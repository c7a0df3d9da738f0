// The program on folders of pictures, and the whole way: a state dict of a ResNet-18 in, compressed on photographs, out to
// ONNX.
#include <functional>
#include <nlohmann/json.hpp>

#include "data/loader.h"
#include "engine/autograd/node.h"
#include "engine/io/safetensors.h"
#include "engine/nn/model_file.h"
#include "models/registry.h"
#include "tests/support/catch.h"
#include "tests/support/pictures.h"
#include "tests/support/random_graph.h"
#include "tests/tools/onnx_runtime.h"
#include "tests/tools/ranks.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

void refused(const std::vector<std::string>& arguments, int code, const std::vector<std::string>& parts) {
  const Outcome outcome = run_hinge(arguments);
  INFO(outcome.output);
  CHECK(outcome.code == code);
  for (const std::string& part : parts) CHECK_THAT(outcome.output, contains(part));
}

nlohmann::json json_of(const std::string& file) { return nlohmann::json::parse(slurp(file)); }

}  // namespace

TEST_CASE("a folder of pictures is trained on and scored; broken pictures are named") {
  const io::Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch.folder() / name).string(); };
  write_small_folder(at("pictures"), 8);
  std::vector<std::string> train = {"train", "--model", "resnet8", "--data", "folder", "--data-dir", at("pictures"), "--image-size", "32", "--epochs", "2", "--batch", "8", "--held-out", "6", "--lr", "0.05", "--out", at("run")};
  const Outcome trained = run_hinge(train);
  INFO(trained.output);
  REQUIRE(trained.code == 0);
  const auto result = json_of(at("run/result.json"));
  CHECK(result["images"] == 24);
  // Another process, other threads, the normalisation from the file: the same score.
  for (const char* threads : {"1", "3"}) {
    REQUIRE(run_hinge({"eval", "--weights", at("run/model.safetensors"), "--data", "folder", "--data-dir", at("pictures"), "--image-size", "32", "--loader-threads", threads, "--json", at("e.json")}).code == 0);
    const auto scored = json_of(at("e.json"));
    CHECK(scored["top1_error"] == result["top1_error"]);
    CHECK((std::abs(scored["cross_entropy"].get<double>() - result["cross_entropy"].get<double>()) <= 1e-5));
  }
  refused({"eval", "--weights", at("run/model.safetensors"), "--data", "folder", "--data-dir", at("pictures"), "--image-size", "48"}, 2, {"takes 32x32x3", "--image-size 32 would fit"});
  refused({"eval", "--weights", at("run/model.safetensors"), "--data", "folder", "--data-dir", at("pictures"), "--image-size", "32", "--broken-images", "ignore"}, 2, {"--broken-images"});

  write_bytes(at("pictures") + "/val/cat/broken.jpg", {'n', 'o'});
  write_bytes(at("pictures") + "/train/dog/broken.png", {'n', 'o'});
  refused({"eval", "--weights", at("run/model.safetensors"), "--data", "folder", "--data-dir", at("pictures"), "--image-size", "32"}, 1, {"1 broken image", "val/cat/broken.jpg", "--broken-images skip"});
  const Outcome skipped = run_hinge({"eval", "--weights", at("run/model.safetensors"), "--data", "folder", "--data-dir", at("pictures"), "--image-size", "32", "--broken-images", "skip", "--json", at("e.json")});
  CHECK(skipped.code == 0);
  CHECK_THAT(skipped.output, contains("warning: left out: ") && contains("val/cat/broken.jpg"));
  CHECK(json_of(at("e.json"))["top1_error"] == result["top1_error"]);
  train.back() = at("run2");
  refused(train, 1, {"train/dog/broken.png"});
}

TEST_CASE("a packed folder gives the folder's run, byte by byte, and packing refuses what can't be") {
  const io::Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch.folder() / name).string(); };
  write_small_folder(at("pictures"), 8);
  const Outcome packed = run_hinge({"pack", "--data-dir", at("pictures"), "--out", at("shards"), "--shard-size", "10kB", "--json", at("pack.json")});
  INFO(packed.output);
  REQUIRE(packed.code == 0);
  CHECK_THAT(packed.output, contains("48 pictures in"));
  CHECK(json_of(at("pack.json"))["images"] == 48);
  const auto train = [&](const std::string& data, const std::string& out) {
    return std::vector<std::string>{"train", "--model", "resnet8", "--data", "folder", "--data-dir", at(data), "--image-size", "32", "--epochs", "1", "--batch", "8", "--held-out", "6", "--lr", "0.05", "--threads", "1", "--out", at(out)};
  };
  REQUIRE(run_hinge(train("pictures", "a")).code == 0);
  std::vector<std::string> of_shards = train("shards", "b");
  of_shards.insert(of_shards.end(), {"--conv-choices", at("a/conv_choices.json")});
  const Outcome outcome = run_hinge(of_shards);
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  CHECK(slurp(at("a/inputs.json")) == slurp(at("b/inputs.json")));
  CHECK(slurp(at("a/model.safetensors")) == slurp(at("b/model.safetensors")));
  CHECK(run_hinge({"pack", "--check", at("shards")}).code == 0);

  refused({"pack", "--data-dir", at("pictures"), "--out", at("shards")}, 2, {"holds packed pictures already"});
  refused({"pack", "--data-dir", at("shards"), "--out", at("more")}, 2, {"is packed already"});
  refused({"pack", "--data-dir", at("pictures"), "--out", at("more"), "--shard-size", "2parsecs"}, 2, {"--shard-size 2parsecs"});
  refused({"pack", "--out", at("more")}, 2, {"--data-dir is missing"});
  refused({"pack", "--data-dir", at("pictures")}, 2, {"--out is missing"});
  refused({"pack", "--check", at("pictures")}, 2, {"no file shards.json"});
  write_bytes(at("pictures") + "/val/cat/broken.jpg", {'n', 'o'});
  refused({"pack", "--data-dir", at("pictures"), "--out", at("more")}, 1, {"1 broken image", "val/cat/broken.jpg", "--broken-images skip"});
  CHECK(run_hinge({"pack", "--data-dir", at("pictures"), "--out", at("more"), "--broken-images", "skip"}).code == 0);
  std::filesystem::resize_file(at("shards/train-00000.tar"), 512);
  refused({"eval", "--weights", at("a/model.safetensors"), "--data", "folder", "--data-dir", at("shards"), "--image-size", "32"}, 1, {"train-00000.tar has 512 bytes", "cut off"});
  refused({"pack", "--check", at("shards")}, 1, {"train-00000.tar"});
}

TEST_CASE("Ctrl-C ends the look of hinge pack, which then leaves nothing, and its check of what was packed") {
  const io::Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch.folder() / name).string(); };
  // Stops it with `signal` a little after `begun` says so. What it printed in that time.
  const auto stopped = [&](const std::vector<std::string>& arguments, int signal, const std::function<bool(pid_t)>& begun) {
    const pid_t child = start_hinge(arguments, at("log"));
    CHECK(wait_until(child, [&] { return begun(child); }));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    kill(child, signal);
    return Outcome{wait_for(child), slurp(at("log"))};
  };
  write_small_folder(at("pictures"), 2);
  write_bytes(at("large.jpg"), jpeg_of(smooth_picture(3000, 4000, 1)));
  for (int i = 0; i < 200; ++i) std::filesystem::create_hard_link(at("large.jpg"), at("pictures/train/cat/large" + std::to_string(i) + ".jpg"));  // many seconds of a core
  const std::vector<std::string> pack = {"pack", "--data-dir", at("pictures"), "--out", at("shards"), "--no-cache", "--loader-threads", "2"};
  for (const int signal : {SIGINT, SIGTERM}) {
    const Outcome looking = stopped(pack, signal, [&](pid_t child) { return has_lock(child, at("shards")); });
    CHECK(looking.code == 130);
    CHECK_THAT(looking.output, contains("interrupted; nothing was packed"));
    CHECK(std::distance(std::filesystem::directory_iterator(at("shards")), {}) == 1);
  }
  // A shard of 4 GB that takes no place.
  const std::uint64_t bytes = 4'000'000'000 / 512 * 512;
  const auto set = [&](const char* name, std::uint64_t size) {
    write_bytes(at(std::string("sparse/") + name + ".tar"), {});
    std::filesystem::resize_file(at(std::string("sparse/") + name + ".tar"), size + 512 + 1024);
    return nlohmann::json{{"shards", {{{"file", std::string(name) + ".tar"}, {"bytes", size + 512 + 1024}, {"checksum", "00000000"}, {"names", {"a/0.png"}}, {"sizes", {size}}}}}};
  };
  const nlohmann::json index = {{"format", "hinge shards 1"}, {"classes", {"a", "b"}}, {"train", set("train", bytes)}, {"test", set("test", 512)}};
  io::write_file_atomically(at("sparse/shards.json"), index.dump());
  const auto reads = [](pid_t child) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(child) + "/fd", ignored)) {
      if (std::filesystem::read_symlink(entry.path(), ignored).filename() == "train.tar") return true;
    }
    return false;
  };
  for (const int signal : {SIGINT, SIGTERM}) {
    const Outcome checking = stopped({"pack", "--check", at("sparse")}, signal, reads);
    CHECK(checking.code == 130);
    CHECK_THAT(checking.output, contains("interrupted; ") && contains("sparse was not read to its end"));
  }
}

TEST_CASE("hinge pack leaves archives alone that it didn't make, and says in left_out which pictures it left out and nothing else") {
  const io::Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch.folder() / name).string(); };
  write_small_folder(at("pictures"), 2);
  write_bytes(at("mine/train-00000.tar"), {'m'});
  refused({"pack", "--data-dir", at("pictures"), "--out", at("mine")}, 2, {"holds 'train-00000.tar'", ".packing"});
  CHECK(std::distance(std::filesystem::directory_iterator(at("mine")), {}) == 1);
  CHECK(slurp(at("mine/train-00000.tar")) == "m");
  write_bytes(at("pictures/train/dog/broken.png"), {'n', 'o'});
  for (const auto& entry : std::filesystem::recursive_directory_iterator(at("pictures"))) std::filesystem::last_write_time(entry.path(), std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  const Outcome packed = run_hinge({"pack", "--data-dir", at("pictures"), "--out", at("shards"), "--broken-images", "skip", "--json", at("p.json")}, "create:1:EACCES:pictures-");
  INFO(packed.output);
  REQUIRE(packed.code == 0);
  CHECK_THAT(packed.output, contains("warning: what was seen of the pictures is not kept") && contains("warning: left out: ") && contains("broken.png"));
  const auto left_out = json_of(at("p.json"))["left_out"];
  REQUIRE(left_out.size() == 1);
  CHECK_THAT(left_out[0].get<std::string>(), contains("broken.png"));
}

TEST_CASE("of several ranks the first alone writes what was seen of pictures") {
  if (!is_there(no_ranks())) return;
  const io::Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch.folder() / name).string(); };
  write_small_folder(at("pictures"), 4);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(at("pictures"))) std::filesystem::last_write_time(entry.path(), std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  // A cache for each, so that it can be seen who wrote.
  const int code = wait_for(start({"mpirun", "-n", "2", "sh", "-c", "XDG_CACHE_HOME=\"" + at("cache") + "$OMPI_COMM_WORLD_RANK\" exec \"$0\" \"$@\"", HINGE_BINARY, "train", "--model", "resnet8", "--data", "folder", "--data-dir", at("pictures"), "--image-size", "32", "--epochs", "1", "--batch", "4", "--held-out", "2", "--out", at("run")}, at("log")));
  INFO(slurp(at("log")));
  REQUIRE(code == 0);
  CHECK(std::distance(std::filesystem::directory_iterator(at("cache0/hinge")), {}) == 2);
  CHECK_FALSE(std::filesystem::exists(at("cache1")));
}

TEST_CASE("what was seen of pictures is in the user's cache, unless --no-cache is given") {
  const io::Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch.folder() / name).string(); };
  write_small_folder(at("pictures"), 2);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(at("pictures"))) {  // what is new is looked at once more
    std::filesystem::last_write_time(entry.path(), std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  }
  const auto files = [] {
    std::error_code none;
    return std::distance(std::filesystem::directory_iterator(cache_of_tests() / "hinge", none), {});
  };
  std::vector<std::string> train = {"train", "--model", "resnet8", "--data", "folder", "--data-dir", at("pictures"), "--image-size", "32", "--epochs", "1", "--batch", "4", "--held-out", "1", "--no-cache", "--out", at("a")};
  const auto before = files();
  REQUIRE(run_hinge(train).code == 0);
  CHECK(files() == before);
  train.back() = at("b"), train.erase(train.end() - 3);
  REQUIRE(run_hinge(train).code == 0);
  CHECK(files() == before + 2);
  CHECK(slurp(at("a/inputs.json")) == slurp(at("b/inputs.json")));
}

TEST_CASE("torchvision's ResNet-18 goes in, is compressed on photographs and goes out to ONNX with the same logits", "[night]") {
  const char* variable = std::getenv("HINGE_SHARED");
  const std::string folder = std::string(variable ? variable : "../shared") + "/data/imagenette-mini";
  if (!std::filesystem::exists(folder)) {
    WARN("skipped: no images at " << folder);
    return;
  }
  const io::Scratch scratch;
  const auto at = [&](const std::string& name) { return (scratch.folder() / name).string(); };
  const data::Dataset set = data::load_dataset("folder", folder, {.size = 64, .threads = 2});
  data::Loader loader(set.test, set.normalization, {0, 30, 60, 90, 120, 150}, {.batch_size = 6});
  loader.start(0);
  const Tensor images = loader.next()->images;
  {
    Network network = random_network(models::build("resnet18", {.classes = 10, .input = {64, 64, 3}}), 1);
    calibrate(network, images);
    io::TensorFile file;  // as torch.save has it: no description, and counters beside every BatchNorm
    for (const auto& [name, tensor] : network.values()) {
      file.tensors.emplace(name, tensor.shape().rank() == 4 ? filters_to_file_layout(tensor) : tensor);
      if (name.ends_with(".running_mean")) file.tensors.emplace(name.substr(0, name.rfind('.')) + ".num_batches_tracked", Tensor::zeros({}, DType::kInt64));
    }
    io::write_safetensors(at("resnet18.safetensors"), file);
  }
  // A few steps: what is looked at is the way, not the error.
  const Outcome compressed = run_hinge({"compress", "--weights", at("resnet18.safetensors"), "--model", "resnet18", "--data", "folder", "--data-dir", folder, "--image-size", "64", "--train-images", "64", "--held-out", "40",
                                        "--batch", "32", "--target", "flops=0.6", "--search-epochs", "1", "--epochs", "1", "--out", at("run")});
  INFO(compressed.output);
  REQUIRE(compressed.code == 0);
  CHECK(json_of(at("run/result.json"))["flops_ratio"].get<double>() <= 0.6);
  CHECK(json_of(at("run/result.json"))["proof"]["relative"].get<double>() <= 1e-4);
  CHECK_THAT(slurp(at("run/report.html")), contains("resnet18 on imagenette-mini"));
  REQUIRE(run_hinge({"export", "--weights", at("run/model.safetensors"), "--out", at("small.onnx")}).code == 0);
  const std::string python = python_with_onnx_runtime();
  if (python.empty()) return;
  Network network = network_from(read_model_file(at("run/model.safetensors")), {}, "run");
  OnnxRuns runs(python, scratch.folder());
  runs.expect("small", network, images);
  const nlohmann::json result = runs.run()["small"];
  INFO(result.dump());
  CHECK(result["difference"].get<double>() <= 1e-4 * std::max(1.0, result["largest"].get<double>()));
  CHECK(result["input"] == nlohmann::json({"N", 3, 64, 64}));
  CHECK(nlohmann::json::parse(result["metadata"]["hinge.proof"].get<std::string>())["relative"].get<double>() <= 1e-4);
}
