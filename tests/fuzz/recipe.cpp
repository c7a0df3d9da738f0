// A recipe: its options go where those of the command line go, checked in the same way.
#include "tools/hinge/recipe.h"

#include "tests/fuzz/target.h"
#include "tools/hinge/options.h"

using namespace hinge;
using namespace hinge::fuzz;

HINGE_FUZZ_TARGET(recipe, "input.json", 2 * kMiB, 96) {
  const std::string path = file_of(bytes, "input.json");
  CLI::App app;
  cli::Flags flags(app);
  cli::DataOptions data;
  cli::TrainingOptions training;
  cli::WeightsOptions weights;
  data.declare(flags, true), training.declare(flags), weights.declare(flags);
  const std::size_t before = flags.values().size();
  cli::apply_recipe(path, app, flags);
  promise(flags.values().size() == before, "a recipe sets options and makes none");
}
