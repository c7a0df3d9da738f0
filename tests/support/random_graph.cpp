#include "tests/support/random_graph.h"

#include <algorithm>

#include "engine/autograd/node.h"
#include "engine/graph/builder.h"
#include "kernels/philox.h"

namespace hinge::testing {
namespace {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : seed_(seed) {}
  std::uint32_t below(std::uint32_t bound) { return uniform_below(random_words(seed_, RandomUse::kTest, 11, next_++).word[0], bound); }
  bool chance(std::uint32_t percent) { return below(100) < percent; }
  template <class T>
  const T& pick(const std::vector<T>& list) {
    return list[below(static_cast<std::uint32_t>(list.size()))];
  }

 private:
  std::uint64_t seed_, next_ = 0;
};

class Writer {
 public:
  explicit Writer(std::uint64_t seed) : dice_(seed), g_("random", {8, 8, 3}) {}

  Graph write() {
    values_.push_back(conv(g_.input(), 4 + 4 * dice_.below(3)));
    const std::uint32_t operations = 4 + dice_.below(11);
    for (std::uint32_t i = 0; i < operations; ++i) add_operation();
    Value last = values_.back();
    const Value head = linear(last);
    Graph graph = std::move(g_).finish(head);
    if (dice_.chance(20)) add_head(graph);
    if (dice_.chance(20)) share(graph);
    infer_shapes(graph);
    return graph;
  }

 private:
  using Value = GraphBuilder::Value;
  std::string name(const char* kind) { return std::string(kind) + std::to_string(count_++); }
  FeatureShape shape(Value x) const { return g_.shape(x); }

  Value conv(Value x, std::int64_t out) {
    const int kernel = dice_.chance(50) && shape(x).h >= 3 ? 3 : 1;
    const int padding = kernel == 3 && dice_.chance(20) && shape(x).h > 3 ? 0 : kernel / 2;
    return finish(g_.conv(name("conv"), x, out, {.kernel = kernel, .stride = 1, .padding = padding, .bias = dice_.chance(40)}));
  }
  // BatchNorm and ReLU, each most of the time.
  Value finish(Value x) {
    if (dice_.chance(75)) x = g_.batch_norm(name("bn"), x);
    if (dice_.chance(75)) x = g_.relu(name("relu"), x);
    return x;
  }
  Value grouped(Value x) {
    const std::int64_t c = shape(x).c;
    const int groups = static_cast<int>(dice_.chance(50) ? c : c % 2 == 0 ? c / 2
                                                                          : c);
    const bool padded = dice_.chance(70) || shape(x).h < 3;
    return finish(g_.conv(name("grouped"), x, c * (dice_.chance(20) ? 2 : 1),
                          {.kernel = padded || shape(x).h >= 3 ? 3 : 1, .groups = groups, .padding = padded ? 1 : 0, .bias = dice_.chance(40)}));
  }
  Value linear(Value x) {
    if (dice_.chance(50) && shape(x).h == shape(x).w) x = g_.global_average_pool(name("pool"), x);
    x = g_.flatten(name("flatten"), x);
    if (dice_.chance(40)) {
      x = g_.linear(name("linear"), x, 6);
      if (dice_.chance(50)) x = g_.relu(name("relu"), x);
    }
    return g_.linear(name("linear"), x, 3 + dice_.below(3));
  }
  std::vector<Value> like(Value x, bool channels_too) const {
    std::vector<Value> found;
    for (Value y : values_) {
      const FeatureShape a = g_.shape(x), b = g_.shape(y);
      if (a.h == b.h && a.w == b.w && (!channels_too || a.c == b.c)) found.push_back(y);
    }
    return found;
  }

