// hinge export: a network for other programs.
#include "engine/core/names.h"
#include "engine/graph/cost.h"
#include "engine/nn/fold_batch_norm.h"
#include "engine/nn/onnx_file.h"
#include "hinge_version.h"
#include "tools/hinge/commands.h"
#include "tools/hinge/console.h"
#include "tools/hinge/options.h"

namespace hinge::cli {
namespace {

const std::vector<std::string> kFormats = {"onnx", "safetensors"};

struct Options {
  WeightsOptions weights;
  std::string input, format = "onnx", out;
  bool keep_batch_norm = false;
};

void check(const Options& options) {
  if (std::ranges::find(kFormats, options.format) == kFormats.end()) {
    fail_usage("unknown format '{}' (known: {}){}", options.format, fmt::join(kFormats, ", "), did_you_mean(options.format, kFormats));
  }
  if (options.out.empty()) fail_usage("--out is missing: the file to write");
  if (options.keep_batch_norm && options.format != "onnx") fail_usage("--keep-batch-norm goes with --format onnx; {} always keeps it", options.format);
}

Network network_to_export(const Options& options, const LoadedModel& model) {
  const FeatureShape own = model.network.graph().input;
  if (options.input.empty()) return model.network.clone();
  const FeatureShape input = parse_picture("--input", options.input);
  if (input.c != own.c) fail_usage("--input has {} channels, the weights take {}", input.c, own.c);
  return for_pictures(model.network, input.h, input.w);
}

// What the file says about itself, without what belongs to its own format.
Metadata metadata_of(const std::string& file) {
  Metadata metadata = read_model_file(file).metadata;
  metadata.erase("format");
  metadata.erase("hinge.graph");
  return metadata;
}

void export_network(const Options& options) {
  check(options);
  const LoadedModel model = load_model(options.weights);
  const Network network = network_to_export(options, model);
  Metadata metadata = metadata_of(options.weights.weights);
  if (options.format == "onnx") {
    metadata.emplace("architecture", network.graph().architecture);
    write_onnx(options.out, options.keep_batch_norm ? network.clone() : fold_batch_norm(network), {.producer_version = HINGE_VERSION, .metadata = metadata});
  } else {
    write_network(options.out, network, metadata);
  }
  const FeatureShape& input = network.graph().input;
  const Cost cost = cost_of(network.graph());
  say("{}: {} with {} parameters, for {}x{} pictures of {} channels", options.out, network.graph().architecture, cost.parameters, input.h, input.w, input.c);
}

}  // namespace

Action declare_export(CLI::App& app) {
  auto options = std::make_shared<Options>();
  Flags flags(app);
  options->weights.declare(flags);
  flags.option("--input", options->input, "Picture, HEIGHTxWIDTHxCHANNELS, for state dicts that leave it open (default: the network's own)");
  flags.group("Output");
  flags.option("--format", options->format, "onnx, or safetensors (PyTorch's names and layouts)");
  flags.flag("--keep-batch-norm", options->keep_batch_norm, "ONNX with BatchNorm as it is, not folded into the layer in front of it");
  flags.option("--out", options->out, "File to write");
  app.footer(
      "Examples:\n  hinge export --weights RUN/model.safetensors --format onnx --out small.onnx\n"
      "  hinge export --weights mobilenet_v2.safetensors --model mobilenet_v2 --input 160x160 --out mobilenet_v2.onnx");
  return [options] { export_network(*options); };
}

}  // namespace hinge::cli
