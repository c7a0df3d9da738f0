#if __has_include(<nccl.h>)
#include "kernels/cuda/nccl.h"

#include <stdexcept>
#include <string>

#include "kernels/cuda/shared_library.h"

namespace hinge::kernels::cuda {
namespace {

NcclFunctions load() {
  static const auto* library = new SharedLibrary("NCCL " + std::to_string(NCCL_MAJOR), {"libnccl.so." + std::to_string(NCCL_MAJOR)});
  NcclFunctions f{};
  library->bind(f.error_string, "ncclGetErrorString");
  library->bind(f.last_error, "ncclGetLastError");
  library->bind(f.unique_id, "ncclGetUniqueId");
  library->bind(f.init_rank, "ncclCommInitRank");
  library->bind(f.abort, "ncclCommAbort");
  library->bind(f.all_reduce, "ncclAllReduce");
  return f;
}

}  // namespace

const NcclFunctions& nccl() {
  static const NcclFunctions functions = load();
  return functions;
}

void check(ncclResult_t status, const char* what) {
  if (status == ncclSuccess) return;
  const char* more = nccl().last_error(nullptr);
  throw std::runtime_error(std::string(what) + ": " + nccl().error_string(status) + (more != nullptr && *more != '\0' ? " (" + std::string(more) + ")" : ""));
}

NcclCommunicator::NcclCommunicator(const ncclUniqueId& id, int rank, int size) {
  check(nccl().init_rank(&native_, size, id, rank), "NCCL: meeting the other ranks' GPUs");
}

// Abort and not destroy, which waits for the other ranks: they may be gone. After a whole step nothing is underway; behind an error
// of this rank a sum is, which nobody wants any more.
NcclCommunicator::~NcclCommunicator() { nccl().abort(native_); }

}  // namespace hinge::kernels::cuda

#endif
