#include "engine/optim/schedule.h"

#include "engine/core/error.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::testing;

TEST_CASE("the rate grows linearly from zero while warming up, whatever comes after") {
  for (const auto kind :
       {Schedule::Kind::kConstant, Schedule::Kind::kStep, Schedule::Kind::kCosine}) {
    const Schedule schedule{
        .kind = kind, .rate = 0.4, .warmup_epochs = 4.0, .epochs = 20.0, .milestones = {10.0}};
    CHECK(schedule.at(0.0) == 0.0);
    CHECK(schedule.at(1.0) == Approx(0.1));
    CHECK(schedule.at(3.0) == Approx(0.3));
    CHECK(schedule.at(3.999999) == Approx(0.4).epsilon(1e-5));
    CHECK(schedule.at(4.0) == Approx(0.4));  // no jump
  }
}

TEST_CASE("the cosine starts at the rate, is half-way in the middle, and ends at the final rate") {
  const Schedule schedule{.rate = 0.5, .warmup_epochs = 2.0, .epochs = 12.0, .final_rate = 0.1};
  CHECK(schedule.at(2.0) == Approx(0.5));
  CHECK(schedule.at(7.0) == Approx(0.3));
  CHECK(schedule.at(12.0) == Approx(0.1));
  CHECK(schedule.at(100.0) == Approx(0.1));
  for (double epoch = 2.0; epoch < 11.9; epoch += 0.1)
    CHECK(schedule.at(epoch + 0.1) < schedule.at(epoch));
  // All of it warm-up: no division by zero.
  const Schedule short_one{.rate = 0.5, .warmup_epochs = 2.0, .epochs = 2.0};
  CHECK(short_one.at(1.0) == Approx(0.25));
  CHECK(short_one.at(2.0) == Approx(0.5));
  CHECK(short_one.at(3.0) == Approx(0.0).margin(1e-12));
}

TEST_CASE("the step schedule multiplies at each milestone, from that epoch on") {
  const Schedule schedule{
      .kind = Schedule::Kind::kStep, .rate = 1.0, .milestones = {150.0, 225.0}, .factor = 0.1};
  CHECK(schedule.at(0.0) == 1.0);
  CHECK(schedule.at(149.999) == 1.0);
  CHECK(schedule.at(150.0) == Approx(0.1));
  CHECK(schedule.at(224.999) == Approx(0.1));
  CHECK(schedule.at(225.0) == Approx(0.01));
}

TEST_CASE("a constant rate is constant") {
  const Schedule schedule{.kind = Schedule::Kind::kConstant, .rate = 0.3};
  for (double epoch : {0.0, 0.5, 1.0, 1000.0}) CHECK(schedule.at(epoch) == 0.3);
}

TEST_CASE("schedules are known by name, others are a usage error") {
  CHECK(schedule_kind_of("constant") == Schedule::Kind::kConstant);
  CHECK(schedule_kind_of("step") == Schedule::Kind::kStep);
  CHECK(schedule_kind_of("cosine") == Schedule::Kind::kCosine);
  CHECK_THROWS_AS(schedule_kind_of("linear"), UsageError);
  CHECK_THROWS_WITH(schedule_kind_of("linear"),
                    contains("'linear'") && contains("constant, step, cosine"));
}
