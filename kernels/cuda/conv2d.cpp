// Convolutions through cuDNN, and 1x1 convolutions as matrix products. See conv2d.h.
//
// What can run a shape is tried on the caller's own operands when the shape is first seen:
//   gemm     one product, for 1x1 filters with stride 1, no padding and one group
//   nhwc-A   cuDNN's algorithm A on the operands as they lie in memory
//   nchw-A   algorithm A behind transposes: some algorithms (Winograd) know this layout only
// and the fastest that math_mode() allows is kept (conv_algorithm.h). Times of nchw include the transposes.
#include "kernels/conv2d.h"

#include <array>
#include <cstring>
#include <functional>
#include <map>

#include "kernels/conv_algorithm.h"
#include "kernels/cuda/event_timer.h"
#include "kernels/cuda/libraries.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/pooling.h"
#include "kernels/registry.h"
#include "kernels/simt/memory.h"

namespace hinge::kernels::cuda {
namespace {

using Extents = std::array<std::int64_t, 4>;  // N, H, W, C or K, R, S, C/groups
constexpr int kMostTrials = 16;               // cuDNN has 8 algorithms, some with and without tensor cores
const float kOne = 1.0f, kZero = 0.0f;

std::int64_t size_of(const Extents& e) { return e[0] * e[1] * e[2] * e[3]; }

// What is the same in the three operations: two operands that are read and one that is written.
struct Operation {
  const char* name;
  Extents a, b, out;
  GemmShape product;     // as one matrix product of a and b ...
  bool swapped = false;  // ... or of b and a
};

struct Descriptors {
  Descriptors(const ConvShape& s, ConvLayout layout)
      : x(layout, {s.n, s.h, s.w, s.c}), y(layout, {s.n, s.p(), s.q(), s.k}), w(layout, {s.k, s.r, s.s, s.c / s.groups}), convolution(s.stride, s.padding, s.groups, math_mode().tf32) {}
  CudnnImage x, y;
  CudnnFilter w;
  CudnnConvolution convolution;
};

// The three operations behind one face: what cuDNN calls them, in the order (a, b) -> out.
struct Forward {
  using Algorithm = cudnnConvolutionFwdAlgo_t;
  using Perf = cudnnConvolutionFwdAlgoPerf_t;
  static constexpr const char* kName = "forward";
  static Operation of(const ConvShape& s) {
    return {kName, {s.n, s.h, s.w, s.c}, {s.k, s.r, s.s, s.c / s.groups}, {s.n, s.p(), s.q(), s.k}, {.m = s.n * s.p() * s.q(), .n = s.k, .k = s.c, .transpose_b = true}};
  }
  static cudnnStatus_t find(cudnnHandle_t h, const Descriptors& d, const float* x, const float* w, float* y, int* count, Perf* trials, void* scratch, std::size_t bytes) {
    return cudnn().find_forward(h, d.x.native(), x, d.w.native(), w, d.convolution.native(), d.y.native(), y, kMostTrials, count, trials, scratch, bytes);
  }
  static cudnnStatus_t workspace(cudnnHandle_t h, const Descriptors& d, Algorithm a, std::size_t* bytes) {
    return cudnn().forward_workspace(h, d.x.native(), d.w.native(), d.convolution.native(), d.y.native(), a, bytes);
  }
  static cudnnStatus_t run(cudnnHandle_t h, const Descriptors& d, Algorithm a, const float* x, const float* w, float* y, void* scratch, std::size_t bytes) {
    return cudnn().forward(h, &kOne, d.x.native(), x, d.w.native(), w, d.convolution.native(), a, scratch, bytes, &kZero, d.y.native(), y);
  }
};

struct BackwardData {
  using Algorithm = cudnnConvolutionBwdDataAlgo_t;
  using Perf = cudnnConvolutionBwdDataAlgoPerf_t;
  static constexpr const char* kName = "backward data";
  static Operation of(const ConvShape& s) {
    return {kName, {s.n, s.p(), s.q(), s.k}, {s.k, s.r, s.s, s.c / s.groups}, {s.n, s.h, s.w, s.c}, {.m = s.n * s.p() * s.q(), .n = s.c, .k = s.k}};
  }
  static cudnnStatus_t find(cudnnHandle_t h, const Descriptors& d, const float* dy, const float* w, float* dx, int* count, Perf* trials, void* scratch, std::size_t bytes) {
    return cudnn().find_backward_data(h, d.w.native(), w, d.y.native(), dy, d.convolution.native(), d.x.native(), dx, kMostTrials, count, trials, scratch, bytes);
  }
  static cudnnStatus_t workspace(cudnnHandle_t h, const Descriptors& d, Algorithm a, std::size_t* bytes) {
    return cudnn().backward_data_workspace(h, d.w.native(), d.y.native(), d.convolution.native(), d.x.native(), a, bytes);
  }
  static cudnnStatus_t run(cudnnHandle_t h, const Descriptors& d, Algorithm a, const float* dy, const float* w, float* dx, void* scratch, std::size_t bytes) {
    return cudnn().backward_data(h, &kOne, d.w.native(), w, d.y.native(), dy, d.convolution.native(), a, scratch, bytes, &kZero, d.x.native(), dx);
  }
};

struct BackwardWeights {
  using Algorithm = cudnnConvolutionBwdFilterAlgo_t;
  using Perf = cudnnConvolutionBwdFilterAlgoPerf_t;
  static constexpr const char* kName = "backward weights";
  static Operation of(const ConvShape& s) {
    return {kName, {s.n, s.h, s.w, s.c}, {s.n, s.p(), s.q(), s.k}, {s.k, s.r, s.s, s.c / s.groups}, {.m = s.k, .n = s.c, .k = s.n * s.p() * s.q(), .transpose_a = true}, true};
  }
  static cudnnStatus_t find(cudnnHandle_t h, const Descriptors& d, const float* x, const float* dy, float* dw, int* count, Perf* trials, void* scratch, std::size_t bytes) {
    return cudnn().find_backward_filter(h, d.x.native(), x, d.y.native(), dy, d.convolution.native(), d.w.native(), dw, kMostTrials, count, trials, scratch, bytes);
  }
  static cudnnStatus_t workspace(cudnnHandle_t h, const Descriptors& d, Algorithm a, std::size_t* bytes) {
    return cudnn().backward_filter_workspace(h, d.x.native(), d.y.native(), d.convolution.native(), d.w.native(), a, bytes);
  }
  static cudnnStatus_t run(cudnnHandle_t h, const Descriptors& d, Algorithm a, const float* x, const float* dy, float* dw, void* scratch, std::size_t bytes) {
    return cudnn().backward_filter(h, &kOne, d.x.native(), x, d.y.native(), dy, d.convolution.native(), a, scratch, bytes, &kZero, d.w.native(), dw);
  }
};

// Operands in the other layout: [N, H*W, C] <-> [N, C, H*W]; filters likewise.
void to_nchw(const Extents& e, const float* from, float* to, simt::NativeStream stream) {
  kernel_functions<Transpose>.cuda({e[0], e[1] * e[2], e[3]}, from, to, stream);
}
void from_nchw(const Extents& e, const float* from, float* to, simt::NativeStream stream) {
  kernel_functions<Transpose>.cuda({e[0], e[3], e[1] * e[2]}, from, to, stream);
}

using Runner = std::function<void(const float* a, const float* b, float* out, simt::NativeStream)>;

Runner product_runner(const Operation& op) {
  return [op](const float* a, const float* b, float* out, simt::NativeStream stream) {
    kernel_functions<Gemm>.cuda(op.product, op.swapped ? b : a, op.swapped ? a : b, out, stream);
  };
}

template <class Kind>
Runner cudnn_runner(const ConvShape& s, ConvLayout layout, typename Kind::Algorithm algorithm, simt::NativeStream stream) {
  auto d = std::make_shared<Descriptors>(s, layout);
  std::size_t bytes = 0;
  check(Kind::workspace(libraries(stream).dnn(), *d, algorithm, &bytes), "conv2d: workspace");
  libraries(stream).workspace().at_least(bytes);  // grows now, not while a graph is captured
  const auto direct = [d, algorithm, bytes](const float* a, const float* b, float* out, simt::NativeStream on) {
    Libraries& own = libraries(on);
    check(Kind::run(own.dnn(), *d, algorithm, a, b, out, own.workspace().at_least(bytes), bytes), Kind::kName);
  };
  if (layout == ConvLayout::kNhwc) return direct;
  return [direct, op = Kind::of(s)](const float* a, const float* b, float* out, simt::NativeStream on) {
    simt::Buffer<float> a2(size_of(op.a), on), b2(size_of(op.b), on), out2(size_of(op.out), on);
    to_nchw(op.a, a, a2.data(), on);
    to_nchw(op.b, b, b2.data(), on);
    direct(a2.data(), b2.data(), out2.data(), on);
    from_nchw(op.out, out2.data(), out, on);
  };
}

bool is_product(const ConvShape& s) { return s.r == 1 && s.s == 1 && s.stride == 1 && s.padding == 0 && s.groups == 1; }

constexpr const char* kProduct = "gemm";
constexpr std::array<const char*, 2> kLayoutNames = {"nhwc-", "nchw-"};

// The runner that a name stands for, or an empty one.
template <class Kind>
Runner runner_of(const std::string& name, const ConvShape& s, simt::NativeStream stream) {
  if (name == kProduct) return is_product(s) ? product_runner(Kind::of(s)) : Runner();
  for (int layout = 0; layout < 2; ++layout) {
    const std::string prefix = kLayoutNames[static_cast<std::size_t>(layout)];
    if (name.rfind(prefix, 0) == 0 && name.size() == prefix.size() + 1) {
      return cudnn_runner<Kind>(s, static_cast<ConvLayout>(layout), static_cast<typename Kind::Algorithm>(name.back() - '0'), stream);
    }
  }
  return {};
}

// What cuDNN says of its algorithms, having run each on operands in `layout`.
template <class Kind>
std::vector<ConvTrial> trials_of(const ConvShape& s, ConvLayout layout, const float* a, const float* b, float* out, simt::NativeStream stream) {
  const Descriptors d(s, layout);
  Libraries& own = libraries(stream);
  const std::size_t limit = math_mode().workspace_limit;
  std::array<typename Kind::Perf, kMostTrials> found{};
  int count = 0;
  std::vector<ConvTrial> trials;
  const auto find = [&](const float* first, const float* second, float* result) {
    // A shape that cuDNN doesn't do in this layout is one trial fewer, not an error.
    const cudnnStatus_t status = Kind::find(own.dnn(), d, first, second, result, &count, found.data(), own.workspace().at_least(limit), limit);
    if (status != CUDNN_STATUS_SUCCESS) count = 0;
  };
  double transposes = 0.0;
  if (layout == ConvLayout::kNhwc) {
    find(a, b, out);
  } else {
    const Operation op = Kind::of(s);
    simt::Buffer<float> a2(size_of(op.a), stream), b2(size_of(op.b), stream), out2(size_of(op.out), stream);
    transposes = milliseconds_of(stream, [&] {
      to_nchw(op.a, a, a2.data(), stream);
      to_nchw(op.b, b, b2.data(), stream);
      from_nchw(op.out, out2.data(), out, stream);
    });
    find(a2.data(), b2.data(), out2.data());
  }
  for (int i = 0; i < count; ++i) {
    const auto& perf = found[static_cast<std::size_t>(i)];
    // An algorithm's tensor-core form may be listed where it was not asked for: its time is not ours.
    const bool wanted = math_mode().tf32 || perf.mathType != CUDNN_TENSOR_OP_MATH;
    trials.push_back({.name = kLayoutNames[static_cast<std::size_t>(layout)] + std::to_string(static_cast<int>(perf.algo)),
                      .milliseconds = static_cast<double>(perf.time) + transposes,
                      .workspace = perf.memory,
                      .worked = perf.status == CUDNN_STATUS_SUCCESS && wanted,
                      .deterministic = perf.determinism == CUDNN_DETERMINISTIC});
  }
  return trials;
}

std::string key_of(const char* operation, const ConvShape& s) {
  int device = 0;
  check(cudaGetDevice(&device), "conv2d");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "conv2d");
  return std::string(properties.name) + " " + (math_mode().tf32 ? "tf32 " : "") + operation + " " + s.to_string();
}

template <class Kind>
const Runner& choose(const ConvShape& s, const float* a, const float* b, float* out, simt::NativeStream stream) {
  static auto* runners = new std::map<std::pair<simt::NativeStream, ConvShape>, Runner>;
  const auto place = std::pair(stream, s);
  if (const auto known = runners->find(place); known != runners->end()) return known->second;
  const std::string key = key_of(Kind::kName, s);
  if (is_capturing(stream)) {
    throw std::runtime_error("conv2d: " + key + " is seen for the first time while a graph is captured; run the step once before");
  }
  if (const std::optional<std::string> recorded = conv_choice(key)) {
    if (Runner runner = runner_of<Kind>(*recorded, s, stream)) return runners->emplace(place, std::move(runner)).first->second;
  }
  std::vector<ConvTrial> trials;
  if (is_product(s)) {
    const Runner product = product_runner(Kind::of(s));
    trials.push_back({.name = kProduct, .milliseconds = milliseconds_of(stream, [&] { product(a, b, out, stream); }), .worked = true});
  }
  for (const ConvLayout layout : {ConvLayout::kNhwc, ConvLayout::kNchw}) {
    const std::vector<ConvTrial> more = trials_of<Kind>(s, layout, a, b, out, stream);
    trials.insert(trials.end(), more.begin(), more.end());
  }
  const std::string& name = trials[choose_algorithm(key, trials, math_mode())].name;
  record_conv_choice(key, name);
  return runners->emplace(place, runner_of<Kind>(name, s, stream)).first->second;
}

template <class Kind>
void run(const ConvShape& s, const float* a, const float* b, float* out, simt::NativeStream stream) {
  choose<Kind>(s, a, b, out, stream)(a, b, out, stream);
}

void forward(const ConvShape& s, const float* x, const float* w, const float* b, float* y, simt::NativeStream stream) {
  if (s.output_size() == 0) return;
  run<Forward>(s, x, w, y, stream);
  if (b != nullptr) kernel_functions<BiasAdd>.cuda(s.n * s.p() * s.q(), s.k, y, b, y, stream);
}

void backward_data(const ConvShape& s, const float* dy, const float* w, float* dx, simt::NativeStream stream) {
  if (s.input_size() == 0) return;
  run<BackwardData>(s, dy, w, dx, stream);
}

void backward_weights(const ConvShape& s, const float* x, const float* dy, float* dw, float* db, simt::NativeStream stream) {
  if (s.output_size() == 0) {
    check(cudaMemsetAsync(dw, 0, static_cast<std::size_t>(s.filter_size()) * sizeof(float), stream), "conv2d");
  } else {
    run<BackwardWeights>(s, x, dy, dw, stream);
  }
  if (db != nullptr) kernel_functions<BiasBackward>.cuda(s.n * s.p() * s.q(), s.k, dy, db, stream);
}

const bool registered = register_kernel<Conv2dForward>(Backend::kCuda, &forward) &&
                        register_kernel<Conv2dBackwardData>(Backend::kCuda, &backward_data) &&
                        register_kernel<Conv2dBackwardWeights>(Backend::kCuda, &backward_weights);

}  // namespace
}  // namespace hinge::kernels::cuda
