// A GPU as host code without CUDA's headers sees it: what is there, memory in large pieces, streams, captured graphs.
//
// Implemented twice, as memory.h: over CUDA's runtime (kernels/cuda/device.cpp), which needs no driver to be called, and by
// the emulator, whose one device has as much memory as a test gives it.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "kernels/simt/native_stream.h"

namespace simt {

// 0 where no GPU can be used; why_no_device() then says what is missing.
int device_count();
std::string why_no_device();
// "NVIDIA H100 80GB HBM3"; needs a device.
std::string device_name(int device);
// "GPU-5a0c...": the same for every process that sees this GPU, and for no other GPU. The emulator's is its process's own.
std::string device_identity(int device);
struct MemoryState {
  std::size_t total = 0, free = 0;
};
MemoryState memory_state(int device);

// Memory in large pieces, for an allocator on top; nullptr where there is not enough. unreserve waits for the device.
void* reserve(std::size_t bytes, int device);
void unreserve(void* memory, int device) noexcept;
// What that allocator does with a part of it: `bytes` of `rounded` are somebody's, or none are. The emulator fills new
// blocks with NaN and lets AddressSanitizer watch their ends; on a GPU both do nothing.
void handed_out(void* block, std::size_t bytes, std::size_t rounded);
void taken_back(void* block, std::size_t rounded) noexcept;

// A new stream; `device` becomes the thread's current one.
NativeStream make_stream(int device);
void synchronize(NativeStream stream);
// Is everything done that was queued?
bool is_idle(NativeStream stream);
void copy_within(void* to, const void* from, std::size_t bytes, NativeStream stream);
void set_zero(void* to, std::size_t bytes, NativeStream stream);
// How long the device takes for what `work` queues on the stream; runs it several times. The emulator runs
// it once, by the clock that it was given (emulated_device.h).
double milliseconds(NativeStream stream, const std::function<void()>& work);

// Between begin_capture and end_capture, what is queued on the stream is recorded instead of run.
struct Graph;
void begin_capture(NativeStream stream);
Graph* end_capture(NativeStream stream);
void replay(Graph* graph, NativeStream stream);
void destroy(Graph* graph) noexcept;

}  // namespace simt
