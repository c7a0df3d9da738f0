// Networks out to ONNX (opset 17), as PyTorch's users expect them: pictures are [N, C, H, W], the batch is open.
#pragma once

#include <filesystem>
#include <string>

#include "engine/nn/model_file.h"
#include "engine/nn/network.h"

namespace hinge {

inline constexpr int kOnnxOpset = 17;

struct OnnxOptions {
  std::string producer_version = {};
  Metadata metadata = {};  // goes into the file as it is: text by name
};

// The bytes of an ONNX file that computes what `network` does in inference. Its input is called "input" ([N, C, H, W]);
// its first output "logits", further ones by their nodes; weights keep their names and PyTorch's layouts. Dropout is
// left out. Equal networks give equal bytes. Throws Error above 2 GB, protobuf's limit.
std::string onnx_bytes(const Network& network, const OnnxOptions& options = {});

// The same into a file, written whole or not at all.
void write_onnx(const std::filesystem::path& path, const Network& network, const OnnxOptions& options = {});

}  // namespace hinge
