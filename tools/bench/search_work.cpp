#include "tools/bench/search_work.h"

#include <nlohmann/json.hpp>

#include "engine/optim/sgd.h"
#include "engine/train/training_step.h"
#include "tools/bench/rounds.h"
#include "tools/hinge/search.h"

namespace hinge::bench {
namespace {

using Clock = std::chrono::steady_clock;

// Steps of a search so long that lambda stays next to nothing while it is timed: no group vanishes.
constexpr std::int64_t kSteps = 1'000'000'000;

class Stopwatch {
 public:
  template <class Work>
  auto time(const Work& work) {
    const Clock::time_point start = Clock::now();
    struct Stop {
      Stopwatch& watch;
      Clock::time_point start;
      ~Stop() { watch.seconds_ += std::chrono::duration<double>(Clock::now() - start).count(); }
    } const stop{*this, start};
    return work();
  }
  double seconds() const { return seconds_; }

 private:
  double seconds_ = 0.0;
};

// What the optimiser inside takes is not what the penalty costs.
class Timed final : public Optimizer {
 public:
  Timed(std::unique_ptr<Optimizer> timed, Stopwatch& watch) : timed_(std::move(timed)), watch_(watch) {}
  void step(std::span<Parameter* const> parameters, std::span<const Tensor> gradients, float rate, const Stream& stream) override {
    watch_.time([&] { timed_->step(parameters, gradients, rate, stream); });
  }
  std::map<std::string, Tensor> state() const override { return timed_->state(); }
  void restore(const std::map<std::string, Tensor>& state) override { timed_->restore(state); }

 private:
  std::unique_ptr<Optimizer> timed_;
  Stopwatch& watch_;
};

}  // namespace

nlohmann::json search_work(const Network& dense, const Tensor& images, const Tensor& labels, const SearchWork& work) {
  const Device device = images.device();
  const Stream stream = stream_of(device);
  const compress::Structure structure = compress::make_structure(dense.graph(), {.mode = compress::mode_of(work.mode), .exclude = {}});
  Network host = dense.clone();
  host.move_to(Device{});
  compress::Attached attached = compress::attach(host, structure.choice.attach, compress::Initialisation::kSvd2);
  const compress::Budget budget(structure);
  Network& network = attached.network;
  network.move_to(device);

  Stopwatch sgd, optimizer_time, rates, looks;
  auto penalised = std::make_unique<compress::ProximalOptimizer>(
      std::make_unique<Timed>(std::make_unique<Sgd>(SgdConfig{.momentum = 0.9f, .decay = 1e-4f}), sgd), compress::make_regularizer("l1"),
      compress::penalised_sets(network, structure));
  compress::ProximalOptimizer& proximal = *penalised;
  Timed optimizer(std::move(penalised), optimizer_time);
  cli::SearchOptions options;
  options.lr = work.rate, options.mode = work.mode;
  cli::SearchHooks hooks(options, {compress::Target{.count = Count::kMacs, .flops = 0.5, .parameters = {}, .bytes = {}, .latency = {}, .seconds = {}}}, kSteps, structure, options.selection(structure), network, proximal, budget);
  std::int64_t steps = 0;
  TrainingStep::Look look;
  if (hooks.looks_at_gradients()) {
    look = [&](std::span<Parameter* const> parameters, std::span<const Tensor> gradients) {
      rates.time([&] { hooks.before_update(steps, parameters, gradients); });
    };
  }
  TrainingStep training(network, optimizer, {.graph = !work.eager, .activations = work.activations}, look, stream);
  const auto once = [&] {
    training.run(images, labels, static_cast<float>(work.rate), static_cast<std::uint64_t>(steps));
    ++steps;
    looks.time([&] { hooks.after_update(steps, kSteps); });
  };
  std::vector<double> losses;
  for (int i = 0; i < 3; ++i) {
    once();
    losses.push_back(training.outcome().loss);
  }
  sgd = optimizer_time = rates = looks = {};
  const std::int64_t before = steps;
  const double seconds = seconds_of(work.seconds, stream, once);
  const auto per_step = [&](double sum) { return sum / static_cast<double>(steps - before); };
  return {{"work", "search"},
          {"losses", losses},
          {"seconds", seconds},
          {"sets", structure.sets.size()},
          {"parts", {{"rates", per_step(rates.seconds())}, {"proximal", per_step(optimizer_time.seconds() - sgd.seconds())}, {"looks", per_step(looks.seconds())}}},
          {"how", training.how()},
          {"images", images.dim(0)}};
}

}  // namespace hinge::bench
