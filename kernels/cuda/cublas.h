// cuBLAS as this program uses it: functions found when first needed, and a type that owns the handle.
#pragma once

#include <cublas_v2.h>

namespace hinge::kernels::cuda {

struct CublasFunctions {
  decltype(&::cublasGetStatusString) status_string;
  decltype(&::cublasCreate_v2) create;
  decltype(&::cublasDestroy_v2) destroy;
  decltype(&::cublasSetStream_v2) set_stream;
  decltype(&::cublasSetWorkspace_v2) set_workspace;
  decltype(&::cublasSetMathMode) set_math_mode;
  // cublasGemmEx, which the header overloads for C++.
  cublasStatus_t (*gemm)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int m, int n, int k, const void* alpha, const void* a,
                         cudaDataType, int lda, const void* b, cudaDataType, int ldb, const void* beta, void* c, cudaDataType, int ldc,
                         cublasComputeType_t, cublasGemmAlgo_t);
};

// Loads cuBLAS on the first call; throws std::runtime_error where there is none.
const CublasFunctions& cublas();
void check(cublasStatus_t status, const char* what);

class CublasHandle {
 public:
  CublasHandle();
  ~CublasHandle();
  CublasHandle(const CublasHandle&) = delete;
  CublasHandle& operator=(const CublasHandle&) = delete;
  cublasHandle_t native() const { return native_; }

 private:
  cublasHandle_t native_ = nullptr;
};

}  // namespace hinge::kernels::cuda
