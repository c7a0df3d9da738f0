// Ctrl-C and SIGTERM: the first asks the run to save and stop, the second ends it at once.
#pragma once

#include <stdexcept>

namespace hinge::cli {

// Thrown at a step boundary, after the checkpoint was written. Exit code 130.
class Interrupted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Before any other thread is started: threads inherit what they block.
void watch_for_interrupts();
bool interrupt_requested();
// From here on the first signal ends the process, too.
void end_on_interrupt();

}  // namespace hinge::cli
