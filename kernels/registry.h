// One function per kernel and backend, found by a type.
//
// A kernel is a tag with a `Signature` and a `kName`; each backend registers one function for it from the file that
// implements it. Asking for a backend that has none is an error that says which have it, never a silent copy.
//
// On CUDA, work is queued on a stream: a function for Backend::kCuda takes what the Signature says and then the native
// stream, which `dispatch` takes from the stream it was given (docs/decisions/0008).
#pragma once

#include <stdexcept>
#include <string>

#include "kernels/simt/native_stream.h"

namespace hinge::kernels {

enum class Backend { kCpu,
                     kCuda };
inline constexpr int kBackends = 2;
inline constexpr const char* kBackendNames[kBackends] = {"cpu", "cuda"};

// void(A, B) -> void(A, B, NativeStream)
template <class Signature>
struct OnStream;
template <class... Params>
struct OnStream<void(Params...)> {
  using type = void(Params..., simt::NativeStream);
};
template <class Tag>
using CudaSignature = typename OnStream<typename Tag::Signature>::type;

template <class Tag>
struct KernelFunctions {
  typename Tag::Signature* cpu = nullptr;
  CudaSignature<Tag>* cuda = nullptr;
};
template <class Tag>
inline KernelFunctions<Tag> kernel_functions{};

// Both return true so that a namespace-scope constant can hold the call.
template <class Tag>
bool register_kernel(Backend, typename Tag::Signature* function) {
  kernel_functions<Tag>.cpu = function;
  return true;
}
template <class Tag>
bool register_kernel(Backend, CudaSignature<Tag>* function) {
  kernel_functions<Tag>.cuda = function;
  return true;
}

template <class Tag>
[[noreturn]] void throw_no_kernel(Backend backend) {
  std::string known;
  if (kernel_functions<Tag>.cpu != nullptr) known = kBackendNames[0];
  if (kernel_functions<Tag>.cuda != nullptr) known += known.empty() ? kBackendNames[1] : std::string(", ") + kBackendNames[1];
  throw std::runtime_error(std::string(Tag::kName) + ": no kernel for " + kBackendNames[static_cast<int>(backend)] +
                           " (registered: " + (known.empty() ? "none" : known) + ")");
}

// The stream that CUDA knows; its default one for a stream type that holds none.
template <class Stream>
simt::NativeStream native_stream(const Stream& stream) {
  if constexpr (requires { stream.native(); }) {
    return stream.native();
  } else {
    return nullptr;
  }
}

// Runs Tag's kernel on the backend of `stream` (anything with `device().kind`, and `native()` where it has one).
template <class Tag, class Stream, class... Args>
void dispatch(const Stream& stream, Args&&... args) {
  const auto backend = static_cast<Backend>(stream.device().kind);
  const KernelFunctions<Tag>& functions = kernel_functions<Tag>;
  if (backend == Backend::kCpu && functions.cpu != nullptr) {
    functions.cpu(args...);
  } else if (backend == Backend::kCuda && functions.cuda != nullptr) {
    functions.cuda(args..., native_stream(stream));
  } else {
    throw_no_kernel<Tag>(backend);
  }
}

}  // namespace hinge::kernels
