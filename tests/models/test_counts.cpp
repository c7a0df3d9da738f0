// Every figure of the table of networks: parameters and the reference's operations.
#include <algorithm>
#include <chrono>

#include "engine/graph/cost.h"
#include "models/registry.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::testing;

TEST_CASE("the networks for CIFAR cost exactly what the paper's program counts") {
  struct Row {
    const char *name, *shortcut;
    std::int64_t parameters, operations;
    std::int64_t features;  // of the last linear layer: with 100 classes it has 90 rows more
  };
  const Row rows[] = {
      {"resnet20", "A-pool", 269'738, 41'116'288, 64},
      {"resnet56", "A-pool", 853'034, 127'083'136, 64},
      {"resnet20", "A-stride", 269'722, 41'116'288, 64},
      {"resnet56", "A-stride", 853'018, 127'083'136, 64},
      {"resnet20", "C", 272'490, 41'403'008, 64},
      {"resnet164", "", 1'704'154, 257'325'568, 256},
      {"vgg16", "", 15'253'578, 314'555'392, 512},
      {"densenet40", "", 1'059'298, 290'105'808, 456},
      {"resnext20", "", 211'850, 36'817'408, 256},
      {"resnext164", "", 1'713'546, 259'639'808, 256},
      {"wrn-16-10", "", 17'122'250, 3'123'026'176, 640},
  };
  for (const Row& row : rows) {
    INFO(row.name << " " << row.shortcut);
    const Cost ten = cost_of(models::build(row.name, {.classes = 10, .shortcut = row.shortcut}));
    CHECK(ten.parameters == row.parameters);
    CHECK(ten.operations == row.operations);
    const Cost hundred = cost_of(models::build(row.name, {.classes = 100, .shortcut = row.shortcut}));
    CHECK(hundred.parameters == row.parameters + 90 * (row.features + 1));
    CHECK(hundred.operations == row.operations + 90 * row.features);
  }
}

TEST_CASE("the networks for ImageNet have the published numbers of parameters and multiply-adds") {
  struct Row {
    const char* name;
    std::int64_t parameters, macs;
  };
  // Parameters as torchvision's documentation gives them; its GFLOPS (1.81, 3.66, 4.09, 7.80, 0.30) are these
  // multiply-adds rounded.
  const Row rows[] = {{"resnet18", 11'689'512, 1'814'073'344},
                      {"resnet34", 21'797'672, 3'663'761'408},
                      {"resnet50", 25'557'032, 4'089'184'256},
                      {"resnet101", 44'549'160, 7'801'405'440},
                      {"mobilenet_v2", 3'504'872, 300'774'272}};
  for (const Row& row : rows) {
    INFO(row.name);
    const Cost cost = cost_of(models::build(row.name, {}));
    CHECK(cost.parameters == row.parameters);
    CHECK(cost.macs == row.macs);
  }
  // Without the classifier of 1,000 (1,281,000), with one of 10 (12,810).
  CHECK(cost_of(models::build("mobilenet_v2_cifar", {})).parameters == 3'504'872 - 1'281'000 + 12'810);
}

TEST_CASE("only functional ReLUs are left out of the reference's count") {
  for (const std::string& name : models::names()) {
    INFO(name);
    const bool functional = name.starts_with("resnext") || name.starts_with("wrn");
    int relus = 0;
    for (const GraphNode& node : models::build(name, {}).nodes) {
      const auto* relu = std::get_if<ReluAttributes>(&node.attributes);
      if (relu == nullptr) continue;
      ++relus;
      CHECK(relu->functional == functional);
      CHECK(relu->ceiling == (name.starts_with("mobilenet") ? 6.0f : 0.0f));
    }
    CHECK(relus > 0);
  }
}

TEST_CASE("the deepest networks are built in less than 10 milliseconds") {
  for (const char* name : {"resnet164", "resnext164", "densenet40", "resnet101", "resnet110"}) {
    double best = 1e9;  // of several: other programs run on this machine too
    for (int round = 0; round < 5; ++round) {
      const auto start = std::chrono::steady_clock::now();
      const Graph graph = models::build(name, {});
      best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    INFO(name << ": " << best << " ms");
    CHECK(best <= 10.0);
  }
}
