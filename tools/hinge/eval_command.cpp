// hinge eval: a network's score on the test set.
#include "engine/io/json.h"
#include "engine/io/safetensors.h"
#include "tools/hinge/commands.h"
#include "tools/hinge/console.h"
#include "tools/hinge/device_option.h"
#include "tools/hinge/evaluate.h"
#include "tools/hinge/options.h"

namespace hinge::cli {
namespace {

struct Options {
  DataOptions data;
  WeightsOptions weights;
  std::string logits, json;
  int threads = 0;
  DeviceOptions device;
};

void evaluate_file(Options& options) {
  if (options.json == "-") lines_to_stderr();
  set_threads(options.threads);
  const Device device = options.device.choose();
  options.data.held_out = 0;
  LoadedModel model = load_model(options.weights);
  const LoadedData loaded = load_data(options.data, model.normalization, true);
  check_fit(model, loaded.dataset);
  const data::ImageSet& test = loaded.dataset.test;
  model.network.move_to(device);

  Tensor logits;
  const Score score = evaluate(model.network, test, loaded.dataset.normalization, all_indices(test), "test images",
                               options.logits.empty() ? nullptr : &logits);
  const Cost cost = cost_of(model.network.graph());
  nlohmann::json result = score_to_json(score);
  result.update(cost_to_json(cost));
  result["weights"] = options.weights.weights;
  result["architecture"] = model.network.graph().architecture;
  result["data"] = options.data.data;
  result["device"] = device_description();
  if (!options.logits.empty()) io::write_safetensors(options.logits, {{{"logits", logits}}, {}});

  say("{} ({}), {} test images of {}", options.weights.weights, model.network.graph().architecture, score.images,
      options.data.data);
  say("  top-1 error   {:.2f} %", score.top1_error());
  say("  top-5 error   {:.2f} %", score.top5_error());
  say("  cross-entropy {:.5f}", score.cross_entropy());
  say("  {} parameters, {} MACs an image", cost.parameters, cost.macs);
  if (options.json == "-") {
    std::fputs((io::json_text(result, "result", 2) + "\n").c_str(), stdout);
  } else if (!options.json.empty()) {
    io::write_json(options.json, result);
  }
}

}  // namespace

Action declare_eval(CLI::App& app) {
  auto options = std::make_shared<Options>();
  Flags flags(app);
  options->weights.declare(flags);
  options->data.declare(flags, false);
  options->device.declare(flags, DeviceUse::kForward);
  flags.group("Output");
  flags.option("--logits", options->logits, "Write the logits [images, classes] to this safetensors file");
  flags.option("--json", options->json, "Write the result as JSON to a file, or to standard output with -");
  flags.option("--threads", options->threads, "Threads to compute with (0: all)")->check(CLI::Range(0, 1024));
  app.footer(
      "Example:\n  hinge eval --weights resnet20.safetensors --model resnet20 --shortcut A-stride --data cifar10 "
      "--data-dir DIR \\\n      --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225");
  return [options] { evaluate_file(*options); };
}

}  // namespace hinge::cli
