#include "models/registry.h"

#include <algorithm>

#include "engine/core/error.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::testing;

TEST_CASE("an unknown model is a usage error with the known names and the nearest") {
  CHECK_THROWS_AS(models::build("resnet21", {}), UsageError);
  CHECK_THROWS_WITH(models::build("resnet21", {}), contains("'resnet21'") && contains("resnet56") &&
                                                       contains("did you mean 'resnet20'?"));
  CHECK_THROWS_WITH(models::build("transformer", {}),
                    contains("'transformer'") && contains("resnet20"));
}

TEST_CASE("a number of classes that makes no sense is a usage error") {
  for (const std::int64_t classes : {-1, 0, 1}) {
    CHECK_THROWS_AS(models::build("resnet20", {.classes = classes}), UsageError);
  }
  CHECK(models::build("resnet20", {.classes = 2}).nodes.size() > 1);
}

TEST_CASE("every registered name builds, and a name is registered once") {
  const std::vector<std::string> names = models::names();
  CHECK(std::is_sorted(names.begin(), names.end()));
  for (const std::string& name : names) {
    INFO(name);
    const Graph graph = models::build(name, {});
    CHECK(graph.architecture == name);
    CHECK(infer_shapes(graph)[static_cast<std::size_t>(graph.output)] == FeatureShape{1, 1, 10});
  }
  CHECK_FALSE(
      models::register_model("resnet20", [](const models::ModelOptions&) { return Graph(); }));
}
