// tools/get_data.sh, against a source of our own: whole, cut short, wrong.
#include "tests/support/catch.h"
#include "tests/tools/process.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

std::string line_of(const std::string& command) {  // the first line that a command prints
  const io::Scratch scratch;
  if (std::system((command + " >" + (scratch / "out").string()).c_str()) != 0) return "";
  const std::string text = slurp(scratch / "out");
  return text.substr(0, text.find('\n'));
}

// A folder `source` with an archive of one folder and one file, a list that names them, and a place to fetch to.
struct Bench {
  io::Scratch scratch;
  Bench() {
    std::filesystem::create_directories(scratch / "source/pictures/train");
    std::ofstream(scratch / "source/pictures/train/a.txt") << std::string(100'000, 'a');
    std::ofstream(scratch / "source/labels.gz") << "labels";
    REQUIRE(std::system(("tar -czf " + at("source/pictures.tar.gz") + " -C " + at("source") + " pictures").c_str()) == 0);
    list(sum("pictures.tar.gz"), sum("labels.gz"));
  }
  std::string at(const std::string& name) const { return (scratch.folder() / name).string(); }
  std::string sum(const std::string& file) const { return line_of("md5sum <" + at("source/" + file)).substr(0, 32); }
  void list(const std::string& archive_sum, const std::string& file_sum) const {
    std::ofstream(scratch / "list") << "tiny pictures.tar.gz " << archive_sum << " file://" << at("source/pictures.tar.gz") << "\n"
                                    << "tiny labels.gz " << file_sum << " file://" << at("source/labels.gz") << "\n"
                                    << "gone none.gz 00000000000000000000000000000000 file://" << at("source/none.gz") << "\n";
  }
  Outcome get(const std::string& arguments) const {
    const int status = std::system(("HINGE_DATA_SOURCES=" + at("list") + " " HINGE_SOURCE_DIR "/tools/get_data.sh " + arguments + " >" + at("log") + " 2>&1").c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, slurp(at("log"))};
  }
};

}  // namespace

TEST_CASE("get_data.sh fetches, checks and unpacks, goes on after an interruption and does nothing twice") {
  if (line_of("command -v curl").empty()) {
    WARN("skipped: curl isn't installed");
    return;
  }
  const Bench b;
  SECTION("from nothing, and again") {
    const Outcome first = b.get("tiny " + b.at("data"));
    INFO(first.output);
    REQUIRE(first.code == 0);
    CHECK(std::filesystem::file_size(b.at("data/pictures/train/a.txt")) == 100'000);
    CHECK(slurp(b.at("data/labels.gz")) == "labels");
    CHECK_FALSE(std::filesystem::exists(b.at("data/.unpacking")));
    CHECK_THAT(first.output, contains("--data-dir " + b.at("data/pictures")));
    std::filesystem::remove(b.at("source/labels.gz"));  // what is there is not fetched again
    const Outcome second = b.get("tiny " + b.at("data"));
    CHECK(second.code == 0);
    CHECK_THAT(second.output, !contains("Fetching"));
  }
  SECTION("from half a file") {
    const std::string whole = slurp(b.at("source/pictures.tar.gz"));
    std::filesystem::create_directories(b.at("data"));
    std::ofstream(b.at("data/pictures.tar.gz.part"), std::ios::binary) << whole.substr(0, whole.size() / 2);
    REQUIRE(b.get("tiny " + b.at("data")).code == 0);
    CHECK(slurp(b.at("data/pictures.tar.gz")) == whole);
  }
  SECTION("a wrong checksum is refused with both sums, and nothing keeps the file's name") {
    b.list(std::string(32, '0'), b.sum("labels.gz"));
    const Outcome outcome = b.get("tiny " + b.at("data"));
    CHECK(outcome.code == 1);
    CHECK_THAT(outcome.output, contains(b.sum("pictures.tar.gz")) && contains(std::string(32, '0')));
    CHECK(std::filesystem::is_empty(b.at("data")));
  }
  SECTION("a source that is gone, and a wrong name") {
    CHECK(b.get("gone " + b.at("data")).code == 1);
    CHECK_THAT(b.get("gone " + b.at("data")).output, contains("none.gz") && contains("download failed"));
    CHECK(b.get("tyni " + b.at("data")).code == 2);
    CHECK_THAT(b.get("tyni " + b.at("data")).output, contains("tiny gone"));
    CHECK(b.get("tiny").code == 2);
  }
}
