// How the measuring programs begin and end: exit code 2 for a command line that makes no sense, 1 for a failure.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>

#include "engine/core/error.h"

namespace hinge::bench {

// Parses the command line and returns what `work()` does, the exit code; messages begin with `name`.
template <class Work>
int run_main(const char* name, CLI::App& app, int argc, char** argv, Work work) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    app.exit(error);
    return 2;
  }
  try {
    return work();
  } catch (const UsageError& error) {
    std::fprintf(stderr, "%s: %s\n", name, error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", name, error.what());
    return 1;
  }
}

}  // namespace hinge::bench
