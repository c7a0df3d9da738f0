// What a stream's library calls share: the handles bound to it, and scratch memory.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "kernels/cuda/cublas.h"
#include "kernels/cuda/cudnn.h"
#include "kernels/simt/native_stream.h"

namespace hinge::kernels::cuda {

// Scratch memory that only grows. What was handed out stays valid: a captured graph goes on using it.
class Workspace {
 public:
  // At least `bytes`; nullptr for 0. Must not grow while a graph is being captured.
  void* at_least(std::size_t bytes);
  std::size_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* memory) const;
  };
  std::vector<std::unique_ptr<void, Free>> blocks_;
  std::size_t bytes_ = 0;
};

class Libraries {
 public:
  explicit Libraries(simt::NativeStream stream) : stream_(stream) {}
  // Made on the first use: a network without convolutions needs no cuDNN.
  cudnnHandle_t dnn();
  cublasHandle_t blas();
  // Of convolutions. cuBLAS has one of its own, so that neither waits for the other's size to settle.
  Workspace& workspace() { return workspace_; }

 private:
  simt::NativeStream stream_;
  std::unique_ptr<CudnnHandle> dnn_;
  std::unique_ptr<CublasHandle> blas_;
  Workspace workspace_, blas_workspace_;
};

// Those of a stream; made on the first call and kept until the program ends. One host thread at a time.
Libraries& libraries(simt::NativeStream stream);

bool is_capturing(simt::NativeStream stream);

}  // namespace hinge::kernels::cuda
