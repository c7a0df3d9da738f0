// One function per kernel and backend, found by a type.
//
// A kernel is a tag with a `Signature` and a `kName`; each backend registers one function for it from the file that
// implements it. Asking for a backend that has none is an error that says which have it, never a silent copy.
#pragma once

#include <array>
#include <stdexcept>
#include <string>

namespace hinge::kernels {

enum class Backend { kCpu, kCuda };
inline constexpr int kBackends = 2;
inline constexpr const char* kBackendNames[kBackends] = {"cpu", "cuda"};

template <class Tag>
inline std::array<typename Tag::Signature*, kBackends> kernel_table{};

// Returns true so that a namespace-scope constant can hold the call.
template <class Tag>
bool register_kernel(Backend backend, typename Tag::Signature* function) {
  kernel_table<Tag>[static_cast<std::size_t>(backend)] = function;
  return true;
}

template <class Tag>
typename Tag::Signature* find_kernel(Backend backend) {
  if (auto* function = kernel_table<Tag>[static_cast<std::size_t>(backend)]) return function;
  std::string known;
  for (int b = 0; b < kBackends; ++b) {
    if (kernel_table<Tag>[static_cast<std::size_t>(b)] != nullptr) {
      known += known.empty() ? kBackendNames[b] : std::string(", ") + kBackendNames[b];
    }
  }
  throw std::runtime_error(std::string(Tag::kName) + ": no kernel for " +
                           kBackendNames[static_cast<int>(backend)] +
                           " (registered: " + (known.empty() ? "none" : known) + ")");
}

// Runs Tag's kernel on the backend of `stream` (anything with `device().kind`).
template <class Tag, class Stream, class... Args>
void dispatch(const Stream& stream, Args&&... args) {
  find_kernel<Tag>(static_cast<Backend>(stream.device().kind))(args...);
}

}  // namespace hinge::kernels
