#include "tools/hinge/group.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "engine/core/error.h"
#include "engine/parallel/mpi_group.h"
#include "tools/hinge/console.h"
#include "tools/hinge/interrupt.h"

namespace hinge::cli {
namespace {

std::unique_ptr<ProcessGroup> g_group;

constexpr std::array kShared = {"train", "compress", "finetune"};

}  // namespace

ProcessGroup* process_group() { return g_group.get(); }
bool is_first_rank() { return g_group == nullptr || g_group->rank() == 0; }
int rank_count() { return g_group == nullptr ? 1 : g_group->size(); }

bool is_first_launched() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"}) {
    if (const char* rank = std::getenv(name)) return std::string(rank) == "0";
  }
  return true;
}

void join_group(const std::string& command) {
  if (!launched_by_mpi()) return;
  if (std::ranges::find(kShared, command) == kShared.end()) fail_usage("hinge {} is the work of one process; start it without mpirun (several can train, compress and finetune)", command);
  // Without unwinding: see MpiOptions.
  g_group = mpi_group({.lost = [](const std::string& what) { fail_group(what, 1); }});
  if (!is_first_rank()) silence();
}

void leave_group() {
  any_rank(false);  // who is done first naps: MPI's own end would keep a processor busy
  g_group.reset();
}

void fail_group(const std::string& what, int code) {
  if (!is_first_rank()) {
    // Rank 0 ends everybody where it has the same error, and then this isn't said.
    end_on_interrupt();
    std::this_thread::sleep_for(std::chrono::seconds(2));
  }
  std::fprintf(stderr, "hinge: %s%s\n", is_first_rank() ? "" : fmt::format("rank {}: ", g_group->rank()).c_str(), what.c_str());
  std::fflush(stderr);
  abort_all_ranks(code);
}

bool any_rank(bool here) {
  if (g_group == nullptr) return here;
  double said = here ? 1.0 : 0.0;
  g_group->sum({&said, 1});
  return said > 0.0;
}

}  // namespace hinge::cli
