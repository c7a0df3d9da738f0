// Convolutions through cuDNN, and 1x1 convolutions as matrix products. See conv2d.h.
//
// What can run a shape is tried on the caller's own operands when the shape is first seen:
//   gemm     one product, for 1x1 filters with stride 1, no padding and one group
//   nhwc-A   cuDNN's algorithm A on the operands as they lie in memory
//   nchw-A   algorithm A behind transposes: some algorithms (Winograd) know this layout only
// and the fastest that math_mode() allows is kept (conv_algorithm.h). Times of nchw include the transposes. Bfloat16 is tried as it lies
// in memory only, where the tensor cores want it; a shape that cuDNN doesn't do so, or slowly, is done in floats:
//   float    operands widened, the convolution of floats, the result rounded
#include "kernels/conv2d.h"

#include <array>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <type_traits>

#include "kernels/bfloat16.h"
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

template <class T>
constexpr bool kIsFloat = std::is_same_v<T, float>;
template <class T>
bool on_tensor_cores() { return math_mode().tf32 || !kIsFloat<T>; }

struct Descriptors {
  template <class T>
  Descriptors(const ConvShape& s, ConvLayout layout, const T*)
      : x(kCudnnType<T>, layout, {s.n, s.h, s.w, s.c}), y(kCudnnType<T>, layout, {s.n, s.p(), s.q(), s.k}), w(kCudnnType<T>, layout, {s.k, s.r, s.s, s.c / s.groups}), convolution(s.stride, s.padding, s.groups, on_tensor_cores<T>()) {}
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
  static cudnnStatus_t find(cudnnHandle_t h, const Descriptors& d, const void* x, const void* w, void* y, int* count, Perf* trials, void* scratch, std::size_t bytes) {
    return cudnn().find_forward(h, d.x.native(), x, d.w.native(), w, d.convolution.native(), d.y.native(), y, kMostTrials, count, trials, scratch, bytes);
  }
  static cudnnStatus_t workspace(cudnnHandle_t h, const Descriptors& d, Algorithm a, std::size_t* bytes) {
    return cudnn().forward_workspace(h, d.x.native(), d.w.native(), d.convolution.native(), d.y.native(), a, bytes);
  }
  static cudnnStatus_t run(cudnnHandle_t h, const Descriptors& d, Algorithm a, const void* x, const void* w, void* y, void* scratch, std::size_t bytes) {
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
  static cudnnStatus_t find(cudnnHandle_t h, const Descriptors& d, const void* dy, const void* w, void* dx, int* count, Perf* trials, void* scratch, std::size_t bytes) {
    return cudnn().find_backward_data(h, d.w.native(), w, d.y.native(), dy, d.convolution.native(), d.x.native(), dx, kMostTrials, count, trials, scratch, bytes);
  }
  static cudnnStatus_t workspace(cudnnHandle_t h, const Descriptors& d, Algorithm a, std::size_t* bytes) {
    return cudnn().backward_data_workspace(h, d.w.native(), d.y.native(), d.convolution.native(), d.x.native(), a, bytes);
  }
  static cudnnStatus_t run(cudnnHandle_t h, const Descriptors& d, Algorithm a, const void* dy, const void* w, void* dx, void* scratch, std::size_t bytes) {
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
  static cudnnStatus_t find(cudnnHandle_t h, const Descriptors& d, const void* x, const void* dy, void* dw, int* count, Perf* trials, void* scratch, std::size_t bytes) {
    return cudnn().find_backward_filter(h, d.x.native(), x, d.y.native(), dy, d.convolution.native(), d.w.native(), dw, kMostTrials, count, trials, scratch, bytes);
  }
  static cudnnStatus_t workspace(cudnnHandle_t h, const Descriptors& d, Algorithm a, std::size_t* bytes) {
    return cudnn().backward_filter_workspace(h, d.x.native(), d.y.native(), d.convolution.native(), d.w.native(), a, bytes);
  }
  static cudnnStatus_t run(cudnnHandle_t h, const Descriptors& d, Algorithm a, const void* x, const void* dy, void* dw, void* scratch, std::size_t bytes) {
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

template <class T>
using Runner = std::function<void(const T* a, const T* b, T* out, simt::NativeStream)>;

template <class T>
Runner<T> product_runner(const Operation& op) {
  return [op](const T* a, const T* b, T* out, simt::NativeStream stream) {
    kernel_functions<GemmOf<T>>.cuda(op.product, op.swapped ? b : a, op.swapped ? a : b, out, stream);
  };
}

template <class Kind, class T>
Runner<T> cudnn_runner(const ConvShape& s, ConvLayout layout, typename Kind::Algorithm algorithm, simt::NativeStream stream) {
  auto d = std::make_shared<Descriptors>(s, layout, static_cast<const T*>(nullptr));
  std::size_t bytes = 0;
  check(Kind::workspace(libraries(stream).dnn(), *d, algorithm, &bytes), "conv2d: workspace");
  libraries(stream).workspace().at_least(bytes);  // grows now, not while a graph is captured
  const auto direct = [d, algorithm, bytes](const T* a, const T* b, T* out, simt::NativeStream on) {
    Libraries& own = libraries(on);
    check(Kind::run(own.dnn(), *d, algorithm, a, b, out, own.workspace().at_least(bytes), bytes), Kind::kName);
  };
  if constexpr (kIsFloat<T>) {
    if (layout == ConvLayout::kNchw) {
      return [direct, op = Kind::of(s)](const float* a, const float* b, float* out, simt::NativeStream on) {
        simt::Buffer<float> a2(size_of(op.a), on), b2(size_of(op.b), on), out2(size_of(op.out), on);
        to_nchw(op.a, a, a2.data(), on);
        to_nchw(op.b, b, b2.data(), on);
        direct(a2.data(), b2.data(), out2.data(), on);
        from_nchw(op.out, out2.data(), out, on);
      };
    }
  }
  return direct;
}

template <class Kind, class T>
void run(const ConvShape& s, const T* a, const T* b, T* out, simt::NativeStream stream);

template <class Kind>
Runner<Bfloat16> widened_runner(const ConvShape& s) {
  return [s, op = Kind::of(s)](const Bfloat16* a, const Bfloat16* b, Bfloat16* out, simt::NativeStream on) {
    simt::Buffer<float> a2(size_of(op.a), on), b2(size_of(op.b), on), out2(size_of(op.out), on);
    kernel_functions<FromBfloat16>.cuda(size_of(op.a), a, a2.data(), on);
    kernel_functions<FromBfloat16>.cuda(size_of(op.b), b, b2.data(), on);
    run<Kind, float>(s, a2.data(), b2.data(), out2.data(), on);
    kernel_functions<ToBfloat16>.cuda(size_of(op.out), out2.data(), out, on);
  };
}

bool is_product(const ConvShape& s) { return s.r == 1 && s.s == 1 && s.stride == 1 && s.padding == 0 && s.groups == 1; }

constexpr const char *kProduct = "gemm", *kWidened = "float";
constexpr std::array<const char*, 2> kLayoutNames = {"nhwc-", "nchw-"};
template <class T>
constexpr int kLayouts = kIsFloat<T> ? 2 : 1;

// The runner that a name stands for, or an empty one.
template <class Kind, class T>
Runner<T> runner_of(const std::string& name, const ConvShape& s, simt::NativeStream stream) {
  if (name == kProduct) return is_product(s) ? product_runner<T>(Kind::of(s)) : Runner<T>();
  if constexpr (!kIsFloat<T>) {
    if (name == kWidened) return widened_runner<Kind>(s);
  }
  for (int layout = 0; layout < kLayouts<T>; ++layout) {
    const std::string prefix = kLayoutNames[static_cast<std::size_t>(layout)];
    if (name.rfind(prefix, 0) == 0 && name.size() == prefix.size() + 1) {
      return cudnn_runner<Kind, T>(s, static_cast<ConvLayout>(layout), static_cast<typename Kind::Algorithm>(name.back() - '0'), stream);
    }
  }
  return {};
}

// What cuDNN says of its algorithms, having run each on operands in `layout`.
template <class Kind, class T>
std::vector<ConvTrial> trials_of(const ConvShape& s, ConvLayout layout, const T* a, const T* b, T* out, simt::NativeStream stream) {
  const Descriptors d(s, layout, a);
  Libraries& own = libraries(stream);
  const std::size_t limit = math_mode().workspace_limit;
  std::array<typename Kind::Perf, kMostTrials> found{};
  int count = 0;
  std::vector<ConvTrial> trials;
  const auto find = [&](const T* first, const T* second, T* result) {
    // A shape that cuDNN doesn't do in this layout is one trial fewer, not an error.
    const cudnnStatus_t status = Kind::find(own.dnn(), d, first, second, result, &count, found.data(), own.workspace().at_least(limit), limit);
    if (status != CUDNN_STATUS_SUCCESS) count = 0;
  };
  double transposes = 0.0;
  if (layout == ConvLayout::kNhwc) {
    find(a, b, out);
  } else if constexpr (kIsFloat<T>) {
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
    const bool wanted = on_tensor_cores<T>() || perf.mathType != CUDNN_TENSOR_OP_MATH;
    trials.push_back({.name = kLayoutNames[static_cast<std::size_t>(layout)] + std::to_string(static_cast<int>(perf.algo)),
                      .milliseconds = static_cast<double>(perf.time) + transposes,
                      .workspace = perf.memory,
                      .worked = perf.status == CUDNN_STATUS_SUCCESS && wanted,
                      .deterministic = perf.determinism == CUDNN_DETERMINISTIC});
  }
  return trials;
}

template <class T>
std::string key_of(const char* operation, const ConvShape& s) {
  int device = 0;
  check(cudaGetDevice(&device), "conv2d");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "conv2d");
  const char* precision = !kIsFloat<T> ? "bf16 " : math_mode().tf32 ? "tf32 "
                                                                    : "";
  return std::string(properties.name) + " " + precision + operation + " " + s.to_string();
}

// The name of the fastest, measured on these operands.
template <class Kind, class T>
std::string fastest(const std::string& key, const ConvShape& s, const T* a, const T* b, T* out, simt::NativeStream stream) {
  std::vector<ConvTrial> trials;
  if (is_product(s)) {
    const Runner<T> product = product_runner<T>(Kind::of(s));
    trials.push_back({.name = kProduct, .milliseconds = milliseconds_of(stream, [&] { product(a, b, out, stream); }), .worked = true});
  }
  for (int layout = 0; layout < kLayouts<T>; ++layout) {
    const std::vector<ConvTrial> more = trials_of<Kind>(s, static_cast<ConvLayout>(layout), a, b, out, stream);
    trials.insert(trials.end(), more.begin(), more.end());
  }
  if constexpr (!kIsFloat<T>) {
    // Always possible. Tensor cores take 8 channels at a time: only where that doesn't fit can floats be the faster ones.
    const bool fits = s.c / s.groups % 8 == 0 && s.k / s.groups % 8 == 0;
    const Runner<T> widened = widened_runner<Kind>(s);
    const auto run = [&] { widened(a, b, out, stream); };
    if (!fits) run();  // chooses its own form
    trials.push_back({.name = kWidened, .milliseconds = fits ? std::numeric_limits<double>::max() : milliseconds_of(stream, run), .worked = true});
  }
  return trials[choose_algorithm(key, trials, math_mode())].name;
}

template <class Kind, class T>
const Runner<T>& choose(const ConvShape& s, const T* a, const T* b, T* out, simt::NativeStream stream) {
  static auto* runners = new std::map<std::pair<simt::NativeStream, ConvShape>, Runner<T>>;
  static std::uint64_t version = 0;
  if (const std::uint64_t now = conv_choices_version(); version != now) runners->clear(), version = now;
  const auto place = std::pair(stream, s);
  if (const auto known = runners->find(place); known != runners->end()) return known->second;
  const std::string key = key_of<T>(Kind::kName, s);
  if (is_capturing(stream)) {
    throw std::runtime_error("conv2d: " + key + " is seen for the first time while a graph is captured; run the step once before");
  }
  if (const std::optional<std::string> recorded = conv_choice(key)) {
    if (Runner<T> runner = runner_of<Kind, T>(*recorded, s, stream)) return runners->emplace(place, std::move(runner)).first->second;
  }
  const std::string name = fastest<Kind>(key, s, a, b, out, stream);
  record_conv_choice(key, name);
  return runners->emplace(place, runner_of<Kind, T>(name, s, stream)).first->second;
}

template <class Kind, class T>
void run(const ConvShape& s, const T* a, const T* b, T* out, simt::NativeStream stream) {
  choose<Kind>(s, a, b, out, stream)(a, b, out, stream);
}

template <class T>
void forward(const ConvShape& s, const T* x, const T* w, const float* b, T* y, simt::NativeStream stream) {
  if (s.output_size() == 0) return;
  run<Forward>(s, x, w, y, stream);
  if (b != nullptr) kernel_functions<BiasAddOf<T>>.cuda(s.n * s.p() * s.q(), s.k, y, b, y, stream);
}

template <class T>
void backward_data(const ConvShape& s, const T* dy, const T* w, T* dx, simt::NativeStream stream) {
  if (s.input_size() == 0) return;
  run<BackwardData>(s, dy, w, dx, stream);
}

template <class T>
void backward_weights(const ConvShape& s, const T* x, const T* dy, T* dw, float* db, simt::NativeStream stream) {
  if (s.output_size() == 0) {
    check(cudaMemsetAsync(dw, 0, static_cast<std::size_t>(s.filter_size()) * sizeof(T), stream), "conv2d");
  } else {
    run<BackwardWeights>(s, x, dy, dw, stream);
  }
  if (db != nullptr) kernel_functions<BiasBackwardOf<T>>.cuda(s.n * s.p() * s.q(), s.k, dy, db, stream);
}

template <class T>
bool register_for() {
  return register_kernel<Conv2dForwardOf<T>>(Backend::kCuda, &forward<T>) &&
         register_kernel<Conv2dBackwardDataOf<T>>(Backend::kCuda, &backward_data<T>) &&
         register_kernel<Conv2dBackwardWeightsOf<T>>(Backend::kCuda, &backward_weights<T>);
}
const bool registered = register_for<float>() && register_for<Bfloat16>();

}  // namespace
}  // namespace hinge::kernels::cuda
