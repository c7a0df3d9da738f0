// A ProcessGroup over MPI: what mpirun and srun start.
//
// MPI's collectives are all that is used (Alltoall and Allgather for sums of gradients, Allreduce and Broadcast for the rest, all
// non-blocking); there is no transport and no launcher of ours. A rank that dies ends the job by MPI's own doing, with its number and signal. One that hangs is named:
// who has waited for `timeout_seconds` tells everybody that it is there, and who doesn't say so within a tenth of that time is
// who is missed.
//
// In a build without MPI (HINGE_MPI=OFF, or none installed) launched_by_mpi() still answers and mpi_group() throws.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/core/process_group.h"

namespace hinge {

// Was this process started by mpirun or srun, as one of several? From the environment: OpenMPI's, MPICH's, PMI's and Slurm's names.
bool launched_by_mpi();
// Ranks on this machine, and this one's number among them; 1 and 0 where nothing is said.
int local_ranks();
int local_rank();

struct MpiOptions {
  double timeout_seconds = 600.0;  // longer than the slowest rank may take for a step, an evaluation or a surgery
  // Told who is missed, before that is thrown as an Error. It had better not return: what is underway on a GPU waits for the lost
  // rank, and so would every destructor on the way.
  std::function<void(const std::string& what)> lost = {};
};

// Starts MPI; once in a process. The object's end waits for all ranks': behind an error that others may not have, end all
// instead.
std::unique_ptr<ProcessGroup> mpi_group(const MpiOptions& options);

// Ends all ranks' processes; mpirun returns `code`. Only where there is a group.
[[noreturn]] void abort_all_ranks(int code);

}  // namespace hinge
