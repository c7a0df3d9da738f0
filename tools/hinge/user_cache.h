// Where hinge keeps what it can find out again.
#pragma once

#include <filesystem>

namespace hinge::cli {

// $XDG_CACHE_HOME/hinge or ~/.cache/hinge; "" where there is no home. It need not exist.
std::filesystem::path user_cache();

}  // namespace hinge::cli
