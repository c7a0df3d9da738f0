// Choosing groups without a search: the controls that an honest comparison needs, under the same budget, the same
// surgery and the same fine-tuning.
#pragma once

#include <string>

#include "compress/selection.h"

namespace hinge::compress {

enum class Control {
  kRandom,  // uniform random numbers
  kSvd,     // norms of the groups of A right after attaching: truncated SVD
  kL1Norm,  // sum of |w| of the filters (Li et al., "Pruning filters for efficient ConvNets", ICLR 2017, section 3.1)
  kFpgm,    // sum of the distances to the layer's other filters: those nearest the geometric median go first
            // (He et al., CVPR 2019, eq. 5)
};
// "random", "svd", "l1-norm", "fpgm"; throws UsageError.
Control control_of(const std::string& name);
std::vector<std::string> control_names();
// l1-norm and fpgm know filters only: they can't rank the rows of a decomposition.
bool needs_channels(Control control);
// Throws UsageError if the control can't rank one of the sets.
void check_control(Control control, const Structure& structure);

// Scores of all groups of `attached`, each set divided by its mean so that layers compare. `dense` is the trained network
// before attaching. A pure function of weights and seed. Throws as check_control does.
Scores control_scores(Control control, const Structure& structure, const Network& dense, Network& attached, std::uint64_t seed,
                      const Stream& stream);

}  // namespace hinge::compress
