#include "engine/infer/block_program.h"

#include <algorithm>
#include <cmath>

#include "engine/infer/layer_stopwatch.h"
#include "engine/nn/merge_pair.h"

namespace hinge {
namespace {

namespace lanes = kernels::lanes;

// [K, C*H*W] in PyTorch's order C, H, W -> H, W, C, in which pictures lie here.
Tensor reorder_features(const Tensor& w, const FeatureShape& in) {
  Tensor result = Tensor::empty(w.shape());
  float* to = result.mutable_data();
  const std::int64_t pixels = in.h * in.w;
  for (std::int64_t k = 0; k < w.dim(0); ++k) {
    const float* row = w.data() + k * in.size();
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (std::int64_t c = 0; c < in.c; ++c) *to++ = row[c * pixels + pixel];
    }
  }
  return result;
}

// Times as many multiply-adds as a pair's: a convolution with more of them won't be faster, and isn't made to be measured.
constexpr double kMostMerged = 4.0;

constexpr std::int64_t kAlignment = 16;  // floats: 64 bytes
std::int64_t aligned(std::int64_t floats) { return (floats + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

// A linear layer is a convolution of one pixel.
kernels::lanes::ConvSpec conv_spec_of(const GraphNode& node, const FeatureShape& in) {
  if (const auto* linear = std::get_if<LinearAttributes>(&node.attributes)) return {.h = 1, .w = 1, .c = linear->in, .k = linear->out};
  const auto& a = std::get<ConvAttributes>(node.attributes);
  return {.h = in.h, .w = in.w, .c = a.in, .k = a.out, .r = a.kernel_h, .s = a.kernel_w, .stride = a.stride, .padding = a.padding, .groups = a.groups};
}

BlockProgram::BlockProgram(const Network& network, lanes::Lanes lanes, LaneForms& forms) : lanes_(lanes) {
  const Graph& graph = network.graph();
  const FusedGraph fused = fuse(graph);
  const std::vector<Place> places = place_values(graph, fused);
  input_ = places[0];
  for (int output : fused.outputs) outputs_.push_back(places[static_cast<std::size_t>(output)]);
  for (const FusedStep& from : fused.steps) {
    Step step{.name = name_of(from, graph), .form = "", .node = graph.at(from.operation)};
    for (int input : from.inputs) step.inputs.push_back(places[static_cast<std::size_t>(input)]);
    step.output = places[static_cast<std::size_t>(from.value)];
    step.clamp = clamp_of(from.outer);
    if (from.residual >= 0) step.residual = places[static_cast<std::size_t>(from.residual)];
    if (step.node.kind == OpKind::kConv2d || step.node.kind == OpKind::kLinear) prepare_convolution(step, network, from, forms);
    if (const auto* norm = std::get_if<BatchNormAttributes>(&step.node.attributes)) {
      const auto value = [&](const char* what) { return network.value(step.node.weights_name() + what); };
      const Tensor gamma = value(".weight"), beta = value(".bias"), mean = value(".running_mean"), var = value(".running_var");
      for (std::int64_t c = 0; c < norm->channels; ++c) {
        const double scale = static_cast<double>(gamma.data()[c]) / std::sqrt(static_cast<double>(var.data()[c]) + static_cast<double>(norm->epsilon));
        step.scale.push_back(static_cast<float>(scale));
        step.shift.push_back(static_cast<float>(static_cast<double>(beta.data()[c]) - scale * static_cast<double>(mean.data()[c])));
      }
    }
    steps_.push_back(std::move(step));
  }
}

// First fit, in the order in which values are made: a value's place is free again behind the last step that reads it.
std::vector<BlockProgram::Place> BlockProgram::place_values(const Graph& graph, const FusedGraph& fused) {
  const std::vector<FeatureShape> shapes = infer_shapes(graph);
  std::vector<int> last_use(graph.nodes.size(), -1);
  const int end = static_cast<int>(fused.steps.size());
  for (int s = 0; s < end; ++s) {
    const FusedStep& step = fused.steps[static_cast<std::size_t>(s)];
    for (int input : step.inputs) last_use[static_cast<std::size_t>(input)] = s;
    if (step.residual >= 0) last_use[static_cast<std::size_t>(step.residual)] = s;
  }
  for (int output : fused.outputs) last_use[static_cast<std::size_t>(output)] = end;

  std::vector<Place> places(graph.nodes.size());
  std::vector<int> living;
  const auto place = [&](int value, int step) {
    std::erase_if(living, [&](int other) { return last_use[static_cast<std::size_t>(other)] < step; });
    Place& mine = places[static_cast<std::size_t>(value)];
    mine.shape = shapes[static_cast<std::size_t>(value)];
    mine.floats = mine.shape.size() * images_per_block();
    std::ranges::sort(living, {}, [&](int other) { return places[static_cast<std::size_t>(other)].offset; });
    for (int other : living) {
      const Place& taken = places[static_cast<std::size_t>(other)];
      if (mine.offset + aligned(mine.floats) <= taken.offset) break;
      mine.offset = taken.offset + aligned(taken.floats);
    }
    arena_ = std::max(arena_, mine.offset + aligned(mine.floats));
    living.push_back(value);
  };
  place(0, -1);
  for (int s = 0; s < end; ++s) place(fused.steps[static_cast<std::size_t>(s)].value, s);
  return places;
}

void BlockProgram::prepare_convolution(Step& step, const Network& network, const FusedStep& fused, LaneForms& forms) {
  const FeatureShape& in = step.inputs[0].shape;
  lanes::ConvSpec spec = conv_spec_of(step.node, in);
  const auto value = [&](const GraphNode& node, const char* what) {
    return what[1] == 'w' || network.has_parameter(node.weights_name() + what) ? network.value(node.weights_name() + what) : Tensor();
  };
  Tensor w = value(step.node, ".weight"), tail_w, tail_b;
  const Tensor b = value(step.node, ".bias");
  if (step.node.kind == OpKind::kLinear && in.h * in.w > 1) w = reorder_features(w, in);
  if (fused.tail >= 0) {
    const GraphNode& tail = network.graph().at(fused.tail);
    spec.tail = std::get<ConvAttributes>(tail.attributes).out;
    tail_w = value(tail, ".weight"), tail_b = value(tail, ".bias");
  }
  const auto data = [](const Tensor& tensor) { return tensor.defined() ? tensor.data() : nullptr; };
  const bool can_merge = spec.tail > 0 && !fused.inner.on && spec.groups == 1;
  lanes::ConvSpec merged_spec = spec;
  merged_spec.k = spec.tail, merged_spec.tail = 0;
  Tensor merged_w, merged_b;
  const auto make = [&](const LaneForm& form) {
    if (form.merged && !merged_w.defined()) merged_w = merge_pair(w, tail_w), merged_b = merge_pair_bias(b, tail_w, tail_b);
    const lanes::ConvWeights first = form.merged ? lanes::ConvWeights{data(merged_w), data(merged_b)} : lanes::ConvWeights{data(w), data(b)};
    const lanes::ConvWeights second = form.merged ? lanes::ConvWeights{} : lanes::ConvWeights{data(tail_w), data(tail_b)};
    return std::make_unique<lanes::Convolution>(form.merged ? merged_spec : spec, lanes_, form.form, first, second, clamp_of(fused.inner), step.clamp);
  };
  const std::string key = fmt::format("{}, {}{}", name_of(lanes_), spec.to_string(), fused.inner.on ? ", clamped between" : "");
  if (const auto known = forms.find(key); known != forms.end()) {
    known->second.merged = known->second.merged && can_merge;
    step.convolution = make(known->second);
  } else {
    double best = 0.0;
    const auto window = static_cast<double>(spec.r * spec.s * spec.c);
    const bool may_pay = window * static_cast<double>(spec.tail) < kMostMerged * static_cast<double>(spec.k) * (window + static_cast<double>(spec.tail));
    for (const bool merged : {false, true}) {
      if (merged && !(can_merge && may_pay)) continue;
      for (const lanes::ConvForm form : lanes::kConvForms) {
        if (!has_form(merged ? merged_spec : spec, form, lanes_)) continue;
        auto candidate = make({form, merged});
        const double seconds = measure_seconds(*candidate, images_per_block(), threads_of_block(lanes_));
        if (step.convolution == nullptr || seconds < best) step.convolution = std::move(candidate), best = seconds, forms[key] = {form, merged};
      }
    }
  }
  step.form = fmt::format("{}{}", forms[key].merged ? "merged " : "", name_of(forms[key].form));
  scratch_ = std::max(scratch_, aligned(step.convolution->scratch_size()));
}

void BlockProgram::load(std::int64_t count, const float* images, float* arena) const {
  const std::int64_t features = input_.shape.size();
  if (lanes_ == lanes::Lanes::kImages) {
    lanes::load_images(count, features, images, arena + input_.offset);
  } else {
    std::copy_n(images, features, arena + input_.offset);
  }
}

void BlockProgram::store(std::size_t index, std::int64_t count, const float* arena, float* out) const {
  const Place& place = outputs_[index];
  if (lanes_ == lanes::Lanes::kImages) {
    lanes::store_images(count, place.shape.size(), arena + place.offset, out);
  } else {
    std::copy_n(arena + place.offset, place.floats, out);
  }
}

void BlockProgram::run_step(std::size_t index, float* arena, float* scratch, int thread, int threads) const {
  const Step& step = steps_[index];
  const FeatureShape &in = step.inputs[0].shape, &out = step.output.shape;
  const auto input = [&](std::size_t i = 0) -> const float* { return arena + step.inputs[i].offset; };
  float* y = arena + step.output.offset;
  const float* residual = step.residual ? arena + step.residual->offset : nullptr;
  // This thread's share: of the output's rows, or where there is no neighbourhood of its pixels.
  const lanes::Share mine{thread, threads};
  const lanes::Rows rows = mine.of(out.h), pixels = mine.of(out.h * out.w);
  const std::int64_t count = pixels.end - pixels.begin, pixel = images_per_block(), at = pixels.begin * out.c * pixel;
  switch (step.node.kind) {
    case OpKind::kInput:
    case OpKind::kDropout: break;  // no step
    case OpKind::kConv2d:
    case OpKind::kLinear:
      step.convolution->run(input(), residual, y, scratch, mine);
      break;
    case OpKind::kBatchNorm:
      lanes::scale_shift(lanes_, count, out.c, input() + at, step.scale.data(), step.shift.data(), residual != nullptr ? residual + at : nullptr,
                         step.clamp, y + at);
      break;
    case OpKind::kRelu: lanes::clamp(count * out.c * pixel, input() + at, step.clamp, y + at); break;
    case OpKind::kAdd: lanes::add(count * out.c * pixel, input(0) + at, input(1) + at, step.clamp, y + at); break;
    case OpKind::kConcat: {
      std::int64_t first = 0;
      for (std::size_t i = 0; i < step.inputs.size(); ++i) {
        const std::int64_t c = step.inputs[i].shape.c;
        lanes::copy_channels(lanes_, count, c, input(i) + pixels.begin * c * pixel, out.c, first, y + at);
        first += c;
      }
      break;
    }
    case OpKind::kMaxPool:
    case OpKind::kAveragePool: {
      const auto& a = std::get<PoolAttributes>(step.node.attributes);
      const auto kind = step.node.kind == OpKind::kMaxPool ? kernels::PoolKind::kMax : kernels::PoolKind::kAverage;
      lanes::pool(lanes_, {.n = 1, .h = in.h, .w = in.w, .c = in.c, .window = a.window, .stride = a.stride, .padding = a.padding, .kind = kind}, input(), y, rows);
      break;
    }
    case OpKind::kShortcutA: {
      const auto& a = std::get<ShortcutAttributes>(step.node.attributes);
      lanes::shortcut_a(lanes_, {.n = 1, .h = in.h, .w = in.w, .c = in.c, .before = a.before, .after = a.after, .pool = a.pool}, input(), y, rows);
      break;
    }
    case OpKind::kGlobalAveragePool:
      if (thread == 0) lanes::global_average(lanes_, in.h * in.w, in.c, input(), y);
      break;
    case OpKind::kFlatten:
      if (thread == 0) lanes::flatten(lanes_, in.h * in.w, in.c, input(), y);
      break;
  }
}

}  // namespace hinge
