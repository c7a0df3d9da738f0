// Marks maths that runs on the host and in CUDA kernels alike.
#pragma once

#if defined(__CUDACC__)
#define SIMT_HOST_DEVICE __host__ __device__
#else
#define SIMT_HOST_DEVICE
#endif
