#include "kernels/cuda/cudnn.h"

#include <limits>
#include <stdexcept>
#include <string>

#include "kernels/cuda/shared_library.h"

namespace hinge::kernels::cuda {
namespace {

CudnnFunctions load() {
  // Kept until the program ends: its functions may be called by destructors of static objects.
  static const auto* library = new SharedLibrary("cuDNN 9", {"libcudnn.so.9"});
  CudnnFunctions f{};
  library->bind(f.error_string, "cudnnGetErrorString");
  library->bind(f.create, "cudnnCreate");
  library->bind(f.destroy, "cudnnDestroy");
  library->bind(f.set_stream, "cudnnSetStream");
  library->bind(f.create_tensor, "cudnnCreateTensorDescriptor");
  library->bind(f.destroy_tensor, "cudnnDestroyTensorDescriptor");
  library->bind(f.set_tensor, "cudnnSetTensor4dDescriptor");
  library->bind(f.create_filter, "cudnnCreateFilterDescriptor");
  library->bind(f.destroy_filter, "cudnnDestroyFilterDescriptor");
  library->bind(f.set_filter, "cudnnSetFilter4dDescriptor");
  library->bind(f.create_convolution, "cudnnCreateConvolutionDescriptor");
  library->bind(f.destroy_convolution, "cudnnDestroyConvolutionDescriptor");
  library->bind(f.set_convolution, "cudnnSetConvolution2dDescriptor");
  library->bind(f.set_groups, "cudnnSetConvolutionGroupCount");
  library->bind(f.set_math, "cudnnSetConvolutionMathType");
  library->bind(f.find_forward, "cudnnFindConvolutionForwardAlgorithmEx");
  library->bind(f.forward_workspace, "cudnnGetConvolutionForwardWorkspaceSize");
  library->bind(f.forward, "cudnnConvolutionForward");
  library->bind(f.find_backward_data, "cudnnFindConvolutionBackwardDataAlgorithmEx");
  library->bind(f.backward_data_workspace, "cudnnGetConvolutionBackwardDataWorkspaceSize");
  library->bind(f.backward_data, "cudnnConvolutionBackwardData");
  library->bind(f.find_backward_filter, "cudnnFindConvolutionBackwardFilterAlgorithmEx");
  library->bind(f.backward_filter_workspace, "cudnnGetConvolutionBackwardFilterWorkspaceSize");
  library->bind(f.backward_filter, "cudnnConvolutionBackwardFilter");
  return f;
}

int narrow(std::int64_t extent) {
  if (extent > std::numeric_limits<int>::max()) {
    throw std::runtime_error("cuDNN: an extent of " + std::to_string(extent) + ", at most 2147483647 can be passed");
  }
  return static_cast<int>(extent);
}

cudnnTensorFormat_t format_of(ConvLayout layout) {
  return layout == ConvLayout::kNhwc ? CUDNN_TENSOR_NHWC : CUDNN_TENSOR_NCHW;
}

}  // namespace

const CudnnFunctions& cudnn() {
  static const CudnnFunctions functions = load();
  return functions;
}

void check(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS) throw std::runtime_error(std::string(what) + ": " + cudnn().error_string(status));
}

CudnnImage::CudnnImage(cudnnDataType_t type, ConvLayout layout, const std::array<std::int64_t, 4>& nhwc) {
  check(cudnn().set_tensor(native(), format_of(layout), type, narrow(nhwc[0]), narrow(nhwc[3]), narrow(nhwc[1]),
                           narrow(nhwc[2])),
        "conv2d: image");
}

CudnnFilter::CudnnFilter(cudnnDataType_t type, ConvLayout layout, const std::array<std::int64_t, 4>& krsc) {
  check(cudnn().set_filter(native(), type, format_of(layout), narrow(krsc[0]), narrow(krsc[3]), narrow(krsc[1]),
                           narrow(krsc[2])),
        "conv2d: filters");
}

CudnnConvolution::CudnnConvolution(int stride, int padding, int groups, bool tensor_cores) {
  check(cudnn().set_convolution(native(), padding, padding, stride, stride, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
        "conv2d: shape");
  check(cudnn().set_groups(native(), groups), "conv2d: groups");
  // FMA forbids tensor cores, the default would use TF32 on its own.
  check(cudnn().set_math(native(), tensor_cores ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH), "conv2d: math");
}

}  // namespace hinge::kernels::cuda
