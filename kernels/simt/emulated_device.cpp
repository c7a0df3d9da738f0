#include "kernels/simt/emulated_device.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/simt/device.h"
#include "kernels/simt/emulator.h"
#include "kernels/simt/memory.h"
#include "kernels/simt/poison.h"

namespace simt {

struct Graph {
  std::vector<std::function<void()>> work;
  // Scratch that kernels took and gave back while they were captured: theirs in every replay.
  std::vector<void*> scratch;
};

namespace {

struct Device {
  std::size_t total = std::size_t{64} << 20, reserved = 0;
  std::map<void*, std::size_t> segments;
  int open = 0;
  std::unique_ptr<Graph> capture;
  NativeStream captured_stream = nullptr;
  std::function<double()> clock;
};
Device& device() {
  static auto* device = new Device;
  return *device;
}

std::size_t whole_pages(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

void protect(int rights) {
  for (const auto& [memory, bytes] : device().segments) mprotect(memory, whole_pages(bytes), rights);
}

void forbid_while_capturing(const char* what) {
  if (device().capture) throw Fault(std::string(what) + " while a graph is captured");
}

}  // namespace

namespace emulator {

void set_clock(std::function<double()> now) { device().clock = std::move(now); }

void set_device_memory(std::size_t bytes) { device().total = bytes; }

DeviceAccess::DeviceAccess() {
  if (device().open++ == 0) protect(PROT_READ | PROT_WRITE);
}
DeviceAccess::~DeviceAccess() {
  if (--device().open == 0) protect(PROT_NONE);
}

bool is_capturing() { return device().capture != nullptr; }

void record(const char* name, NativeStream stream, std::function<void()> run) {
  if (stream != device().captured_stream) {
    throw Fault(std::string(name) + ": queued on another stream than the one that is captured");
  }
  device().capture->work.push_back(std::move(run));
}

void host_work(const char* name, NativeStream stream, std::function<void()> work) {
  const auto run = [work = std::move(work)] {
    const DeviceAccess access;
    work();
  };
  if (is_capturing()) {
    record(name, stream, run);
  } else {
    run();
  }
}

}  // namespace emulator

int device_count() { return 1; }
std::string why_no_device() { return ""; }
std::string device_name(int) { return "emulated GPU"; }
std::string device_identity(int) { return "emulated GPU of process " + std::to_string(getpid()); }
MemoryState memory_state(int) { return {device().total, device().total - device().reserved}; }

void* reserve(std::size_t bytes, int) {
  Device& d = device();
  if (bytes > d.total - d.reserved) return nullptr;
  void* memory = mmap(nullptr, whole_pages(bytes), d.open > 0 ? PROT_READ | PROT_WRITE : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  d.segments.emplace(memory, bytes);
  d.reserved += bytes;
  return memory;
}

void unreserve(void* memory, int) noexcept {
  Device& d = device();
  const auto found = d.segments.find(memory);
  unpoison(memory, found->second);
  munmap(memory, whole_pages(found->second));
  d.reserved -= found->second;
  d.segments.erase(found);
}

void handed_out(void* block, std::size_t bytes, std::size_t rounded) {
  const emulator::DeviceAccess access;
  unpoison(block, bytes);
  std::memset(block, 0xff, bytes);
  // What is free during a capture is scratch in every replay, and so are the ends of blocks.
  if (!device().capture) poison(static_cast<std::byte*>(block) + bytes, rounded - bytes);
}
void taken_back(void* block, std::size_t rounded) noexcept {
  if (!device().capture) poison(block, rounded);
}

// Streams are told apart by their addresses and nothing else: the emulator has done everything when a call returns.
NativeStream make_stream(int) { return reinterpret_cast<NativeStream>(new char); }  // NOLINT: lives as long as the program
void synchronize(NativeStream) { forbid_while_capturing("waiting for the GPU"); }
bool is_idle(NativeStream) {
  forbid_while_capturing("asking the GPU");
  return true;
}

void copy_within(void* to, const void* from, std::size_t bytes, NativeStream stream) {
  emulator::host_work("copy", stream, [=] { std::memmove(to, from, bytes); });
}
void set_zero(void* to, std::size_t bytes, NativeStream stream) {
  emulator::host_work("set to zero", stream, [=] { std::memset(to, 0, bytes); });
}

double milliseconds(NativeStream, const std::function<void()>& work) {
  forbid_while_capturing("measuring");
  const auto& now = device().clock;
  const double begun = now ? now() : 0.0;
  work();
  return now ? now() - begun : 0.0;
}

void begin_capture(NativeStream stream) {
  forbid_while_capturing("another capture");
  device().capture = std::make_unique<Graph>();
  device().captured_stream = stream;
}
Graph* end_capture(NativeStream) { return device().capture.release(); }
void replay(Graph* graph, NativeStream) {
  forbid_while_capturing("running a graph");
  for (const auto& work : graph->work) work();
}
void destroy(Graph* graph) noexcept {
  for (void* memory : graph->scratch) release(memory, nullptr);
  delete graph;
}

void* allocate(std::size_t bytes, NativeStream) {
  void* memory = ::operator new (bytes, std::align_val_t{256});  // cudaMalloc's alignment
  std::memset(memory, 0xff, bytes);
  return memory;
}
void release(void* memory, NativeStream) noexcept {
  if (device().capture) {
    device().capture->scratch.push_back(memory);
  } else {
    ::operator delete (memory, std::align_val_t{256});
  }
}
void copy_in(void* to, const void* from, std::size_t bytes, NativeStream) {
  forbid_while_capturing("copying to the GPU");
  const emulator::DeviceAccess access;
  if (bytes > 0) std::memcpy(to, from, bytes);
}
void copy_out(void* to, const void* from, std::size_t bytes, NativeStream) {
  forbid_while_capturing("copying from the GPU");
  const emulator::DeviceAccess access;
  if (bytes > 0) std::memcpy(to, from, bytes);
}

}  // namespace simt
