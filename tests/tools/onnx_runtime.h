// Runs ONNX files in ONNX Runtime, through a Python that has it: build/venv's (tools/test.sh makes it) or the system's.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/autograd/node.h"
#include "engine/nn/network.h"
#include "tests/support/catch.h"
#include "tests/tools/process.h"

namespace hinge::testing {

// Empty, with a warning, where there is none.
inline std::string python_with_onnx_runtime() {
  for (const std::string python : {HINGE_SOURCE_DIR "/build/venv/bin/python", "/usr/bin/python3", "python3"}) {
    if (std::system((python + " -c 'import numpy, onnx, onnxruntime' >/dev/null 2>&1").c_str()) == 0) return python;
  }
  WARN("skipped: no Python here has onnx and onnxruntime (pip install onnx onnxruntime)");
  return "";
}

// [N, H, W, C] -> [N, C, H, W], other ranks as they are.
inline Tensor pixels_last(const Tensor& x) {
  if (x.shape().rank() != 4) return x;
  Tensor y = Tensor::empty({x.dim(0), x.dim(3), x.dim(1), x.dim(2)});
  const std::int64_t pixels = x.dim(1) * x.dim(2), c = x.dim(3);
  for (std::int64_t n = 0; n < x.dim(0); ++n) {
    for (std::int64_t p = 0; p < pixels; ++p) {
      for (std::int64_t k = 0; k < c; ++k) y.mutable_data()[(n * c + k) * pixels + p] = x.data()[(n * pixels + p) * c + k];
    }
  }
  return y;
}

// Files in one folder, run by one Python process, which is what takes the time.
class OnnxRuns {
 public:
  OnnxRuns(std::string python, std::filesystem::path folder) : python_(std::move(python)), folder_(std::move(folder)) {}

  std::filesystem::path file(const std::string& name) const { return folder_ / (name + ".onnx"); }
  // What file(name) must compute: the network's outputs on `images`.
  void expect(const std::string& name, Network& network, const Tensor& images) {
    const NoGradients guard;
    nlohmann::json outputs = nlohmann::json::array();
    for (const Tensor& output : network.forward_all(images, {}, {})) {
      const std::string file = name + "." + std::to_string(outputs.size()) + ".f32";
      write(file, pixels_last(output));
      outputs.push_back(file);
    }
    write(name + ".images.f32", pixels_last(images));
    cases_[name] = {{"images", name + ".images.f32"}, {"outputs", outputs}};
  }
  // By name: see tests/tools/run_onnx.py. Fails the test if Python does.
  nlohmann::json run() const {
    std::ofstream(folder_ / "cases.json") << cases_;
    const std::string log = (folder_ / "log").string();
    const int status = std::system((python_ + " " HINGE_SOURCE_DIR "/tests/tools/run_onnx.py " + folder_.string() + " >" + log + " 2>&1").c_str());
    INFO(slurp(log));
    REQUIRE(status == 0);
    return nlohmann::json::parse(slurp(folder_ / "results.json"));
  }

 private:
  void write(const std::string& name, const Tensor& values) const {
    std::ofstream out(folder_ / name, std::ios::binary);
    out.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.bytes()));
  }

  std::string python_;
  std::filesystem::path folder_;
  nlohmann::json cases_ = nlohmann::json::object();
};

}  // namespace hinge::testing
