#include "kernels/cuda/cublas.h"

#include <stdexcept>
#include <string>

#include "kernels/cuda/shared_library.h"

namespace hinge::kernels::cuda {
namespace {

CublasFunctions load() {
  const std::string major = std::to_string(CUBLAS_VER_MAJOR);
  static const auto* library = new SharedLibrary("cuBLAS " + major, {"libcublas.so." + major});
  CublasFunctions f{};
  library->bind(f.status_string, "cublasGetStatusString");
  library->bind(f.create, "cublasCreate_v2");
  library->bind(f.destroy, "cublasDestroy_v2");
  library->bind(f.set_stream, "cublasSetStream_v2");
  library->bind(f.set_workspace, "cublasSetWorkspace_v2");
  library->bind(f.set_math_mode, "cublasSetMathMode");
  library->bind(f.gemm, "cublasGemmEx");
  return f;
}

}  // namespace

const CublasFunctions& cublas() {
  static const CublasFunctions functions = load();
  return functions;
}

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw std::runtime_error(std::string(what) + ": " + cublas().status_string(status));
}

CublasHandle::CublasHandle() { check(cublas().create(&native_), "cuBLAS handle"); }
CublasHandle::~CublasHandle() { cublas().destroy(native_); }

}  // namespace hinge::kernels::cuda
