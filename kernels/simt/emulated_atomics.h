// CUDA's atomics for the emulator: nothing else runs meanwhile, so they are plain; but each may let other threads run
// before it, so that under shuffled schedules code sees every order that it must bear.
#pragma once

#include <concepts>
#include <type_traits>

#include "kernels/simt/emulator.h"

namespace simt::emulator {

template <class T, class... Allowed>
concept OneOf = (std::same_as<T, Allowed> || ...);

// *address <- change(*address); returns what was there before.
template <class T, class Change>
T exchange(T* address, Change change) {
  maybe_yield();
  const T old = *address;
  *address = change(old);
  return old;
}

}  // namespace simt::emulator

// The types for which CUDA has the operation (compute capability 8.0 and later).
template <simt::emulator::OneOf<int, unsigned, unsigned long long, float, double> T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  // Unsigned arithmetic: CUDA's integers wrap.
  if constexpr (std::same_as<T, int>) {
    return simt::emulator::exchange(address, [=](int old) {
      return static_cast<int>(static_cast<unsigned>(old) + static_cast<unsigned>(value));
    });
  } else {
    return simt::emulator::exchange(address, [=](T old) { return old + value; });
  }
}
template <simt::emulator::OneOf<int, unsigned, long long, unsigned long long> T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return simt::emulator::exchange(address, [=](T old) { return value < old ? value : old; });
}
template <simt::emulator::OneOf<int, unsigned, long long, unsigned long long> T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return simt::emulator::exchange(address, [=](T old) { return value > old ? value : old; });
}
template <simt::emulator::OneOf<int, unsigned, unsigned long long> T>
T atomicAnd(T* address, std::type_identity_t<T> value) {
  return simt::emulator::exchange(address, [=](T old) { return old & value; });
}
template <simt::emulator::OneOf<int, unsigned, unsigned long long> T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return simt::emulator::exchange(address, [=](T old) { return old | value; });
}
template <simt::emulator::OneOf<int, unsigned, unsigned long long, float> T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return simt::emulator::exchange(address, [=](T) { return value; });
}
template <simt::emulator::OneOf<int, unsigned, unsigned long long> T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return simt::emulator::exchange(address, [=](T old) { return old == expected ? value : old; });
}
// Counts up and wraps to 0 after `limit`.
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  return simt::emulator::exchange(address, [=](unsigned old) { return old >= limit ? 0 : old + 1; });
}
