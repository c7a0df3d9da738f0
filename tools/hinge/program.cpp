#include <omp.h>

#include <cstdio>
#include <new>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "hinge_version.h"
#include "tools/hinge/commands.h"
#include "tools/hinge/config_file.h"
#include "tools/hinge/group.h"
#include "tools/hinge/interrupt.h"

namespace hinge::cli {
namespace {

// Velocities of groups that were driven to zero decay through the denormal range, where arithmetic is 100 times
// slower; treat such numbers as zero on every thread.
void flush_denormals() {
#if defined(__SSE__)
#pragma omp parallel
  _mm_setcsr(_mm_getcsr() | 0x8040);  // flush to zero, denormals are zero
#endif
}

int report(const char* what, int code) {
  if (process_group() != nullptr) fail_group(what, code);
  if (is_first_launched()) std::fprintf(stderr, "hinge: %s\n", what);
  return code;
}

std::vector<std::string> names_of_commands(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) {
    if (!is_hidden(*command)) names.push_back(command->get_name());
  }
  return names;
}

std::vector<std::string> names_of_options(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) names.push_back(option->get_name());
  return names;
}

// What CLI11 says, with the nearest known name where a name was mistyped.
std::string usage_text(const CLI::App& app, const CLI::ParseError& error, const std::vector<std::string>& words) {
  std::string text = error.what();
  const CLI::App* active = &app;
  for (const CLI::App* command : app.get_subcommands()) active = command;
  const auto known = active == &app ? names_of_commands(app) : names_of_options(*active);
  if (active == &app && !words.empty() && !words[0].starts_with('-') && std::find(known.begin(), known.end(), words[0]) == known.end()) {
    text = fmt::format("unknown command '{}'{}", words[0], did_you_mean(words[0], known));
  }
  for (const std::string& word : words) {
    if (active == &app) break;
    const std::string argument = word.substr(0, word.find('='));
    if (std::find(known.begin(), known.end(), argument) != known.end() || text.find(argument) == std::string::npos) continue;
    if (!argument.starts_with("-")) continue;
    text = fmt::format("unknown option '{}'{}", argument, did_you_mean(argument, known));
    break;
  }
  return fmt::format("hinge: {}\nTry 'hinge {}{}--help'.\n", text, active == &app ? "" : active->get_name(), active == &app ? "" : " ");
}

using Actions = std::vector<std::pair<CLI::App*, Action>>;

// Declares every command; what the words set is bound to the actions.
Actions declare_all(CLI::App& app) {
  app.set_version_flag("--version", std::string("hinge ") + HINGE_VERSION + " (" + HINGE_BUILD + ")");
  app.require_subcommand(1);
  Actions actions;
  const auto add = [&](const char* name, const char* help, Action (*declare)(CLI::App&)) {
    CLI::App* command = app.add_subcommand(name, help);
    actions.emplace_back(command, declare(*command));
  };
  add("train", "Train a network from scratch.", &declare_train);
  add("compress", "Make a trained network smaller: search, surgery with proof, fine-tuning.", &declare_compress);
  add("finetune", "Train a network further, e.g. a compressed one.", &declare_finetune);
  add("eval", "Score a network on a test set.", &declare_eval);
  add("export", "Write a network as ONNX, or as safetensors with PyTorch's names.", &declare_export);
  add("report", "Show one run, or compare several, as one page for a browser.", &declare_report);
  add("explain", "Say why a compressed network's layers kept what they kept.", &declare_explain);
  add("time", "Say how fast networks run on this machine, and each of their layers.", &declare_time);
  add("reproduce", "Make rows of the paper's tables, with controls, and the table of what came out.", &declare_reproduce);
  add("prox", "Apply a regulariser's proximal step to one matrix of a file.", &declare_prox);
  add("pack", "Pack a folder of pictures into a few large files.", &declare_pack);
  add("info", "Count a network's parameters and operations.", &declare_info);
  add("reference", "Write docs/reference from the options.", &declare_reference);
  add("completion", "Write a script that lets a shell complete commands and options.", &declare_completion);
  return actions;
}

constexpr const char* kDescription =
    "hinge: train, compress and evaluate neural networks by group sparsity.\n"
    "A typical job:\n"
    "  hinge compress --weights resnet20.safetensors --data cifar10 --data-dir DIR --target flops=0.5 --out RUN\n"
    "  hinge eval     --weights RUN/model.safetensors --data cifar10 --data-dir DIR";

// CLI11 takes words from the back.
void parse(CLI::App& app, const std::vector<std::string>& words) { app.parse(std::vector<std::string>(words.rbegin(), words.rend())); }

}  // namespace

std::optional<std::string> complaint_about(const std::vector<std::string>& words) {
  // Declared once: all options of all commands take longer than a thousand parses. Parsing forgets what was parsed before.
  static CLI::App app(kDescription, "hinge");
  [[maybe_unused]] static const Actions actions = declare_all(app);
  try {
    parse(app, words);
  } catch (const CLI::Success&) {
    return "hinge: help";
  } catch (const CLI::ParseError& error) {
    return usage_text(app, error, words);
  }
  return std::nullopt;
}

int run_program(int argc, const char* const* argv) {
  CLI::App app(kDescription, "hinge");
  const Actions actions = declare_all(app);

  try {
    watch_for_interrupts();
    flush_denormals();
    const std::vector<std::string> words = with_config_file({argv + 1, argv + argc});
    try {
      parse(app, words);
    } catch (const CLI::Success& success) {
      return app.exit(success);
    } catch (const CLI::ParseError& error) {
      if (is_first_launched()) std::fputs(usage_text(app, error, words).c_str(), stderr);
      return 2;
    }
    for (const auto& [command, action] : actions) {
      if (!command->parsed()) continue;
      join_group(command->get_name());
      action();
      leave_group();
    }
  } catch (const UsageError& error) {
    return report(error.what(), 2);
  } catch (const Interrupted& stop) {
    if (is_first_rank()) std::fprintf(stderr, "hinge: %s\n", stop.what());
    leave_group();  // all of them stop here
    return 130;
  } catch (const std::bad_alloc&) {
    return report("out of memory; a smaller --batch needs less", 1);
  } catch (const std::exception& error) {
    return report(error.what(), 1);
  }
  return 0;
}

}  // namespace hinge::cli
