// hinge reference: docs/reference, written from the options themselves. Not in --help: it is for who changes an option
// (tools/dev/cli_reference.sh).
#include <sstream>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "tools/hinge/commands.h"

namespace hinge::cli {
namespace {

constexpr const char* kOrigin = "<!-- Written by tools/dev/cli_reference.sh from the program itself; a test compares. -->\n\n";

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) text.replace(at, what.size(), with);
  return text;
}

// A cell of a table.
std::string cell(const std::string& text) { return replaced(text, "|", "\\|"); }

// "INT:INT in [1 - 64]" -> "integer from 1 to 64", "TEXT:{skip,fail}" -> "skip, fail"
std::string kind_of(const CLI::Option& option) {
  if (option.get_expected_max() == 0) return "";
  const std::string type = option.get_type_name();
  const std::size_t colon = type.find(':');
  const std::string name = type.substr(0, colon), check = colon == std::string::npos ? "" : type.substr(colon + 1);
  if (check.starts_with("{")) return replaced(check.substr(1, check.size() - 2), ",", ", ");
  std::string kind = name == "TEXT" ? "text" : name == "FLOAT" ? "number"
                                                               : "integer";
  if (check == "POSITIVE") kind += " above 0";
  if (check == "NONNEGATIVE") kind += ", 0 or above";
  if (const std::size_t range = check.find(" in ["); range != std::string::npos) {
    kind += " from " + replaced(check.substr(range + 5, check.size() - range - 6), " - ", " to ");
  }
  return option.get_items_expected_max() > 1 ? kind + ", ..." : kind;
}

std::string default_of(const CLI::Option& option) {
  std::string text = option.get_default_str();
  if (text.starts_with("[") && text.ends_with("]")) text = text.substr(1, text.size() - 2);
  return text.empty() ? "" : "`" + text + "`";
}

std::string row_of(const CLI::Option& option) {
  std::string name;
  for (const std::string& word : option.get_lnames()) name += (name.empty() ? "`--" : ", `--") + word + "`";
  if (name.empty()) name = "`" + option.get_name() + "`" + (option.get_required() ? "" : " (may be left out)");
  return fmt::format("| {} | {} | {} | {} |\n", name, cell(kind_of(option)), cell(default_of(option)), cell(option.get_description()));
}

std::string tables_of(const CLI::App& command) {
  std::vector<std::pair<std::string, std::string>> groups;  // heading and rows, in the order of --help
  for (const CLI::Option* option : command.get_options()) {
    if (option == command.get_help_ptr()) continue;
    const std::string group = option->get_positional() ? "Arguments" : option->get_group();
    auto found = std::ranges::find_if(groups, [&](const auto& entry) { return entry.first == group; });
    if (found == groups.end()) found = groups.insert(groups.end(), {group, ""});
    found->second += row_of(*option);
  }
  std::string text;
  for (const auto& [heading, rows] : groups) {
    text += fmt::format("## {}\n\n| option | value | default | |\n| --- | --- | --- | --- |\n{}\n", heading, rows);
  }
  return text;
}

// What stands below the options in --help: sentences, and commands below "Examples:".
std::string footer_of(const CLI::App& command) {
  std::istringstream in(command.get_footer());
  std::string text;
  bool examples = false;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("Example")) {
      examples = true;
      text += "\n## Examples\n\n";
    } else {
      text += examples ? "    " + line.substr(std::min<std::size_t>(2, line.size())) + "\n" : line + "\n";
    }
  }
  return text;
}

std::string page_of(const CLI::App& command) {
  return fmt::format("# hinge {}\n\n{}{}\n\n{}{}", command.get_name(), kOrigin, command.get_description(), tables_of(command), footer_of(command));
}

std::string index_of(const CLI::App& program) {
  std::string text = fmt::format("# The command line, option by option\n\n{}| command | |\n| --- | --- |\n", kOrigin);
  for (const CLI::App* command : program.get_subcommands({})) {
    if (is_hidden(*command)) continue;
    text += fmt::format("| [hinge {}]({}.md) | {} |\n", command->get_name(), command->get_name(), command->get_description());
  }
  return text + "\nWhat they have in common (configuration files, exit codes, devices): [the command line](../command-line.md).\n";
}

}  // namespace

bool is_hidden(const CLI::App& command) { return command.get_group().empty(); }

Action declare_reference(CLI::App& app) {
  auto folder = std::make_shared<std::string>();
  app.add_option("folder", *folder, "Folder to write the pages to")->required();
  app.group("");
  return [folder, &app] {
    const CLI::App& program = *app.get_parent();
    std::filesystem::create_directories(*folder);
    const auto write = [&](const std::string& name, const std::string& text) { io::write_file_atomically(std::filesystem::path(*folder) / (name + ".md"), text); };
    write("README", index_of(program));
    for (const CLI::App* command : program.get_subcommands({})) {
      if (!is_hidden(*command)) write(command->get_name(), page_of(*command));
    }
  };
}

}  // namespace hinge::cli
