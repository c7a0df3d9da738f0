// A network made ready to run, once: folded, fused, packed, with its memory; then it only runs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/infer/block_program.h"
#include "engine/infer/device_program.h"
#include "engine/infer/step_time.h"

namespace hinge {

enum class InferenceMethod {
  kMeasured,  // whichever of the others is fastest for the batch
  kImages,    // blocks of images, one per lane
  kChannels,  // one image at a time, filters in the lanes
  kLibrary,   // the folded network's own forward pass, on whatever device it lies
};
const char* name_of(InferenceMethod method);
InferenceMethod inference_method_of(const std::string& name);  // "measured", "images", "channels", "library"; throws UsageError

struct InferenceOptions {
  std::int64_t batch = 128;  // images in a call, for which the method is chosen; others run too
  InferenceMethod method = InferenceMethod::kMeasured;
  LaneForms forms = {};                  // known choices; what isn't there is measured
  bool graph = true;                     // on a GPU: calls of one shape are captured and replayed (device_program.h)
  PairForm pairs = PairForm::kMeasured;  // on a GPU: how low-rank pairs run (pair_form.h)
};

class InferencePlan {
 public:
  // Copies what it needs of `network`. Uses as many threads as OpenMP has when it is made.
  explicit InferencePlan(const Network& network, const InferenceOptions& options = {});
  ~InferencePlan();
  InferencePlan(InferencePlan&&) noexcept;
  InferencePlan& operator=(InferencePlan&&) noexcept;

  // images : [N, H, W, C] on the CPU (method library: on the network's device), N >= 0 -> outputs as Network::forward_all
  // gives them in inference, up to rounding. Not from two threads at once.
  std::vector<Tensor> run(const Tensor& images);
  // The same into existing tensors of these shapes; nothing is allocated. On a GPU the work is queued.
  void run_into(const Tensor& images, std::vector<Tensor>& outputs);

  // Median over `rounds` calls per step. On a GPU each step is timed by itself, on the values that it gets; on the CPU the method
  // library has no steps, and gives none.
  std::vector<StepTime> profile(const Tensor& images, int rounds = 7);

  InferenceMethod method() const { return method_; }
  const LaneForms& forms() const { return forms_; }

 private:
  void choose(const InferenceOptions& options);
  void prepare(InferenceMethod method);
  void run_blocks(const Tensor& images, std::vector<Tensor>& outputs, std::vector<double>* seconds);

  std::unique_ptr<Network> network_;  // folded
  InferenceMethod method_ = InferenceMethod::kLibrary;
  LaneForms forms_;
  std::unique_ptr<BlockProgram> program_;
  std::unique_ptr<DeviceProgram> device_program_;  // behind network_: it goes first
  int threads_ = 1;
  std::vector<Tensor> arenas_, scratches_;  // one per thread
};

}  // namespace hinge
