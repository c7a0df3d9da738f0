// The commands of documentation pages work as they stand there: each block runs in a folder that holds what pages speak
// of, with `hinge` on data so small that it takes a moment.
#include <regex>
#include <set>

#include "engine/io/safetensors.h"
#include "engine/nn/model_file.h"
#include "models/registry.h"
#include "tests/support/catch.h"
#include "tests/support/pictures.h"
#include "tests/support/tiny.h"
#include "tests/tools/pages.h"
#include "tests/tools/process.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

// What a page's `hinge` is: one pass over few images instead of what the page asks for. What is looked at is the command,
// not the error.
constexpr const char* kWrapper = R"(#!/usr/bin/env bash
command=${1:-}
case "$command $*" in
  *--resume*|*--help*) exec "$HINGE" "$@" ;;
  reproduce\ *) mkdir -p reproduction; exec "$HINGE" "$@" --dry-run ;;
  train\ *|compress\ *|finetune\ *) ;;
  *) exec "$HINGE" "$@" ;;
esac
words=()
while [ $# -gt 0 ]; do
  case "$1" in
    --epochs|--search-epochs|--held-out|--batch|--threads) shift 2 ;;
    *) words+=("$1"); shift ;;
  esac
done
[ "$command" = compress ] && words+=(--search-epochs 1)
exec "$HINGE" "${words[@]}" --epochs 1 --held-out 40 --batch 10
)";

// As somebody else's program writes it: PyTorch's names and layouts, and nothing of ours.
void write_state_dict(const std::string& file, const std::string& model, const models::ModelOptions& options) {
  Network network(models::build(model, options));
  initialise(network, 1);
  io::TensorFile out;
  for (const auto& [name, tensor] : network.values()) out.tensors.emplace(name, tensor.shape().rank() == 4 ? filters_to_file_layout(tensor) : tensor);
  io::write_safetensors(file, out);
}

constexpr const char* kToPyTorch =
    "import json, struct, sys, numpy, torch\n"
    "data = open('mobilenet_v2.safetensors', 'rb').read()\n"
    "size = struct.unpack('<Q', data[:8])[0]\n"
    "state = {}\n"
    "for name, entry in json.loads(data[8:8 + size]).items():\n"
    "    if name == '__metadata__': continue\n"
    "    begin, end = entry['data_offsets']\n"
    "    values = numpy.frombuffer(data[8 + size + begin:8 + size + end], dtype='<f4').reshape(entry['shape'])\n"
    "    state[name] = torch.from_numpy(values.copy())\n"
    "torch.save(state, 'mobilenet_v2.pth')\n";

// "import numpy\nfrom torch import x" -> "import numpy, torch"
std::string imports_of(const std::string& text) {
  std::string names;
  static const std::regex kImport("(^|\n)(import|from) (\\w+)");
  for (std::sregex_iterator it(text.begin(), text.end(), kImport), end; it != end; ++it) names += (names.empty() ? "import " : ", ") + (*it)[3].str();
  return names;
}

std::string python_with(const std::string& imports) {
  for (const std::string python : {HINGE_SOURCE_DIR "/build/venv/bin/python", "/usr/bin/python3"}) {
    if (std::system((python + " -c '" + imports + "' >/dev/null 2>&1").c_str()) == 0) return python;
  }
  return "";
}

class Folder {
 public:
  Folder() : torch_(std::system("/usr/bin/python3 -c 'import torch, numpy' >/dev/null 2>&1") == 0) {
    namespace fs = std::filesystem;
    write_tiny_cifar(at("DIR"), 12);
    write_small_folder(at("pictures"), 20);
    write_network(at("net.safetensors"), tiny_network(1));
    for (const char* name : {"resnet20.safetensors", "resnet20-cifar10.safetensors"}) write_network(at(name), tiny_network(2, "A-stride", "resnet20"));
    write_state_dict(at("mobilenet_v2.safetensors"), "mobilenet_v2", {.classes = 3, .input = {64, 64, 3}});
    // As on the page about the command line.
    std::ofstream(at("settings.json")) << R"({"model": "resnet8", "data": "cifar10", "data-dir": "DIR", "held-out": 20, "batch": 32, "epochs": 100, "nesterov": true})";
    fs::create_directories(at("bin"));
    fs::create_directories(at("build/cpu"));
    std::ofstream(at("bin/hinge")) << kWrapper;
    fs::permissions(at("bin/hinge"), fs::perms::owner_all);
    fs::create_symlink(at("bin/hinge"), at("build/cpu/hinge"));
    fs::create_symlink(HINGE_SOURCE_DIR "/tools", at("tools"));
    if (torch_) {  // Debian's, for the system's Python
      fs::create_symlink("/usr/bin/python3", at("bin/python3"));
      std::ofstream(at("to_pytorch.py")) << kToPyTorch;
      run("python3 to_pytorch.py\n");
    }
    const std::string compress = "hinge compress --weights net.safetensors --data cifar10 --data-dir DIR --target flops=0.6 --out ";
    run(compress + "RUN\n" + compress + "RUN-RANDOM --method random\n" + compress + "RUN-SVD --method svd\n");
  }
  std::string at(const std::string& name) const { return (scratch_.folder() / name).string(); }
  bool has_torch() const { return torch_; }

