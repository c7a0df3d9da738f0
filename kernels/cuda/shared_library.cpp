#include "kernels/cuda/shared_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <stdexcept>

namespace hinge::kernels::cuda {
namespace {

std::vector<std::string> folders() {
  std::vector<std::string> result;
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) result = {program.parent_path().string() + "/", (program.parent_path() / "lib").string() + "/"};
  if (const char* given = std::getenv("HINGE_CUDA_LIBRARIES")) {
    std::istringstream list(given);
    for (std::string folder; std::getline(list, folder, ':');) {
      if (!folder.empty()) result.push_back(folder + "/");
    }
  }
  result.emplace_back("");  // the system's own search
  return result;
}

}  // namespace

SharedLibrary::SharedLibrary(const std::string& what, const std::vector<std::string>& names) {
  std::string tried;
  for (const std::string& folder : folders()) {
    for (const std::string& name : names) {
      path_ = folder + name;
      // Global: cuDNN opens its parts by itself and they look for each other's functions.
      library_ = dlopen(path_.c_str(), RTLD_NOW | RTLD_GLOBAL);
      if (library_ != nullptr) return;
      tried += "\n  " + std::string(dlerror());
    }
  }
  throw std::runtime_error(what + " can't be loaded; install it, or name its folder in HINGE_CUDA_LIBRARIES. Tried:" + tried);
}

void* SharedLibrary::symbol(const char* name) const {
  void* found = dlsym(library_, name);
  if (found == nullptr) throw std::runtime_error(path_ + ": has no function " + name);
  return found;
}

}  // namespace hinge::kernels::cuda
