// Progress of work that counts what it has done, for callbacks of data/: a bar, and an end where the user asks for one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace hinge::cli {

// Draws a bar until `done` is `total`, and then begins another. Throws Interrupted with the text `interrupted` after Ctrl-C.
std::function<void(std::uint64_t done, std::uint64_t total)> counting(std::string label, std::string interrupted);

}  // namespace hinge::cli
