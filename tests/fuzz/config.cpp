// --config FILE: the file becomes words, and words are taken or refused as typed ones are.
#include "tools/hinge/config_file.h"

#include "tests/fuzz/target.h"
#include "tools/hinge/commands.h"

using namespace hinge;
using namespace hinge::fuzz;

// The base is the tree of all commands and options.
HINGE_FUZZ_TARGET(config, "input.json", 4 * kMiB, 96) {
  const std::vector<std::string> words = cli::with_config_file({"compress", "--config", file_of(bytes, "input.json")});
  promise(words.size() >= 3 && words[0] == "compress", "what was typed stays in front");
  for (std::size_t i = 3; i < words.size(); ++i) promise(words[i].starts_with("--"), "a file gives options only");
  cli::complaint_about(words);
}
