// The commands of the binary. Each declares its options and returns what to run once they are parsed.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace hinge::cli {

using Action = std::function<void()>;

Action declare_train(CLI::App& app);
Action declare_compress(CLI::App& app);
Action declare_finetune(CLI::App& app);
Action declare_eval(CLI::App& app);
Action declare_info(CLI::App& app);
Action declare_export(CLI::App& app);
Action declare_report(CLI::App& app);
Action declare_completion(CLI::App& app);
Action declare_explain(CLI::App& app);
Action declare_reproduce(CLI::App& app);
Action declare_time(CLI::App& app);
Action declare_reference(CLI::App& app);
Action declare_prox(CLI::App& app);
Action declare_pack(CLI::App& app);

// Left out of --help, of completions and of the reference.
bool is_hidden(const CLI::App& command);

// What the program says to these words (without its name) where they can't be understood, or "hinge: help" for
// --help and --version; nothing if there is something to do. Carries nothing out, reads no file. From one
// thread at a time.
std::optional<std::string> complaint_about(const std::vector<std::string>& words);

// The whole program. Exit codes: 0 done, 1 failure, 2 usage, 130 interrupted (everything saved).
int run_program(int argc, const char* const* argv);

}  // namespace hinge::cli
