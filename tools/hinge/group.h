// The processes of this program, where mpirun or srun started several.
//
// Rank 0 speaks, and writes the run folder; the others do the same work on their part of each batch, in a folder of their own that
// goes with them. An error that one rank alone has ends all of them, under its name.
#pragma once

#include <cstdint>
#include <string>

#include "engine/core/process_group.h"

namespace hinge::cli {

// Null where this is the only process.
ProcessGroup* process_group();
// Is what this process says and writes the program's?
bool is_first_rank();
// Ranks in all; 1 where this is the only process.
int rank_count();
// Before there is a group: from the environment, for errors that every rank has alike.
bool is_first_launched();

// Makes the group where several processes were started. `command` must be one that ranks can share. Throws Error, UsageError.
void join_group(const std::string& command);
// Everybody is done.
void leave_group();
// Ends all ranks with `code`, after saying `what`. Rank 0 speaks at once; another waits for it to have said the same.
[[noreturn]] void fail_group(const std::string& what, int code);

// Does any rank have it? Every rank asks.
bool any_rank(bool here);

}  // namespace hinge::cli
