// A library that is loaded when it is first needed, so that the program also starts where it isn't installed.
#pragma once

#include <string>
#include <vector>

namespace hinge::kernels::cuda {

class SharedLibrary {
 public:
  // Loads the first of `names` that is found: beside the program (in its folder and in lib/ there), in the folders of
  // HINGE_CUDA_LIBRARIES (separated by colons), then where the system looks. Throws std::runtime_error with what was
  // tried and how to install it.
  SharedLibrary(const std::string& what, const std::vector<std::string>& names);
  SharedLibrary(const SharedLibrary&) = delete;
  SharedLibrary& operator=(const SharedLibrary&) = delete;
  // Never unloaded: functions of it may be called while the program ends.

  // Sets `function` to the library's function of that name; throws std::runtime_error if it has none.
  template <class Function>
  void bind(Function*& function, const char* name) const {
    function = reinterpret_cast<Function*>(symbol(name));
  }

 private:
  void* symbol(const char* name) const;

  std::string path_;
  void* library_ = nullptr;
};

}  // namespace hinge::kernels::cuda
