#include "tools/hinge/interrupt.h"

#include <csignal>

namespace hinge::cli {
namespace {

volatile std::sig_atomic_t g_requested = 0;

void on_signal(int signal) {
  if (g_requested) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  g_requested = 1;
}

}  // namespace

void watch_for_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool interrupt_requested() { return g_requested != 0; }

}  // namespace hinge::cli
