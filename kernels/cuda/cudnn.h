// cuDNN as this program uses it: functions found when first needed, and types that own handles and descriptors.
#pragma once

#include <cudnn.h>

#include <array>
#include <cstdint>
#include <utility>

#include "kernels/bfloat16.h"

namespace hinge::kernels::cuda {

// The functions that are called, with the types of cuDNN's header.
struct CudnnFunctions {
  decltype(&::cudnnGetErrorString) error_string;
  decltype(&::cudnnCreate) create;
  decltype(&::cudnnDestroy) destroy;
  decltype(&::cudnnSetStream) set_stream;
  decltype(&::cudnnCreateTensorDescriptor) create_tensor;
  decltype(&::cudnnDestroyTensorDescriptor) destroy_tensor;
  decltype(&::cudnnSetTensor4dDescriptor) set_tensor;
  decltype(&::cudnnCreateFilterDescriptor) create_filter;
  decltype(&::cudnnDestroyFilterDescriptor) destroy_filter;
  decltype(&::cudnnSetFilter4dDescriptor) set_filter;
  decltype(&::cudnnCreateConvolutionDescriptor) create_convolution;
  decltype(&::cudnnDestroyConvolutionDescriptor) destroy_convolution;
  decltype(&::cudnnSetConvolution2dDescriptor) set_convolution;
  decltype(&::cudnnSetConvolutionGroupCount) set_groups;
  decltype(&::cudnnSetConvolutionMathType) set_math;
  decltype(&::cudnnFindConvolutionForwardAlgorithmEx) find_forward;
  decltype(&::cudnnGetConvolutionForwardWorkspaceSize) forward_workspace;
  decltype(&::cudnnConvolutionForward) forward;
  decltype(&::cudnnFindConvolutionBackwardDataAlgorithmEx) find_backward_data;
  decltype(&::cudnnGetConvolutionBackwardDataWorkspaceSize) backward_data_workspace;
  decltype(&::cudnnConvolutionBackwardData) backward_data;
  decltype(&::cudnnFindConvolutionBackwardFilterAlgorithmEx) find_backward_filter;
  decltype(&::cudnnGetConvolutionBackwardFilterWorkspaceSize) backward_filter_workspace;
  decltype(&::cudnnConvolutionBackwardFilter) backward_filter;
};

// Loads cuDNN 9 on the first call; throws std::runtime_error where there is none.
const CudnnFunctions& cudnn();
// Throws std::runtime_error with cuDNN's own words unless `status` is success.
void check(cudnnStatus_t status, const char* what);

// One of cuDNN's objects, destroyed with its owner.
template <class Native, auto Create, auto Destroy>
class CudnnObject {
 public:
  CudnnObject() { check((cudnn().*Create)(&native_), "cuDNN object"); }
  ~CudnnObject() {
    if (native_ != nullptr) (cudnn().*Destroy)(native_);
  }
  CudnnObject(CudnnObject&& other) noexcept : native_(std::exchange(other.native_, nullptr)) {}
  CudnnObject& operator=(CudnnObject&& other) noexcept {
    std::swap(native_, other.native_);
    return *this;
  }
  Native native() const { return native_; }

 private:
  Native native_ = nullptr;
};
using CudnnHandle = CudnnObject<cudnnHandle_t, &CudnnFunctions::create, &CudnnFunctions::destroy>;

enum class ConvLayout { kNhwc,
                        kNchw };

// What numbers lie in memory as.
template <class T>
inline constexpr cudnnDataType_t kCudnnType = CUDNN_DATA_FLOAT;
template <>
inline constexpr cudnnDataType_t kCudnnType<Bfloat16> = CUDNN_DATA_BFLOAT16;

// An image [N, H, W, C], laid out as `layout` says.
class CudnnImage : public CudnnObject<cudnnTensorDescriptor_t, &CudnnFunctions::create_tensor, &CudnnFunctions::destroy_tensor> {
 public:
  CudnnImage(cudnnDataType_t type, ConvLayout layout, const std::array<std::int64_t, 4>& nhwc);
};

// Filters [K, R, S, C/groups].
class CudnnFilter : public CudnnObject<cudnnFilterDescriptor_t, &CudnnFunctions::create_filter, &CudnnFunctions::destroy_filter> {
 public:
  CudnnFilter(cudnnDataType_t type, ConvLayout layout, const std::array<std::int64_t, 4>& krsc);
};

class CudnnConvolution
    : public CudnnObject<cudnnConvolutionDescriptor_t, &CudnnFunctions::create_convolution, &CudnnFunctions::destroy_convolution> {
 public:
  // Sums are floats. `tensor_cores`: products may be theirs, which for floats means TF32.
  CudnnConvolution(int stride, int padding, int groups, bool tensor_cores);
};

}  // namespace hinge::kernels::cuda
