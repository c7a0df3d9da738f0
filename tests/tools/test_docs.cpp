// The commands of documentation pages work as they stand there: each runs in a folder that holds what the page speaks of.
#include <regex>

#include "engine/io/safetensors.h"
#include "engine/nn/model_file.h"
#include "models/registry.h"
#include "tests/support/catch.h"
#include "tests/support/pictures.h"
#include "tests/support/tiny.h"
#include "tests/tools/process.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

struct Snippet {
  bool python = false;
  std::string text;
};

// Lines indented by four that begin with "hinge ", and blocks fenced as python; in their order. Other fenced blocks are
// for the eye.
std::vector<Snippet> snippets_of(const std::string& page) {
  std::vector<Snippet> snippets;
  std::istringstream in(page);
  bool in_python = false, fenced = false;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("```")) {
      in_python = !fenced && line == "```python";
      fenced = !fenced;
      if (in_python) snippets.push_back({true, ""});
    } else if (in_python) {
      snippets.back().text += line + "\n";
    } else if (!fenced && line.starts_with("    hinge ")) {
      snippets.push_back({false, line.substr(4)});
    }
  }
  return snippets;
}

// "import numpy\nfrom torch import x" -> "import numpy, torch"
std::string imports_of(const std::string& text) {
  std::string names;
  static const std::regex kImport("(^|\n)(import|from) (\\w+)");
  for (std::sregex_iterator it(text.begin(), text.end(), kImport), end; it != end; ++it) names += (names.empty() ? "import " : ", ") + (*it)[3].str();
  return names;
}

class Folder {
 public:
  Folder() {
    write_tiny_cifar(at("DIR"), 40);
    write_small_folder(at("pictures"), 40);
    write_network(at("net.safetensors"), tiny_network(1));
    Network resnet18(models::build("resnet18", {.input = {64, 64, 3}}));
    initialise(resnet18, 1);
    io::TensorFile file;
    for (const auto& [name, tensor] : resnet18.values()) file.tensors.emplace(name, tensor.shape().rank() == 4 ? filters_to_file_layout(tensor) : tensor);
    io::write_safetensors(at("resnet18.safetensors"), file);
    const std::string compress = "hinge compress --weights net.safetensors --data cifar10 --data-dir DIR --target flops=0.6 --search-epochs 1 --epochs 1 --held-out 20 --batch 32";
    // As on the page about the command line.
    std::ofstream(at("settings.json")) << R"({"model": "resnet8", "data": "cifar10", "data-dir": "DIR", "held-out": 20, "batch": 32, "epochs": 100, "nesterov": true})";
    run(compress + " --out RUN");
    run(compress + " --method random --out RUN-RANDOM");
  }
  std::string at(const std::string& name) const { return (scratch_.folder() / name).string(); }
  // A line of a shell in this folder, where `hinge` is the one that was built.
  void run(const std::string& line) const {
    INFO(line);
    const std::string path = std::filesystem::path(HINGE_BINARY).parent_path().string();
    const int status = std::system(("cd '" + scratch_.folder().string() + "' && PATH='" + path + "':$PATH OMP_NUM_THREADS=2 && export PATH OMP_NUM_THREADS && " + line + " >log 2>&1").c_str());
    INFO(slurp(at("log")));
    CHECK(status == 0);
  }
  std::string python_with(const std::string& imports) const {
    for (const std::string python : {HINGE_SOURCE_DIR "/build/venv/bin/python", "/usr/bin/python3"}) {
      if (std::system((python + " -c '" + imports + "' >/dev/null 2>&1").c_str()) == 0) return python;
    }
    return "";
  }

 private:
  io::Scratch scratch_;
};

}  // namespace

TEST_CASE("every command and every Python block of the pages about export, image folders, reports and the command line works as it stands") {
#ifdef __SANITIZE_ADDRESS__
  WARN("skipped: commands are looked at without the sanitizers, under which they take minutes");
  return;
#endif
  const Folder folder;
  int commands = 0;
  for (const char* page : {"export-onnx.md", "image-folders.md", "report.md", "command-line.md"}) {
    for (const Snippet& snippet : snippets_of(slurp(std::string(HINGE_SOURCE_DIR "/docs/") + page))) {
      INFO(page << ": " << snippet.text);
      if (!snippet.python) {
        // One pass instead of many: what is looked at is the command, not the error.
        folder.run(std::regex_replace(snippet.text, std::regex("--epochs [0-9]+"), "--epochs 1"));
        ++commands;
        continue;
      }
      const std::string python = folder.python_with(imports_of(snippet.text));
      if (python.empty()) {
        WARN("skipped a block of " << page << ": no Python here can " << imports_of(snippet.text));
        continue;
      }
      std::ofstream(folder.at("snippet.py")) << snippet.text;
      folder.run(python + " snippet.py");
    }
  }
  CHECK(commands >= 11);
}
