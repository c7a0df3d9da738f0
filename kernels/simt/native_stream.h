// A CUDA stream as host code that knows no CUDA header sees it: a pointer that is passed on. Null is the device's
// default stream; the emulator runs a launch to its end before it returns and looks at no stream.
#pragma once

struct CUstream_st;

namespace simt {

using NativeStream = ::CUstream_st*;  // the same type as cudaStream_t

}  // namespace simt
