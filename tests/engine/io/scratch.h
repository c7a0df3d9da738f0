// What the tests of engine/io share: a folder that vanishes, the message of an expected Error, and
// hand-made safetensors files.
#pragma once

#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>

#include "engine/core/error.h"
#include "engine/io/file.h"

namespace hinge::io {

// A fresh, empty folder, removed with all it holds at the end of the scope. Faults are cleared too.
class Scratch {
 public:
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hinge-io-XXXXXX").string();
    require(::mkdtemp(pattern.data()) != nullptr, "cannot create {}", pattern);
    folder_ = pattern;
  }
  ~Scratch() {
    faults() = {};
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }
  std::set<std::string> names() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }

 private:
  std::filesystem::path folder_;
};

// The message of the Error that `act` throws; "no error" if it throws none.
template <class Act>
std::string error_of(Act act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// A safetensors file with exactly this header, and so many bytes of data: 0, 1, 2, ...
inline std::string file_with(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string bytes(reinterpret_cast<const char*>(&length), 8);
  bytes += header;
  for (std::size_t i = 0; i < data_bytes; ++i) bytes += static_cast<char>(i);
  return bytes;
}

}  // namespace hinge::io
