// hinge time: how long networks take, in turns so that a noisy machine is fair to all of them.
#include <omp.h>

#include <map>
#include <sstream>

#include "engine/infer/inference_plan.h"
#include "engine/io/json.h"
#include "tools/hinge/commands.h"
#include "tools/hinge/evaluate.h"
#include "tools/hinge/session.h"

namespace hinge::cli {
namespace {

struct Options {
  std::vector<std::string> weights;
  std::string model, shortcut, method = "measured", input, json;
  std::vector<std::int64_t> batch = {1, 128};
  int rounds = 15, threads = 0;
  bool layers = false;
  DeviceOptions device;
};

struct Timed {
  std::string name;
  Network network;
};

std::vector<Timed> networks_of(const Options& options) {
  std::vector<Timed> result;
  const FeatureShape input = options.input.empty() ? FeatureShape{} : parse_picture("--input", options.input);
  for (const std::string& file : options.weights) {
    LoadedModel model = load_model({.weights = file, .model = options.model, .shortcut = options.shortcut});
    if (!options.input.empty() && input.c != model.network.graph().input.c) {
      fail_usage("--input has {} channels, {} takes {}", input.c, file, model.network.graph().input.c);
    }
    result.push_back({file, options.input.empty() ? std::move(model.network) : for_pictures(model.network, input.h, input.w)});
  }
  if (options.weights.empty()) {
    result.push_back({options.model, random_network({.weights = "", .model = options.model, .shortcut = options.shortcut}, input)});
  }
  return result;
}

// "a.0 + a.1 + relu" does what its nodes do.
std::int64_t macs_of_step(const std::string& step, const std::map<std::string, std::int64_t>& macs) {
  std::int64_t sum = 0;
  std::istringstream words(step);
  for (std::string word; words >> word;) {
    if (const auto found = macs.find(word); found != macs.end()) sum += found->second;
  }
  return sum;
}

void measure(const Options& options) {
  if (options.json == "-") lines_to_stderr();
  set_threads(options.threads);
  const InferenceMethod method = inference_method_of(options.method);
  const Device device = options.device.choose();
  std::vector<Timed> networks = networks_of(options);
  for (Timed& timed : networks) timed.network.move_to(device);
  nlohmann::json json = {{"threads", omp_get_max_threads()}, {"device", device_description()}, {"networks", nlohmann::json::array()}};
  for (const Timed& timed : networks) json["networks"].push_back({{"network", timed.name}, {"macs", cost_of(timed.network.graph()).macs}, {"times", nlohmann::json::array()}});
  std::vector<std::vector<std::string>> table = {{"network", "batch", "method", "ms per batch", "images/s", "time", "MACs"}};
  for (const std::int64_t batch : options.batch) {
    std::vector<InferencePlan> plans;
    std::vector<Tensor> images;
    for (const Timed& timed : networks) {
      const FeatureShape& in = timed.network.graph().input;
      plans.emplace_back(timed.network, InferenceOptions{.batch = batch, .method = method, .graph = !options.device.eager});
      images.push_back(Tensor::full({batch, in.h, in.w, in.c}, 0.5f).to(device));
    }
    const std::vector<Spread> times = seconds_in_turns(plans, images, options.rounds);
    for (std::size_t i = 0; i < plans.size(); ++i) {
      const auto macs = [&](std::size_t n) { return static_cast<double>(cost_of(networks[n].network.graph()).macs); };
      const auto share = [](double part, double whole) { return fmt::format("{:.1f} %", 100.0 * part / whole); };
      table.push_back({networks[i].name, fmt::format("{}", batch), name_of(plans[i].method()), fmt::format("{:.3f}", 1e3 * times[i].median),
                       fmt::format("{:.0f}", static_cast<double>(batch) / times[i].median), share(times[i].median, times[0].median), share(macs(i), macs(0))});
      nlohmann::json entry = {{"batch", batch}, {"method", name_of(plans[i].method())}, {"milliseconds", 1e3 * times[i].median}, {"fastest_milliseconds", 1e3 * times[i].least}};
      if (options.layers) {
        std::vector<std::vector<std::string>> layers = {{"step", "form", "ms", "share", "GFLOP/s"}};
        std::map<std::string, std::int64_t> macs_of;
        for (const LayerCost& layer : layer_costs(networks[i].network.graph())) macs_of[layer.name] = layer.cost.macs;
        double sum = 0.0;
        const std::vector<StepTime> steps = plans[i].profile(images[i], options.rounds);
        for (const StepTime& step : steps) sum += step.seconds;
        for (const StepTime& step : steps) {
          const std::int64_t work = macs_of_step(step.name, macs_of);
          const std::string rate = work > 0 && step.seconds > 0.0 ? fmt::format("{:.0f}", 2e-9 * static_cast<double>(work * batch) / step.seconds) : "";
          layers.push_back({step.name, step.form, fmt::format("{:.4f}", 1e3 * step.seconds), share(step.seconds, sum), rate});
          entry["layers"].push_back({{"name", step.name}, {"form", step.form}, {"milliseconds", 1e3 * step.seconds}, {"macs", work}});
        }
        say("{}, batch {}", networks[i].name, batch);
        if (steps.empty()) say("  the library's own forward pass is fastest here; its layers aren't timed");
        if (!steps.empty()) say_table(layers);
      }
      json["networks"][i]["times"].push_back(entry);
    }
  }
  say_table(table);
  if (options.json == "-") {
    std::fputs((io::json_text(json, "time", 2) + "\n").c_str(), stdout);
  } else if (!options.json.empty()) {
    io::write_json(options.json, json);
  }
}

}  // namespace

Action declare_time(CLI::App& app) {
  auto options = std::make_shared<Options>();
  Flags flags(app);
  flags.option("--weights", options->weights, "Networks (safetensors); times and MACs are compared with the first one's")->delimiter(',');
  flags.option("--model", options->model, "Network by name, with random weights, or what files that don't describe themselves hold");
  flags.option("--shortcut", options->shortcut, "Shortcut of CIFAR ResNets: A-pool, A-stride or C");
  flags.option("--input", options->input, "Picture, HEIGHTxWIDTHxCHANNELS (default: the network's own)");
  flags.group("Measurement");
  flags.option("--batch", options->batch, "Images in a call")->delimiter(',')->check(CLI::Range(1, 65536));
  flags.option("--method", options->method,
               "measured (the fastest for the batch), images (16 at a time, one in each lane of a register), channels (one at a time) or library");
  flags.option("--rounds", options->rounds, "Calls of each network; the median counts")->check(CLI::Range(1, 100000));
  flags.option("--threads", options->threads, "Threads to compute with (0: all)")->check(CLI::Range(0, 1024));
  flags.flag("--layers", options->layers, "Every layer's time too, and its rate: two operations a multiply-add, counted as the plain convolution has them");
  options->device.declare(flags, DeviceUse::kRepeated);
  flags.group("Output");
  flags.option("--json", options->json, "Write the result as JSON to a file, or to standard output with -");
  app.footer("Examples:\n  hinge time --model resnet20\n  hinge time --weights resnet20.safetensors,RUN/model.safetensors --batch 1,128 --layers");
  return [options] { measure(*options); };
}

}  // namespace hinge::cli
