// Runs the built program as a user would, and looks at what it left.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/engine/io/scratch.h"

namespace hinge::testing {

struct Outcome {
  int code = -1;       // exit code; 128 + signal if killed
  std::string output;  // standard output and error together
};

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// What `hinge` takes for the user's cache in tests: a folder that goes when they end.
inline const std::filesystem::path& cache_of_tests() {
  struct Folder {
    std::filesystem::path path = std::filesystem::temp_directory_path() / ("hinge-cache-" + std::to_string(getpid()));
    ~Folder() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
  };
  static const Folder folder;
  return folder.path;
}

// Starts `hinge` with these arguments; output goes to `log`. `faults` is what HINGE_FAULT says (engine/core/fault.h).
inline pid_t start_hinge(const std::vector<std::string>& arguments, const std::filesystem::path& log, const std::string& faults = "") {
  const std::filesystem::path& cache = cache_of_tests();
  std::fflush(nullptr);  // or the child would write what waits in our buffers too
  // A signal must not meet the test program's own handler, which the child has until it is another program.
  sigset_t interrupts, before;
  sigemptyset(&interrupts);
  sigaddset(&interrupts, SIGINT);
  sigaddset(&interrupts, SIGTERM);
  sigprocmask(SIG_BLOCK, &interrupts, &before);
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, nullptr);
    if (!faults.empty()) setenv("HINGE_FAULT", faults.c_str(), 1);
    std::freopen(log.c_str(), "w", stdout);
    dup2(STDOUT_FILENO, STDERR_FILENO);
    setenv("XDG_CACHE_HOME", cache.c_str(), 1);
    setenv("OMP_NUM_THREADS", "2", 1);
    setenv("OMP_WAIT_POLICY", "passive", 1);  // threads that spin while they wait hold up whatever else runs on the machine
    std::vector<char*> argv = {const_cast<char*>(HINGE_BINARY)};
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    execv(HINGE_BINARY, argv.data());
    _exit(127);
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
  return child;
}

inline int wait_for(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

inline Outcome run_hinge(const std::vector<std::string>& arguments, const std::string& faults = "") {
  const auto log = std::filesystem::temp_directory_path() / ("hinge-log-" + std::to_string(getpid()));
  const int code = wait_for(start_hinge(arguments, log, faults));
  Outcome outcome{code, slurp(log)};
  std::filesystem::remove(log);
  return outcome;
}

inline bool has_ended(pid_t child) {
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child;
}

// Waits until `holds` says so. False where `child` ends before that, or doesn't come so far in two minutes, more than a busy machine under
// a sanitizer takes: it is then told to end, so that a test that stops here leaves nothing running.
template <typename Condition>
bool wait_until(pid_t child, const Condition& holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(2);
  while (!holds()) {
    if (has_ended(child) || std::chrono::steady_clock::now() > end) {
      kill(child, SIGTERM);
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

// Whether this process has the lock of `folder`. It watches for signals by then: one sent after a fixed time
// may meet a process that has only just been started, and end it as it would any program.
inline bool has_lock(pid_t process, const std::filesystem::path& folder) { return slurp(folder / ".lock") == std::to_string(process); }

// Starts, sends `signal` after `milliseconds` unless it ended before, and waits.
inline int run_and_signal(const std::vector<std::string>& arguments, int milliseconds, int signal, const std::filesystem::path& log) {
  const pid_t child = start_hinge(arguments, log);
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  kill(child, signal);
  return wait_for(child);
}

}  // namespace hinge::testing
