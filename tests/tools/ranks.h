// hinge as several ranks under mpirun.
#pragma once

#include <cstdlib>

#include "tests/support/catch.h"
#include "tests/tools/process.h"

namespace hinge::testing {

// Started in a session of its own, so that nothing of it is left when the test ends.
inline pid_t start(std::vector<std::string> words, const std::filesystem::path& log) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child != 0) return child;
  setsid();
  for (const char* variable : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"}) setenv(variable, "1", 1);
  setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 1);
  setenv("OMPI_MCA_hwloc_base_binding_policy", "none", 1);
  setenv("OMP_NUM_THREADS", "1", 1);
  std::freopen(log.c_str(), "w", stdout);
  dup2(STDOUT_FILENO, STDERR_FILENO);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(127);
}

inline pid_t start_ranks(int ranks, const std::vector<std::string>& arguments, const std::filesystem::path& log) {
  // RANK in an argument is the rank's number.
  std::vector<std::string> words = {"mpirun", "-n", std::to_string(ranks), "sh", "-c", "for word do shift; set -- \"$@\" \"$(echo \"$word\" | sed \"s/RANK/$OMPI_COMM_WORLD_RANK/\")\"; done; exec \"$0\" \"$@\"", HINGE_BINARY};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return start(words, log);
}

inline bool is_there(const std::string& why_not) {
  if (why_not.empty()) return true;
  WARN("skipped: " << why_not);
  return false;
}
// "" where there is an mpirun and the program was built with MPI.
inline std::string no_ranks() {
  if (std::system("mpirun --version >/dev/null 2>&1") != 0) return "no mpirun";
  const auto log = std::filesystem::temp_directory_path() / ("hinge-mpi-" + std::to_string(getpid()));
  wait_for(start_ranks(2, {"info", "--model", "resnet8"}, log));
  const std::string said = slurp(log);
  std::filesystem::remove(log);
  return said.find("the work of one process") != std::string::npos ? "" : "hinge was built without MPI: " + said;
}

}  // namespace hinge::testing
