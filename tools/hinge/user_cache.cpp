#include "tools/hinge/user_cache.h"

#include <cstdlib>

namespace hinge::cli {

std::filesystem::path user_cache() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0') return std::filesystem::path(cache) / "hinge";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') return std::filesystem::path(home) / ".cache" / "hinge";
  return {};
}

}  // namespace hinge::cli
