// Convolutions on oneDNN: several implementations per shape, the fastest one measured once (conv_choice.h).
//
// Activations lie in memory as N,H,W,C. Some oneDNN kernels want blocked layouts; a plan carries the reorders it
// needs, and their time counts when implementations are compared.
#include "kernels/conv2d.h"

#include <array>
#include <functional>
#include <memory>
#include <stdexcept>

#include "kernels/cpu/conv_choice.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/workspace.h"
#include "kernels/gemm.h"
#include "kernels/registry.h"

namespace hinge::kernels {
namespace cpu {
namespace {

using Desc = dnnl::memory::desc;
using Dims = dnnl::memory::dims;
constexpr auto kF32 = dnnl::memory::data_type::f32;
constexpr auto kAny = dnnl::memory::format_tag::any;

enum class Pass { kForward,
                  kBackwardData,
                  kBackwardWeights };
constexpr std::array<const char*, 3> kPassNames = {"forward", "backward_data", "backward_weights"};

// x, y in N,H,W,C and w in K,R,S,C as oneDNN sees them: logical dims N,C,H,W / (G,)K,C,R,S with our strides.
struct UserDescs {
  Desc x, w, b, y;
  explicit UserDescs(const ConvShape& s)
      : x({s.n, s.c, s.h, s.w}, kF32, dnnl::memory::format_tag::nhwc),
        b({s.k}, kF32, dnnl::memory::format_tag::a),
        y({s.n, s.k, s.p(), s.q()}, kF32, dnnl::memory::format_tag::nhwc) {
    const std::int64_t c = s.c / s.groups, k = s.k / s.groups;
    if (s.groups == 1) {
      w = Desc({k, c, s.r, s.s}, kF32, Dims{s.r * s.s * c, 1, s.s * c, c});
    } else {
      w = Desc({s.groups, k, c, s.r, s.s}, kF32,
               Dims{k * s.r * s.s * c, s.r * s.s * c, 1, s.s * c, c});
    }
  }
};

Desc any_like(const Desc& desc) {
#if DNNL_VERSION_MAJOR >= 3
  return Desc(desc.get_dims(), kF32, kAny);
#else
  return Desc(desc.dims(), kF32, kAny);
#endif
}

// One operand of a primitive: our layout, the primitive's, and the reorder between them where they differ.
struct Operand {
  int argument;
  Desc ours, theirs;
  bool output;
  dnnl::reorder reorder;
  std::size_t offset = 0;  // of the reordered copy in the workspace

  Operand(int argument_, const Desc& ours_, const Desc& theirs_, bool output_)
      : argument(argument_), ours(ours_), theirs(theirs_), output(output_) {
    if (!reordered()) return;
    auto& engine = onednn_engine();
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::library);
    reorder = dnnl::reorder(output ? dnnl::reorder::primitive_desc(engine, theirs, engine, ours, attr)
                                   : dnnl::reorder::primitive_desc(engine, ours, engine, theirs, attr));
  }
  bool reordered() const { return ours != theirs; }
};

Workspace& workspace() {
  static thread_local Workspace instance;
  return instance;
}

// A primitive with its reorders, ready to run on raw pointers (one per operand, in order).
class OneDnnPlan {
 public:
  OneDnnPlan(dnnl::primitive primitive, std::vector<Operand> operands, const Desc& scratchpad)
      : primitive_(std::move(primitive)), operands_(std::move(operands)), scratchpad_(scratchpad) {
    bytes_ = align(scratchpad_.get_size());
    for (Operand& operand : operands_) {
      if (!operand.reordered()) continue;
      operand.offset = bytes_;
      bytes_ += align(operand.theirs.get_size());
    }
  }

  void run(std::initializer_list<const float*> pointers) const {
    auto& engine = onednn_engine();
    auto& stream = onednn_stream();
    std::byte* scratch = static_cast<std::byte*>(workspace().reserve(bytes_));
    std::unordered_map<int, dnnl::memory> arguments;
    arguments.reserve(operands_.size() + 1);
    arguments.emplace(DNNL_ARG_SCRATCHPAD, dnnl::memory(scratchpad_, engine, scratch));
    std::vector<std::pair<const Operand*, dnnl::memory>> write_back;
    auto pointer = pointers.begin();
    for (const Operand& operand : operands_) {
      dnnl::memory ours(operand.ours, engine, const_cast<float*>(*pointer++));
      if (!operand.reordered()) {
        arguments.emplace(operand.argument, ours);
        continue;
      }
      dnnl::memory theirs(operand.theirs, engine, scratch + operand.offset);
      if (operand.output) {
        write_back.emplace_back(&operand, ours);
      } else {
        operand.reorder.execute(stream, ours, theirs);
      }
      arguments.emplace(operand.argument, theirs);
    }
    primitive_.execute(stream, arguments);
    for (auto& [operand, ours] : write_back) {
      operand->reorder.execute(stream, arguments.at(operand->argument), ours);
    }
    stream.wait();
  }

