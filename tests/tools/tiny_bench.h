// What the program is tried on: a folder with a tiny CIFAR-10 and the weights of a tiny network.
#pragma once

#include "engine/nn/model_file.h"
#include "tests/support/tiny.h"
#include "tests/tools/process.h"

namespace hinge::testing {

struct TinyBench {
  io::Scratch scratch;
  std::string data, weights;
  // `images` in each of the five training files.
  explicit TinyBench(int images) : data(at("cifar")), weights(at("net.safetensors")) {
    write_tiny_cifar(data, images);
    write_network(weights, tiny_network(1));
  }
  std::string at(const std::string& name) const { return (scratch.folder() / name).string(); }
};

}  // namespace hinge::testing
