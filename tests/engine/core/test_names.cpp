#include "engine/core/names.h"

#include "tests/support/catch.h"

using namespace hinge;

TEST_CASE("the edit distance counts insertions, deletions and replacements") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("resnet20", "resnet20") == 0);
}

TEST_CASE("the nearest name is offered, and none where all are far") {
  const std::vector<std::string> known = {"resnet20", "resnet56", "vgg16"};
  CHECK(nearest_name("resnt20", known) == "resnet20");
  CHECK(nearest_name("vgg", known) == "vgg16");
  CHECK(nearest_name("transformer", known).empty());
  CHECK(nearest_name("x", {}).empty());
  CHECK(did_you_mean("resnet55", known) == "; did you mean 'resnet56'?");
  CHECK(did_you_mean("transformer", known).empty());
}
