// The search's step as `hinge compress` takes it, and where its time goes beside that of a training step.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/nn/network.h"

namespace hinge::bench {

struct SearchWork {
  std::string mode = "auto";  // as in hinge compress --mode
  double rate = 1e-3;         // of everything; so low that weights stay what they are
  double seconds = 1.0;       // to measure for, about
  bool eager = false;
  DType activations = DType::kFloat32;
};

// Matrices attached to `dense` as its mode wants it; per step forward, loss, backward, SGD, rates balanced by the
// gradients of each block's two matrices and the proximal step; every 20 steps norms, FLOPs, scale and lambda.
// images [N, H, W, C], labels [N], where `dense` lies. Returns the first three losses, the seconds of a step, and of these
// "rates", "proximal" and "looks", each a mean over all steps (on a GPU: of the host).
nlohmann::json search_work(const Network& dense, const Tensor& images, const Tensor& labels, const SearchWork& work);

}  // namespace hinge::bench
