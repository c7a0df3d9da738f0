// Makes a network smaller with the library: half of a ResNet-20's multiply-adds, chosen by filter norms, without training;
// then looks whether the smaller network computes what the plan promised.
//
//   shrink OUT.safetensors
#include <fmt/format.h>

#include <cmath>

#include "compress/controls.h"
#include "compress/surgery.h"
#include "engine/nn/model_file.h"
#include "models/registry.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: shrink OUT.safetensors\n");
    return 2;
  }
  using namespace hinge;
  using namespace hinge::compress;

  // A network by name; one from a file comes from read_model_file() and network_from().
  Network dense(models::build("resnet20", {.shortcut = "C"}));
  initialise(dense, 1);

  // What could be removed, and what each group is worth.
  const GroupOptions options{.mode = Mode::kPrune, .exclude = {}, .residual = false};
  const Structure structure = make_structure(dense.graph(), options);
  const Budget budget(structure);
  Network attached = attach(dense, structure.choice.attach, Initialisation::kSvd2).network;
  const Scores scores = control_scores(Control::kL1Norm, structure, dense, attached, 1, Stream());

  // The plan decides and changes nothing; apply() carries it out; the proof compares.
  const Target target{.count = Count::kMacs, .flops = 0.5, .parameters = {}, .bytes = {}};
  const CompressionPlan plan = make_plan(structure, budget, attached, scores, target);
  Network small = apply(plan, structure, attached);
  mask(plan, structure, attached);
  Proof proof;
  Tensor images = Tensor::empty({4, 32, 32, 3});
  for (std::int64_t i = 0; i < images.size(); ++i) images.mutable_data()[i] = std::sin(0.1f * static_cast<float>(i));
  extend_proof(proof, attached, small, images, Stream());

  write_network(argv[1], small);
  fmt::print("{}: {:.1f} % of the multiply-adds, masked and shrunken network differ by {:.1e} of the largest logit\n", argv[1],
             100.0 * plan.flops_ratio(), proof.relative());
  return proof.relative() <= kProofBound ? 0 : 1;
}
