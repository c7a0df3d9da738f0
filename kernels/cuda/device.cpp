#include "kernels/simt/device.h"

#include <memory>

#include "kernels/cuda/event_timer.h"
#include "kernels/cuda/status.h"

namespace simt {

using hinge::kernels::cuda::check;

struct Graph {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;

  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() {
    if (executable != nullptr) cudaGraphExecDestroy(executable);
    if (graph != nullptr) cudaGraphDestroy(graph);
  }
};

namespace {

// The runtime is part of this program and looks for the driver by itself: without one this is an error code, no crash.
cudaError_t count_devices(int* count) {
  *count = 0;
  const cudaError_t status = cudaGetDeviceCount(count);
  if (status != cudaSuccess) *count = 0;
  return status;
}

std::string version_text(int version) { return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10); }

}  // namespace

int device_count() {
  int count = 0;
  count_devices(&count);
  return count;
}

std::string why_no_device() {
  int count = 0, driver = 0;
  const cudaError_t status = count_devices(&count);
  if (status == cudaSuccess) return count == 0 ? "no NVIDIA GPU is visible" : "";
  cudaDriverGetVersion(&driver);
  if (driver == 0) return "no NVIDIA driver is installed";
  if (status == cudaErrorInsufficientDriver) {
    return "the NVIDIA driver knows CUDA " + version_text(driver) + ", this program needs " + version_text(CUDART_VERSION);
  }
  return cudaGetErrorString(status);
}

std::string device_name(int device) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "GPU");
  return properties.name;
}

std::string device_identity(int device) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "GPU");
  std::string text = "GPU-";
  for (const char byte : properties.uuid.bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    const auto value = static_cast<unsigned char>(byte);
    text += kDigits[value >> 4];
    text += kDigits[value & 15];
  }
  return text;
}

MemoryState memory_state(int device) {
  MemoryState state;
  check(cudaSetDevice(device), "GPU");
  check(cudaMemGetInfo(&state.free, &state.total), "GPU memory");
  return state;
}

void* reserve(std::size_t bytes, int device) {
  check(cudaSetDevice(device), "GPU");
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // it would be reported again by the next call that looks
    return nullptr;
  }
  check(status, "allocating on the GPU");
  return memory;
}

void unreserve(void* memory, int) noexcept { cudaFree(memory); }
void handed_out(void*, std::size_t, std::size_t) {}
void taken_back(void*, std::size_t) noexcept {}

NativeStream make_stream(int device) {
  check(cudaSetDevice(device), "GPU");
  // Scratch memory of kernels comes from the driver's pool (memory.cpp), which shall keep what it has.
  cudaMemPool_t pool = nullptr;
  check(cudaDeviceGetDefaultMemPool(&pool, device), "GPU memory pool");
  std::uint64_t keep_all = ~std::uint64_t{0};
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep_all), "GPU memory pool");
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  return stream;
}

void synchronize(NativeStream stream) { check(cudaStreamSynchronize(stream), "waiting for the GPU"); }

bool is_idle(NativeStream stream) {
  const cudaError_t status = cudaStreamQuery(stream);
  if (status == cudaErrorNotReady) return false;
  check(status, "asking the GPU");
  return true;
}

void copy_within(void* to, const void* from, std::size_t bytes, NativeStream stream) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "copying on the GPU");
}

void set_zero(void* to, std::size_t bytes, NativeStream stream) {
  check(cudaMemsetAsync(to, 0, bytes, stream), "zeroing on the GPU");
}

double milliseconds(NativeStream stream, const std::function<void()>& work) { return hinge::kernels::cuda::milliseconds_of(stream, work); }

void begin_capture(NativeStream stream) {
  // Relaxed: the tensors that the captured work makes may take memory from the device while it is recorded.
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "capturing a graph");
}

Graph* end_capture(NativeStream stream) {
  auto result = std::make_unique<Graph>();
  check(cudaStreamEndCapture(stream, &result->graph), "capturing a graph");
  check(cudaGraphInstantiate(&result->executable, result->graph, 0), "building a graph");
  return result.release();
}

void replay(Graph* graph, NativeStream stream) { check(cudaGraphLaunch(graph->executable, stream), "running a graph"); }
void destroy(Graph* graph) noexcept { delete graph; }

}  // namespace simt