  // A script of a shell in this folder.
  void run(const std::string& script) const {
    INFO(script);
    std::ofstream(at("script.sh")) << "set -eu\ncd '" << scratch_.folder().string() << "'\nPATH=\"$PWD/bin:$PATH\" OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive HINGE='" << HINGE_BINARY
                                   << "' XDG_CACHE_HOME='" << cache_of_tests().string() << "'\nexport PATH OMP_NUM_THREADS OMP_WAIT_POLICY HINGE XDG_CACHE_HOME\n"
                                   << script;
    const int status = std::system(("bash '" + at("script.sh") + "' >'" + at("log") + "' 2>&1").c_str());
    INFO(slurp(at("log")));
    CHECK(status == 0);
  }
  // A page's block. What an earlier page made under the same name goes first.
  void run_block(const std::string& script) const {
    static const std::regex kOut("--out ([\\w.-]+)");
    for (std::sregex_iterator it(script.begin(), script.end(), kOut), end; it != end; ++it) std::filesystem::remove_all(at((*it)[1]));
    run(script);
  }

 private:
  io::Scratch scratch_;
  bool torch_ = false;
};

bool looks_like_a_command(const std::string& text) {
  static const std::regex kCommand("(^|\n)(\\$ )?(hinge [a-z]|cmake |ctest |tools/|build/|python3? |pip |git |sudo |apt|curl |tar )");
  return std::regex_search(text, kCommand);
}

}  // namespace

TEST_CASE("every block of every page says what it is, and every block of commands runs or says why it can't") {
  static const std::set<std::string> kLanguages = {"sh", "python", "cpp", "json", "cmake", "text"};
  for (const std::string& page : pages()) {
    for (const Block& block : blocks_of(page)) {
      INFO(page << ":" << block.line << "\n"
                << block.text);
      CHECK(kLanguages.contains(block.language));
      if (block.language == "text") CHECK_FALSE(looks_like_a_command(block.text));
      if (block.language == "cpp" && page.find("docs/add-a") == 0) CHECK(block.mark.starts_with("file: "));
    }
  }
}

TEST_CASE("every command and every Python block of every page works as it stands", "[night]") {
#ifdef __SANITIZE_ADDRESS__
  WARN("skipped: commands are looked at without the sanitizers, under which they take minutes");
  return;
#endif
  const Folder folder;
  int commands = 0, marked = 0;
  for (const std::string& page : pages()) {
    for (const Block& block : blocks_of(page)) {
      INFO(page << ":" << block.line);
      if (block.mark.starts_with("not run: ")) {
        ++marked;
      } else if (block.language == "sh") {
        ++commands;  // also where something that it needs isn't installed here
        if (block.text.find("from_pytorch.py") != std::string::npos && !folder.has_torch()) {
          WARN("skipped " << page << ":" << block.line << ": torch isn't installed (Debian: python3-torch)");
          continue;
        }
        folder.run_block(block.text);
      } else if (block.language == "python") {
        const std::string python = python_with(imports_of(block.text));
        if (python.empty()) {
          WARN("skipped " << page << ":" << block.line << ": no Python here can " << imports_of(block.text));
          continue;
        }
        std::ofstream(folder.at("snippet.py")) << block.text;
        folder.run(python + " snippet.py\n");
      }
    }
  }
  CHECK(commands > marked);
}