  void add_operation() {
    const Value x = dice_.chance(70) ? values_.back() : dice_.pick(values_);
    switch (dice_.below(8)) {
      case 0:
      case 1:
      case 2: return values_.push_back(conv(x, 4 + 4 * dice_.below(3)));
      case 3: {
        const Value other = dice_.pick(like(x, true));
        Value y = conv(other, shape(x).c);
        if (shape(y) == shape(x)) y = g_.add(name("add"), x, y);
        return values_.push_back(dice_.chance(50) ? g_.relu(name("relu"), y) : y);
      }
      case 4: return values_.push_back(finish(g_.concat(name("concat"), {x, dice_.pick(like(x, false))})));
      case 5: return values_.push_back(grouped(x));
      case 6: {
        if (shape(x).h < 4) return values_.push_back(conv(x, 4));
        const bool padded = dice_.chance(30);
        const PoolAttributes pool{.window = padded ? 3 : 2, .stride = 2, .padding = padded ? 1 : 0};
        return values_.push_back(dice_.chance(50) ? g_.max_pool(name("pool"), x, pool) : g_.average_pool(name("pool"), x, pool));
      }
      default: {
        if (shape(x).h < 4) return values_.push_back(conv(x, 4));
        const ShortcutAttributes a{.before = dice_.below(3), .after = dice_.below(3), .pool = dice_.chance(50)};
        const Value y = g_.shortcut_a(name("shortcut"), x, a);
        const Value branch = g_.conv(name("conv"), x, shape(y).c, {.kernel = 3, .stride = 2, .bias = dice_.chance(40)});
        if (shape(branch) == shape(y)) return values_.push_back(finish(g_.add(name("add"), finish(branch), y)));
        return values_.push_back(y);
      }
    }
  }

  // A second output that reads an inner value.
  void add_head(Graph& graph) {
    std::vector<int> inner;
    const std::vector<FeatureShape> shapes = infer_shapes(graph);
    for (int n = 1; n < graph.size(); ++n) {  // pictures only: a convolution can't read what flatten made
      if (graph.at(n).kind == OpKind::kRelu && shapes[static_cast<std::size_t>(n)].h > 1) inner.push_back(n);
    }
    if (inner.empty()) return;
    const int from = dice_.pick(inner);
    const FeatureShape in = shapes[static_cast<std::size_t>(from)];
    graph.nodes.push_back({OpKind::kConv2d, name("head"), {from}, ConvAttributes{.in = in.c, .out = 2, .kernel_h = 1, .kernel_w = 1, .bias = true}});
    graph.more_outputs.push_back(graph.size() - 1);
  }
  // A second use of some convolution's weights where one with the same attributes follows it.
  void share(Graph& graph) {
    for (int n = 1; n < graph.size(); ++n) {
      for (int m = n + 1; m < graph.size(); ++m) {
        GraphNode &a = graph.at(n), &b = graph.at(m);
        if (a.kind == OpKind::kConv2d && b.kind == a.kind && a.attributes == b.attributes && a.weights_of.empty()) {
          b.weights_of = a.name;
          return;
        }
      }
    }
  }

  Dice dice_;
  GraphBuilder g_;
  std::vector<Value> values_;
  int count_ = 0;
};

}  // namespace

Graph random_graph(std::uint64_t seed) { return Writer(seed).write(); }

Network random_network(const Graph& graph, std::uint64_t seed) {
  Network network(graph);
  initialise(network, seed);
  std::uint64_t index = 0;
  const auto fill = [&](Tensor& tensor, float low, float high) {
    for (std::int64_t i = 0; i < tensor.size(); ++i) {
      tensor.mutable_data()[i] = low + (high - low) * uniform(random_words(seed, RandomUse::kTest, 12, index++).word[0]);
    }
  };
  for (Parameter* p : network.parameters()) {
    if (p->kind == ParameterKind::kNormScale) fill(p->value, 0.5f, 1.5f);
    if (p->kind == ParameterKind::kNormShift || p->kind == ParameterKind::kBias) fill(p->value, -0.5f, 0.8f);
  }
  for (Buffer* b : network.buffers()) {
    if (b->name.ends_with("running_var")) fill(b->value, 0.5f, 1.5f);
    if (b->name.ends_with("running_mean")) fill(b->value, -0.3f, 0.3f);
  }
  return network;
}

void calibrate(Network& network, const Tensor& images) {
  Graph graph = network.graph();
  for (GraphNode& node : graph.nodes) {
    if (auto* norm = std::get_if<BatchNormAttributes>(&node.attributes)) norm->momentum = 1.0f;
  }
  Network counting(graph);
  counting.set_values(network.values());
  const NoGradients guard;
  counting.forward(images, {.training = true}, {});
  network.set_values(counting.values());
}

}  // namespace hinge::testing
