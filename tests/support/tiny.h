// A tiny data set on disk and a tiny network, for tests that train.
#pragma once

#include <filesystem>
#include <fstream>

#include "engine/nn/network.h"
#include "kernels/philox.h"
#include "models/registry.h"

namespace hinge::testing {

// resnet8, or another of its family, on 32x32x3 with random weights and running statistics that are not the identity's.
inline Network tiny_network(std::uint64_t seed, const std::string& shortcut = "A-stride", const std::string& model = "resnet8") {
  Network network(models::build(model, {.shortcut = shortcut}));
  initialise(network, seed);
  for (Buffer* buffer : network.buffers()) {
    for (std::int64_t i = 0; i < buffer->value.size(); ++i) {
      const float u = uniform(random_words(seed, RandomUse::kTest, 7, static_cast<std::uint64_t>(i)).word[0]);
      buffer->value.mutable_data()[i] = buffer->name.ends_with("running_var") ? 0.5f + u : 0.2f * u - 0.1f;
    }
  }
  return network;
}

// CIFAR-10's layout with `images` records a file: classes differ in colour, so that there is something to learn.
inline void write_tiny_cifar(const std::filesystem::path& folder, int images) {
  std::filesystem::create_directories(folder / "cifar-10-batches-bin");
  for (int file = 0; file < 6; ++file) {
    const std::string name = file == 5 ? "test_batch.bin" : "data_batch_" + std::to_string(file + 1) + ".bin";
    std::ofstream out(folder / "cifar-10-batches-bin" / name, std::ios::binary);
    for (int i = 0; i < images; ++i) {
      const int label = (i * 7 + file) % 10;
      out.put(static_cast<char>(label));
      for (std::uint64_t p = 0; p < 3072; ++p) {
        const auto words = random_words(static_cast<std::uint64_t>(file), RandomUse::kTest, static_cast<std::uint64_t>(i), p);
        const int base = p < 1024 ? label * 20 : p < 2048 ? 200 - label * 18
                                                          : (label % 3) * 70;
        out.put(static_cast<char>(base + static_cast<int>(words.word[0] % 40)));
      }
    }
  }
}

}  // namespace hinge::testing
