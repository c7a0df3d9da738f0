// --config FILE: options from JSON, equal to flags. The file is a run's config.json, {"command": "compress", "options":
// {"epochs": 20, ...}}, or the inner object alone; names are those of the flags without dashes.
//
// The file becomes words of the command line before that is parsed, so that a value from a file is checked as one that
// was typed, and wins over a recipe as that does.
#pragma once

#include <string>
#include <vector>

namespace hinge::cli {

// `words` (without the program's name) with the options of the file named by --config behind them, those left out that
// the words give themselves. Throws UsageError if the file is of another command, Error if it isn't JSON of that form.
std::vector<std::string> with_config_file(const std::vector<std::string>& words);

}  // namespace hinge::cli