 private:
  static std::size_t align(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

  dnnl::primitive primitive_;
  std::vector<Operand> operands_;
  Desc scratchpad_;
  std::size_t bytes_ = 0;
};

// The three oneDNN implementations: activations left as they are, activations blocked as the library likes them,
// and Winograd's (Lavin & Gray, 2016).
struct Form {
  const char* name;
  dnnl::algorithm algorithm;
  bool blocked;
};
constexpr std::array<Form, 3> kForms = {{{"nhwc", dnnl::algorithm::convolution_direct, false},
                                         {"blocked", dnnl::algorithm::convolution_direct, true},
                                         {"winograd", dnnl::algorithm::convolution_winograd, true}}};

std::unique_ptr<OneDnnPlan> make_plan(const ConvShape& shape, Pass pass, bool bias,
                                      const Form& form) {
  const UserDescs user(shape);
  ConvMemory m;
  m.x = form.blocked ? any_like(user.x) : user.x;
  m.y = form.blocked ? any_like(user.y) : user.y;
  m.w = any_like(user.w);
  if (bias) m.b = user.b;
  m.stride = {shape.stride, shape.stride};
  m.padding = {shape.padding, shape.padding};
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  try {
    // For inference oneDNN 2 wants Winograd's filters transformed beforehand, in a layout that no reorder reaches
    // from ours; its training form transforms them in every call.
    const bool inference = pass == Pass::kForward && form.algorithm != dnnl::algorithm::convolution_winograd;
    const auto forward = forward_descriptor(
        m, form.algorithm, inference ? dnnl::prop_kind::forward_inference : dnnl::prop_kind::forward_training, attr);
    if (!forward) return nullptr;
    if (pass == Pass::kForward) {
      std::vector<Operand> operands = {{DNNL_ARG_SRC, user.x, forward.src_desc(), false},
                                       {DNNL_ARG_WEIGHTS, user.w, forward.weights_desc(), false},
                                       {DNNL_ARG_DST, user.y, forward.dst_desc(), true}};
      if (bias) operands.push_back({DNNL_ARG_BIAS, user.b, forward.bias_desc(), false});
      return std::make_unique<OneDnnPlan>(dnnl::convolution_forward(forward), std::move(operands),
                                          forward.scratchpad_desc());
    }
    if (pass == Pass::kBackwardData) {
      ConvMemory without_bias = m;
      without_bias.b = Desc();
      const auto back = backward_data_descriptor(without_bias, form.algorithm, forward, attr);
      if (!back) return nullptr;
      return std::make_unique<OneDnnPlan>(
          dnnl::convolution_backward_data(back),
          std::vector<Operand>{{DNNL_ARG_DIFF_DST, user.y, back.diff_dst_desc(), false},
                               {DNNL_ARG_WEIGHTS, user.w, back.weights_desc(), false},
                               {DNNL_ARG_DIFF_SRC, user.x, back.diff_src_desc(), true}},
          back.scratchpad_desc());
    }
    const auto back = backward_weights_descriptor(m, form.algorithm, forward, attr);
    if (!back) return nullptr;
    std::vector<Operand> operands = {
        {DNNL_ARG_SRC, user.x, back.src_desc(), false},
        {DNNL_ARG_DIFF_DST, user.y, back.diff_dst_desc(), false},
        {DNNL_ARG_DIFF_WEIGHTS, user.w, back.diff_weights_desc(), true}};
    if (bias) operands.push_back({DNNL_ARG_DIFF_BIAS, user.b, back.diff_bias_desc(), true});
    return std::make_unique<OneDnnPlan>(dnnl::convolution_backward_weights(back),
                                        std::move(operands), back.scratchpad_desc());
  } catch (const dnnl::error&) {
    return nullptr;  // oneDNN 2 throws for some descriptors it does not implement
  }
}

using Runner = std::function<void(std::initializer_list<const float*>)>;

constexpr std::int64_t kLanes = 8;  // what oneDNN's AVX2 kernels want channel counts to be a multiple of

std::int64_t round_to_lanes(std::int64_t channels) { return (channels + kLanes - 1) / kLanes * kLanes; }

// Rows of `from` channels as rows of `to` channels: cut off, or filled up with zeros.
void resize_rows(std::int64_t rows, const float* source, std::int64_t from, float* target, std::int64_t to) {
  const std::int64_t kept = std::min(from, to);
  parallel_ranges(rows, to, [=](Range range) {
    for (std::int64_t row = range.begin; row < range.end; ++row) {
      float* out = target + row * to;
      std::copy_n(source + row * from, kept, out);
      std::fill_n(out + kept, to - kept, 0.0f);
    }
  });
}

// Ranks that surgery leaves are rarely multiples of 8, and oneDNN's fast kernels refuse others: 9 filters then cost
// twice what 16 do. This form runs the next larger convolution on copies that are filled up with zeros.
Runner padded(const ConvShape& s, Pass pass, bool bias) {
  ConvShape larger = s;
  larger.c = round_to_lanes(s.c), larger.k = round_to_lanes(s.k);
  if (s.groups != 1 || bias || larger == s) return nullptr;
  std::shared_ptr<OneDnnPlan> plan = make_plan(larger, pass, false, kForms[0]);
  if (!plan) return nullptr;
  return [=](std::initializer_list<const float*> pointers) {
    static thread_local std::array<Workspace, 3> copies;  // threads share the runner
    // Operands in the order of the plan; each is a matrix with the channels innermost.
    struct Side {
      std::int64_t rows, ours, theirs;
      bool output;
    };
    const std::int64_t x_rows = s.n * s.h * s.w, y_rows = s.n * s.p() * s.q(), window = s.r * s.s;
    const Side x{x_rows, s.c, larger.c, pass == Pass::kBackwardData};
    const Side y{y_rows, s.k, larger.k, pass == Pass::kForward};
    const Side w{s.k * window, s.c, larger.c, pass == Pass::kBackwardWeights};
    const std::array<Side, 3> sides = pass == Pass::kForward        ? std::array{x, w, y}
                                      : pass == Pass::kBackwardData ? std::array{y, w, x}
                                                                    : std::array{x, y, w};
    std::array<float*, 3> used{};
    for (std::size_t i = 0; i < 3; ++i) {
      const Side& side = sides[i];
      const bool filters = side.rows == w.rows && side.ours == s.c && i == (pass == Pass::kBackwardWeights ? 2u : 1u);
      used[i] = const_cast<float*>(pointers.begin()[i]);
      if (side.ours == side.theirs && !(filters && larger.k != s.k)) continue;
      const std::int64_t rows = filters ? larger.k * window : side.rows;
      float* copy = static_cast<float*>(copies[i].reserve(sizeof(float) * static_cast<std::size_t>(rows * side.theirs)));
      if (!side.output) {
        resize_rows(side.rows, used[i], side.ours, copy, side.theirs);
        std::fill_n(copy + side.rows * side.theirs, (rows - side.rows) * side.theirs, 0.0f);
      }
      used[i] = copy;
    }
    plan->run({used[0], used[1], used[2]});
    for (std::size_t i = 0; i < 3; ++i) {
      float* target = const_cast<float*>(pointers.begin()[i]);
      if (sides[i].output && used[i] != target) resize_rows(sides[i].rows, used[i], sides[i].theirs, target, sides[i].ours);
    }
  };
}

// A 1x1 convolution of stride 1 is a matrix product over all pixels.
bool is_pointwise(const ConvShape& s) {
  return s.r == 1 && s.s == 1 && s.stride == 1 && s.padding == 0 && s.groups == 1;
}

Runner pointwise_forward(const ConvShape& s) {
  return [s](std::initializer_list<const float*> p) {  // x, w, y
    const auto* pointer = p.begin();
    const std::int64_t pixels = s.n * s.h * s.w;
    gemm({.m = pixels, .n = s.k, .k = s.c, .transpose_b = true}, pointer[0], pointer[1],
         const_cast<float*>(pointer[2]));
  };
}

Runner pointwise_backward_data(const ConvShape& s) {
  return [s](std::initializer_list<const float*> p) {  // dy, w, dx
    const auto* pointer = p.begin();
    gemm({.m = s.n * s.h * s.w, .n = s.c, .k = s.k}, pointer[0], pointer[1],
         const_cast<float*>(pointer[2]));
  };
}

Runner pointwise_backward_weights(const ConvShape& s) {
  return [s](std::initializer_list<const float*> p) {  // x, dy, dw
    const auto* pointer = p.begin();
    gemm({.m = s.k, .n = s.c, .k = s.n * s.h * s.w, .transpose_a = true}, pointer[1], pointer[0],
         const_cast<float*>(pointer[2]));
  };
}

std::vector<Candidate<Runner>> candidates(const ConvShape& shape, Pass pass, bool bias) {
  std::vector<Candidate<Runner>> found;
  for (const Form& form : kForms) {
    found.push_back({form.name, [=]() -> Runner {
                       std::shared_ptr<OneDnnPlan> plan = make_plan(shape, pass, bias, form);
                       if (!plan) return nullptr;
                       return [plan](std::initializer_list<const float*> p) { plan->run(p); };
                     }});
  }
  found.push_back({"padded", [=] { return padded(shape, pass, bias); }});
  if (is_pointwise(shape) && !bias) {
    found.push_back({"gemm", [=]() -> Runner {
                       if (pass == Pass::kForward) return pointwise_forward(shape);
                       if (pass == Pass::kBackwardData) return pointwise_backward_data(shape);
                       return pointwise_backward_weights(shape);
                     }});
  }
  return found;
}

void run(const ConvShape& shape, Pass pass, bool bias,
         std::initializer_list<const float*> pointers) {
  static ChoiceCache<Runner>& cache = conv_choice_cache<Runner>();
  std::string key = shape.to_string() + " " + kPassNames[static_cast<std::size_t>(pass)];
  if (bias) key += " bias";
  const Runner& runner = cache.get(
      key, [&] { return candidates(shape, pass, bias); },
      [&](const Runner& candidate) { candidate(pointers); });
  runner(pointers);
}

void forward(const ConvShape& shape, const float* x, const float* w, const float* b, float* y) {
  if (shape.output_size() == 0) return;
  if (b != nullptr) {
    run(shape, Pass::kForward, true, {x, w, y, b});
  } else {
    run(shape, Pass::kForward, false, {x, w, y});
  }
}

void backward_data(const ConvShape& shape, const float* dy, const float* w, float* dx) {
  if (shape.output_size() == 0) {  // nothing reaches the input; oneDNN's Winograd form divides by the batch
    std::fill_n(dx, shape.input_size(), 0.0f);
    return;
  }
  run(shape, Pass::kBackwardData, false, {dy, w, dx});
}

void backward_weights(const ConvShape& shape, const float* x, const float* dy, float* dw,
                      float* db) {
  if (shape.output_size() == 0) {
    std::fill_n(dw, shape.filter_size(), 0.0f);
    if (db != nullptr) std::fill_n(db, shape.k, 0.0f);
    return;
  }
  if (db != nullptr) {
    run(shape, Pass::kBackwardWeights, true, {x, dy, dw, db});
  } else {
    run(shape, Pass::kBackwardWeights, false, {x, dy, dw});
  }
}

const bool registered = register_kernel<Conv2dForward>(Backend::kCpu, &forward) &&
                        register_kernel<Conv2dBackwardData>(Backend::kCpu, &backward_data) &&
                        register_kernel<Conv2dBackwardWeights>(Backend::kCpu, &backward_weights);

}  // namespace
}  // namespace cpu

std::string conv_library() {
  const dnnl_version_t* version = dnnl_version();
  return "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
         std::to_string(version->patch);
}

std::string ConvShape::to_string() const {
  std::string text;
  const auto add = [&](const char* name, std::int64_t value) {
    if (!text.empty()) text += ' ';  // piece by piece: g++ 12 warns of the sum without a reason
    text += name;
    text += std::to_string(value);
  };
  add("n", n), add("h", h), add("w", w), add("c", c), add("k", k), add("r", r), add("s", s);
  add("stride", stride), add("pad", padding), add("groups", groups);
  return text;
}

}  // namespace hinge::kernels
