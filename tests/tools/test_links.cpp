// Links between pages lead somewhere, and every page can be found.
#include <filesystem>
#include <regex>
#include <set>

#include "tests/support/catch.h"
#include "tests/tools/pages.h"
#include "tests/tools/process.h"

using namespace hinge::testing;

namespace {

// Targets of [text](target) and ![text](target), without titles.
std::vector<std::string> links_of(const std::string& page) {
  static const std::regex kLink(R"(\]\(([^)\s]+))");
  std::string text;
  for (const std::string& line : prose_of(page)) text += line + "\n";
  std::vector<std::string> links;
  for (std::sregex_iterator it(text.begin(), text.end(), kLink), end; it != end; ++it) links.push_back((*it)[1]);
  return links;
}

bool is_elsewhere(const std::string& link) { return link.starts_with("http://") || link.starts_with("https://") || link.starts_with("mailto:"); }

// "docs/faq.md" and "../README.md#first" -> "README.md"
std::string target_of(const std::string& page, const std::string& link) {
  const std::string path = link.substr(0, link.find('#'));
  if (path.empty()) return page;
  return (std::filesystem::path(page).parent_path() / path).lexically_normal().string();
}

}  // namespace

TEST_CASE("every relative link of every page leads to a file, and to a heading where it names one") {
  int links = 0;
  for (const std::string& page : pages()) {
    for (const std::string& link : links_of(page)) {
      if (is_elsewhere(link)) continue;
      ++links;
      INFO(page << ": " << link);
      const std::string target = target_of(page, link);
      CHECK(std::filesystem::exists(std::string(HINGE_SOURCE_DIR "/") + target));
      const std::size_t hash = link.find('#');
      if (hash == std::string::npos) continue;
      const std::vector<std::string> anchors = anchors_of(target);
      CHECK(std::ranges::find(anchors, link.substr(hash + 1)) != anchors.end());
    }
  }
  CHECK(links > 60);
}

TEST_CASE("the index of docs names every page in it") {
  std::set<std::string> named;
  for (const std::string& link : links_of("docs/README.md")) named.insert(target_of("docs/README.md", link));
  for (const std::string& page : pages()) {
    if (!page.starts_with("docs/") || page == "docs/README.md" || page.starts_with("docs/decisions/") || page.starts_with("docs/reference/")) continue;
    INFO(page);
    CHECK(named.contains(page));
  }
  for (const char* folder : {"docs/decisions", "docs/reference/README.md"}) {
    INFO(folder);
    CHECK(named.contains(folder));
  }
}

TEST_CASE("the page on adding an op lists the files that speak of kinds of operations") {
  const std::string page = slurp(HINGE_SOURCE_DIR "/docs/add-an-op.md");
  std::set<std::string> listed, speaking;
  const std::size_t begin = page.find("| file |"), end = page.find("\n\n", begin);
  REQUIRE(begin != std::string::npos);
  const std::string table = page.substr(begin, end - begin);
  static const std::regex kName("`((?:engine|compress|models|tools|data)/[a-z_/]+\\.(?:h|cpp))`");
  for (std::sregex_iterator it(table.begin(), table.end(), kName), last; it != last; ++it) listed.insert((*it)[1]);
  const std::filesystem::path root(HINGE_SOURCE_DIR);
  for (const char* room : {"engine", "compress", "models", "tools", "data"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / room)) {
      const std::string name = entry.path().filename().string();
      if (!name.ends_with(".h") && !name.ends_with(".cpp")) continue;
      const std::string text = slurp(entry.path());
      if (text.find("OpKind::k") != std::string::npos || text.find("enum class OpKind") != std::string::npos) speaking.insert(entry.path().lexically_relative(root).string());
    }
  }
  CHECK(listed == speaking);
}
