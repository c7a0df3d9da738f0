// Words of a command line, one a line: they are understood, or there is a complaint that says how to go on. Nothing is carried
// out, and --config, whose files are the target `config`, is left out.
#include <string>

#include "engine/core/error.h"
#include "tests/fuzz/target.h"
#include "tools/hinge/commands.h"
#include "tools/hinge/options.h"
#include "tools/hinge/target.h"

using namespace hinge;
using namespace hinge::fuzz;

HINGE_FUZZ_TARGET(arguments, "", 4 * kMiB, 512) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin <= bytes.size();) {
    const std::size_t end = std::min(bytes.find('\n', begin), bytes.size());
    words.emplace_back(bytes.substr(begin, end - begin));
    begin = end + 1;
  }
  const std::optional<std::string> complaint = cli::complaint_about(words);
  promise(!complaint || complaint->starts_with("hinge: "), "a complaint says whose it is");
  for (const std::string& word : words) {
    try {
      for (const compress::Target& target : cli::parse_targets({word}, Count::kMacs)) promise(!target.to_string().empty(), "a target has a name");
    } catch (const UsageError&) {
    }
    try {
      const FeatureShape picture = cli::parse_picture("--picture", word);
      promise(picture.size() > 0, "a picture has pixels");
    } catch (const UsageError&) {
    }
  }
}
