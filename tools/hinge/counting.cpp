#include "tools/hinge/counting.h"

#include <memory>
#include <optional>

#include "tools/hinge/console.h"
#include "tools/hinge/interrupt.h"

namespace hinge::cli {

std::function<void(std::uint64_t done, std::uint64_t total)> counting(std::string label, std::string interrupted) {
  return [label = std::move(label), interrupted = std::move(interrupted), bar = std::make_shared<std::optional<Progress>>()](std::uint64_t done, std::uint64_t total) {
    if (interrupt_requested()) throw Interrupted(interrupted);
    if (!*bar) bar->emplace(label, static_cast<std::int64_t>(total));
    (*bar)->update(static_cast<std::int64_t>(done), "");
    if (done >= total) bar->reset();
  };
}

}  // namespace hinge::cli
