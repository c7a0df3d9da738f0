// hinge info: what a network costs, layer by layer.
#include "engine/io/json.h"
#include "models/registry.h"
#include "tools/hinge/commands.h"
#include "tools/hinge/session.h"

namespace hinge::cli {
namespace {

struct Options {
  WeightsOptions weights;
  std::int64_t classes = 0;  // 0: the model's own
  std::string input, json;
};

Graph graph_of(const Options& options) {
  const FeatureShape input = options.input.empty() ? FeatureShape{} : parse_picture("--input", options.input);
  if (!options.weights.weights.empty()) {
    if (options.classes != 0) fail_usage("--classes goes with a network built by name; --weights has its own");
    LoadedModel model = load_model(options.weights);
    const FeatureShape own = model.network.graph().input;
    if (options.input.empty() || input == own) return model.network.graph();
    if (input.c != own.c) fail_usage("--input has {} channels, the weights take {}", input.c, own.c);
    return for_pictures(model.network, input.h, input.w).graph();
  }
  if (options.weights.model.empty()) fail_usage("--model or --weights is missing: which network?");
  models::ModelOptions build = options.weights.model_options();
  build.input = input;
  if (options.classes != 0) build.classes = options.classes;
  return models::build(options.weights.model, build);
}

void describe(const Options& options) {
  if (options.json == "-") lines_to_stderr();
  const Graph graph = graph_of(options);
  const std::vector<LayerCost> layers = layer_costs(graph);
  const Cost total = cost_of(graph);

  nlohmann::json json = cost_to_json(total);
  json["architecture"] = graph.architecture;
  json["input"] = {graph.input.h, graph.input.w, graph.input.c};
  json["layers"] = nlohmann::json::array();
  std::vector<std::vector<std::string>> table = {{"layer", "operation", "output", "parameters", "MACs"}};
  for (const LayerCost& layer : layers) {
    nlohmann::json entry = cost_to_json(layer.cost);
    entry["name"] = layer.name;
    entry["op"] = std::string(name_of(layer.kind));
    entry["output"] = {layer.output.h, layer.output.w, layer.output.c};
    json["layers"].push_back(entry);
    if (layer.cost.parameters == 0) continue;
    table.push_back({layer.name, std::string(name_of(layer.kind)),
                     fmt::format("{}x{}x{}", layer.output.h, layer.output.w, layer.output.c),
                     fmt::format("{}", layer.cost.parameters), fmt::format("{}", layer.cost.macs)});
  }
  table.push_back({"total", "", "", fmt::format("{}", total.parameters), fmt::format("{}", total.macs)});
  say("{}", graph.architecture);
  say_table(table);
  say("  {} operations as the paper's program counts them (MACs, 2 per BatchNorm element, 1 per ReLU element)", total.operations);
  if (options.json == "-") {
    std::fputs((io::json_text(json, "info", 2) + "\n").c_str(), stdout);
  } else if (!options.json.empty()) {
    io::write_json(options.json, json);
  }
}

}  // namespace

Action declare_info(CLI::App& app) {
  auto options = std::make_shared<Options>();
  Flags flags(app);
  options->weights.declare(flags);
  flags.option("--classes", options->classes, "Classes of a network built by name (0: its own, 10 or 1000)");
  flags.option("--input", options->input, "Picture, HEIGHTxWIDTHxCHANNELS (default: the network's own)");
  flags.group("Output");
  flags.option("--json", options->json, "Write the result as JSON to a file, or to standard output with -");
  app.footer(fmt::format("Networks: {}\n", fmt::join(models::names(), ", ")) +
             "Examples:\n  hinge info --model resnet56 --shortcut A-pool\n  hinge info --model resnet50 --input 160x160x3\n"
             "  hinge info --weights RUN/model.safetensors --json -");
  return [options] { describe(*options); };
}

}  // namespace hinge::cli
