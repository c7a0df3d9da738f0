// No handler of signals ever runs: all threads block the signals, one waits for them (docs/decisions/0025).
#include "tools/hinge/interrupt.h"

#include <pthread.h>

#include <atomic>
#include <csignal>
#include <thread>

namespace hinge::cli {
namespace {

std::atomic<bool> g_requested = false;

sigset_t interrupts() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

// As the shell expects it: the exit status says which signal it was.
void end_by(int signal) {
  const sigset_t signals = interrupts();
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  std::raise(signal);
}

}  // namespace

void watch_for_interrupts() {
  const sigset_t signals = interrupts();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, SIG_DFL);  // a shell's background jobs ignore SIGINT
  std::thread([signals] {
    for (int signal = 0;;) {
      if (sigwait(&signals, &signal) != 0) continue;
      if (g_requested.exchange(true)) end_by(signal);
    }
  }).detach();  // it has nothing that an end of the process would harm
}

bool interrupt_requested() { return g_requested.load(std::memory_order_relaxed); }

void end_on_interrupt() { g_requested.store(true); }

}  // namespace hinge::cli
