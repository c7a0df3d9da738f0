// NCCL as this program uses it: functions found when first needed, and a type that owns the communicator.
#pragma once

#include <nccl.h>

namespace hinge::kernels::cuda {

struct NcclFunctions {
  decltype(&::ncclGetErrorString) error_string;
  decltype(&::ncclGetLastError) last_error;
  decltype(&::ncclGetUniqueId) unique_id;
  decltype(&::ncclCommInitRank) init_rank;
  decltype(&::ncclCommAbort) abort;
  decltype(&::ncclAllReduce) all_reduce;
};

// Loads NCCL on the first call; throws std::runtime_error where there is none.
const NcclFunctions& nccl();
// Throws std::runtime_error with what was being done and NCCL's own words.
void check(ncclResult_t status, const char* what);

class NcclCommunicator {
 public:
  // Waits for all `size` processes.
  NcclCommunicator(const ncclUniqueId& id, int rank, int size);
  ~NcclCommunicator();
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;
  ncclComm_t native() const { return native_; }

 private:
  ncclComm_t native_ = nullptr;
};

}  // namespace hinge::kernels::cuda
