// The scripts that break, soak and fuzz hinge: what they look at and what they refuse, without their hours.
#include <algorithm>
#include <filesystem>

#include "tests/support/catch.h"
#include "tests/tools/process.h"

using namespace hinge::testing;

namespace {

// Exit code and output of Python code that may import the scripts of tools/dev.
Outcome python(const std::string& code) {
  const hinge::io::Scratch scratch;
  std::ofstream(scratch / "code.py") << "import sys\nsys.dont_write_bytecode = True\nsys.path.insert(0, '" HINGE_SOURCE_DIR "/tools/dev')\n"
                                     << code;
  const int status = std::system(("/usr/bin/python3 '" + (scratch / "code.py").string() + "' >'" + (scratch / "log").string() + "' 2>&1").c_str());
  return {WEXITSTATUS(status), slurp(scratch / "log")};
}

}  // namespace

TEST_CASE("mutants are of code, neither of comments nor of text, and every one changes its line") {
  const Outcome outcome = python(R"(
import mutate
assert mutate.blanked('a < b; // c < d') == 'a < b;         '
assert mutate.blanked('f("x < \\" y", \'<\');').count('<') == 0
pool = [m for f in ('compress/plan.cpp', 'engine/ops/pooling.cpp', 'kernels/cuda/loss.cu') for m in mutate.mutants_of(f)]
assert {m['kind'] for m in pool} == {'comparison', 'operator', 'constant', 'off by one', 'removed statement'}, {m['kind'] for m in pool}
for m in pool:
    before, after = mutate.lines_of(m)
    assert before != after and not before.startswith('//'), (before, after)
assert len({mutate.identity(m) for m in pool}) == len(pool)
assert all(mutate.judges_of(f) for f in ('engine/io/json.cpp', 'kernels/cpu/lanes/winograd.cpp', 'compress/regularizers/mcp.cu'))
)");
  INFO(outcome.output);
  CHECK(outcome.code == 0);
}

TEST_CASE("a change is undone whatever happens in between") {
  const Outcome outcome = python(R"(
import mutate, pathlib, tempfile
path = pathlib.Path(tempfile.mkdtemp()) / 'a.cpp'
path.write_text('if (a < b) f();\n')
for stop in (None, KeyboardInterrupt, SystemExit):
    try:
        with mutate.Change(path, dict(begin=5, end=8, to=' <= ')):
            assert path.read_text() == 'if (a <= b) f();\n', path.read_text()
            if stop:
                raise stop
    except (KeyboardInterrupt, SystemExit):
        pass
    assert path.read_text() == 'if (a < b) f();\n'
path.unlink()
path.parent.rmdir()
)");
  INFO(outcome.output);
  CHECK(outcome.code == 0);
}

TEST_CASE("a soak sees what grows, and only that") {
  const Outcome outcome = python(R"(
import soak
assert soak.growth([(x, 5.0) for x in range(10)]) == 0.0
assert abs(soak.growth([(x, 3.0 * x) for x in range(11)]) - 30.0) < 1e-9
keeper = soak.Soak('hinge', soak.pathlib.Path('.'), None)
keeper.check('flat', [(x, 100 + x % 2) for x in range(50)], 2, 'kB')
assert keeper.failures == []
keeper.check('leaks', [(x, 100 + x) for x in range(50)], 2, 'kB')
keeper.check('not a number', [(x, float('nan')) for x in range(50)], 2, 'kB')
keeper.check('nothing seen', [], 2, 'kB')
assert keeper.failures == ['leaks', 'not a number', 'nothing seen'], keeper.failures
)");
  INFO(outcome.output);
  CHECK(outcome.code == 0);
}

TEST_CASE("every fuzzing target has kept inputs and is built for libFuzzer") {
  const std::string list = slurp(HINGE_SOURCE_DIR "/tests/fuzz/CMakeLists.txt");
  std::string line = list.substr(list.find("foreach(target ") + 15);
  line = line.substr(0, line.find(')'));
  std::istringstream words(line);
  int targets = 0;
  for (std::string name; words >> name; ++targets) {
    INFO(name);
    CHECK(std::filesystem::is_directory(std::string(HINGE_SOURCE_DIR "/tests/fuzz/corpus/") + name));
    CHECK(slurp(HINGE_SOURCE_DIR "/tests/fuzz/" + name + ".cpp").find("HINGE_FUZZ_TARGET(" + name + ",") != std::string::npos);
  }
  const std::filesystem::directory_iterator corpus(HINGE_SOURCE_DIR "/tests/fuzz/corpus");
  CHECK(targets == std::distance(begin(corpus), end(corpus)));
}

TEST_CASE("the script for the scaling of ranks measures a tiny network and refuses what it can't compare") {
  const hinge::io::Scratch scratch;
  const std::string script = "/usr/bin/python3 -B '" HINGE_SOURCE_DIR "/tools/bench/ranks.py' --programs '" + std::filesystem::path(HINGE_BINARY).parent_path().string() + "' ";
  const auto shell = [&](const std::string& options) {
    const int status = std::system((script + options + " >'" + (scratch / "log").string() + "' 2>&1").c_str());
    return Outcome{WEXITSTATUS(status), slurp(scratch / "log")};
  };
  const Outcome tiny = shell("--model resnet8 --ranks 1 --images 60 --batch 8 --epochs 2 --rounds 1 --out '" + (scratch / "out.json").string() + "'");
  INFO(tiny.output);
  CHECK(tiny.code == 0);
  CHECK_THAT(tiny.output, contains("| 1 | "));
  CHECK_THAT(slurp(scratch / "out.json"), contains("\"one process, 1\": ["));
  for (const char* options : {"--ranks 2", "--ranks 1,0", "--ranks 1,4,2", "--ranks one", "--images 61", "--images 60"}) {
    INFO(options);
    const Outcome refused = shell(options);
    CHECK(refused.code == 1);
    CHECK_THAT(refused.output, contains("expected"));
  }
}

TEST_CASE("the nightly script refuses unknown rows and lengths, and scales what it runs") {
  const hinge::io::Scratch scratch;
  const auto shell = [&](const std::string& command) {
    const int status = std::system(("{ " + command + "; } >'" + (scratch / "log").string() + "' 2>&1").c_str());
    return Outcome{WEXITSTATUS(status), slurp(scratch / "log")};
  };
  const std::string script = HINGE_SOURCE_DIR "/tools/dev/nightly.sh";
  CHECK(shell("bash '" + script + "' soon").code == 2);
  CHECK_THAT(shell("bash '" + script + "' 0.1 naps").output, contains("no row is called 'naps'"));
  const Outcome scaled = shell("cd '" + (scratch / "log").parent_path().string() + "'; scale=0.02; eval \"$(grep '^scaled()' '" + script + "')\"; scaled 600 5; scaled 200 5; ls");
  CHECK(scaled.output == "12\n5\nlog\n");
}
