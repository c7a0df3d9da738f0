#include "kernels/cuda/libraries.h"

#include <map>

#include "kernels/cuda/status.h"

namespace hinge::kernels::cuda {
namespace {

// What NVIDIA recommends for Hopper, and four times what smaller GPUs take. Given by us, so that cuBLAS neither allocates
// in a captured graph nor picks another algorithm there.
constexpr std::size_t kBlasWorkspace = std::size_t{32} << 20;

}  // namespace

void Workspace::Free::operator()(void* memory) const { cudaFree(memory); }

void* Workspace::at_least(std::size_t bytes) {
  if (bytes > bytes_) {
    void* memory = nullptr;
    check(cudaMalloc(&memory, bytes), "scratch memory of a library");
    blocks_.emplace_back(memory);
    bytes_ = bytes;
  }
  return blocks_.empty() ? nullptr : blocks_.back().get();
}

cudnnHandle_t Libraries::dnn() {
  if (!dnn_) {
    auto handle = std::make_unique<CudnnHandle>();
    check(cudnn().set_stream(handle->native(), stream_), "cuDNN stream");
    dnn_ = std::move(handle);
  }
  return dnn_->native();
}

cublasHandle_t Libraries::blas() {
  if (!blas_) {
    auto handle = std::make_unique<CublasHandle>();
    check(cublas().set_stream(handle->native(), stream_), "cuBLAS stream");
    check(cublas().set_workspace(handle->native(), blas_workspace_.at_least(kBlasWorkspace), kBlasWorkspace), "cuBLAS scratch memory");
    // Parts of a bfloat16 product's sum are added up as floats too, not as what is written.
    const auto mode = static_cast<cublasMath_t>(CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);
    check(cublas().set_math_mode(handle->native(), mode), "cuBLAS math mode");
    blas_ = std::move(handle);
  }
  return blas_->native();
}

Libraries& libraries(simt::NativeStream stream) {
  // Never destroyed: when static objects go, the driver may be gone already.
  static auto* all = new std::map<simt::NativeStream, std::unique_ptr<Libraries>>;
  std::unique_ptr<Libraries>& own = (*all)[stream];
  if (!own) own = std::make_unique<Libraries>(stream);
  return *own;
}

bool is_capturing(simt::NativeStream stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &status), "stream");
  return status != cudaStreamCaptureStatusNone;
}

}  // namespace hinge::kernels::cuda
