// Faults on demand: what a program does when the system lets it down can be seen without breaking the system.
//
//   HINGE_FAULT=CALL:N:WHAT[:PART]     one or several, separated by commas
//
//   CALL   open create read write sync rename link truncate stat   of the file layer (engine/io/system_calls.h)
//          allocate device-allocate                           memory of tensors; a segment of a device's memory
//          clock                                              a look at the wall clock
//   N      the first such call that goes wrong, from 1
//   WHAT   an error (ENOSPC EIO EACCES EROFS EDQUOT EMFILE ENOMEM): this call and every later one fails
//          short: this write and every later one takes half of its bytes, at least one
//          kill: SIGKILL in front of this call; in a write, behind half of its bytes
//          back: the clock is two days slow from here on
//   PART   only calls on files whose path holds it are counted
//
// For tests, in every build: without HINGE_FAULT a call costs a look at an empty list.
#pragma once

#include <cstdint>
#include <string_view>

namespace hinge {

enum class Call : std::uint8_t { kOpen,
                                 kCreate,
                                 kRead,
                                 kWrite,
                                 kSync,
                                 kRename,
                                 kLink,
                                 kTruncate,
                                 kStat,
                                 kAllocate,
                                 kDeviceAllocate,
                                 kClock };

struct Fault {
  enum class Kind : std::uint8_t { kNone,
                                   kError,
                                   kShort,
                                   kKill,
                                   kBack };
  Kind kind = Kind::kNone;
  int error = 0;  // errno of kError
};

// Counts this call and says what is to go wrong with it. `path` is "" for what is no file.
Fault fault_in(Call call, std::string_view path = {});
// Error number of a fault that is one, else 0; dies where that is asked for.
int error_in(Call call, std::string_view path = {});

// What HINGE_FAULT would set; "" takes all faults away. Throws UsageError on words it doesn't know.
void set_faults(std::string_view text);

[[noreturn]] void die();  // SIGKILL: no destructor runs, nothing is flushed

// Seconds since 1970 by the wall clock, which may go backwards.
double wall_clock();

}  // namespace hinge
