#include "tools/hinge/device_option.h"

#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "engine/parallel/mpi_group.h"
#include "kernels/math_mode.h"
#include "tools/hinge/console.h"
#include "tools/hinge/group.h"

namespace hinge::cli {
namespace {

std::string& description() {
  static std::string text = "cpu";
  return text;
}

// Each rank of a machine has a GPU of its own. A launcher that shows a rank its own GPU alone (srun --gpus-per-task=1) makes it cuda:0
// everywhere; mpirun shows all of them to all.
DeviceChoice choose_for_rank(const std::string& device) {
  const Accelerator* gpus = accelerator();
  const int count = gpus == nullptr ? 0 : gpus->count();
  if (device != "auto" || count <= 1) return choose_device(device);
  if (local_ranks() > count) fail_usage("{} ranks on this machine and {} GPUs: start as many, or give --device cpu", local_ranks(), count);
  return choose_device(fmt::format("cuda:{}", local_rank()));
}

}  // namespace

void DeviceOptions::declare(Flags& flags, DeviceUse for_what) {
  use = for_what;
  flags.group("Device");
  flags.option("--device", device, "auto (a GPU where there is one, with several ranks one each), cpu or cuda:N");
  std::string precisions = "On a GPU: fp32, or tf32 (products rounded to 10 bits on the tensor cores)";
  if (use == DeviceUse::kTraining) precisions += ", or bf16 (what layers put out is bfloat16; weights, statistics and losses stay fp32, linear layers multiply in tf32)";
  flags.option("--precision", precision, precisions);
  flags.flag("--deterministic", deterministic, "On a GPU: only algorithms that make the same bytes in every run");
  if (use != DeviceUse::kForward) flags.flag("--eager", eager, "On a GPU: queue every kernel by itself instead of replaying a captured graph");
}

namespace {

DeviceChoice decide(const DeviceOptions& options) {
  std::vector<std::string> known = {"fp32", "tf32"};
  if (options.use == DeviceUse::kTraining) known.emplace_back("bf16");
  const std::string& precision = options.precision;
  if (std::ranges::find(known, precision) == known.end()) fail_usage("unknown precision '{}' (known: {}){}", precision, fmt::join(known, ", "), did_you_mean(precision, known));
  DeviceChoice choice = process_group() == nullptr ? choose_device(options.device) : choose_for_rank(options.device);
  if (options.activations() != DType::kFloat32 && choice.device.is_cpu()) fail_usage("--precision bf16 needs a GPU; the CPU trains in fp32 (--precision fp32, beside --resume too)");
  kernels::set_math_mode({.tf32 = precision != "fp32", .deterministic = options.deterministic});
  description() = choice.device.is_cpu() ? "cpu" : fmt::format("{}, {}, {}", choice.device.to_string(), accelerator()->name(choice.device.index), precision);
  return choice;
}

}  // namespace

Device DeviceOptions::choose() const {
  const DeviceChoice choice = decide(*this);
  if (!choice.note.empty()) say("{}", choice.note);
  return choice.device;
}

Device DeviceOptions::choose_quietly() const { return decide(*this).device; }

std::string device_description() { return description(); }

OnDevice::OnDevice(Device device, std::vector<Network*> networks) {
  std::ranges::sort(networks);                                                    // a network that is named twice was where it was before the first
  networks.erase(std::unique(networks.begin(), networks.end()), networks.end());  // not ranges: clang 14 stumbles over subranges
  for (Network* network : networks) {
    before_.emplace_back(network, network->device());
    network->move_to(device);
  }
}

OnDevice::~OnDevice() {
  for (auto& [network, device] : before_) {
    try {
      network->move_to(device);
    } catch (const std::exception&) {
      // An exception is on its way, or the device has failed: whoever reads the network next says so.
    }
  }
}

}  // namespace hinge::cli
