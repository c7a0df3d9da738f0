// Named tensors in one file, in the format of huggingface/safetensors.
//
//   8 bytes   header length n, little endian, n <= 100 MB
//   n bytes   JSON: {"__metadata__": {text: text}, NAME: {"dtype": "F32", "shape": [16, 3, 3, 3],
//             "data_offsets": [begin, end]}, ...}, padded with spaces
//   the rest  elements, row-major, little endian; offsets count from here; no gaps, no overlaps
//
// F32, F64, I32, I64 and U8 are read as they are; F16 and BF16 become F32. Shapes are those of the
// file: no layout is converted here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/dtype.h"
#include "engine/core/tensor.h"

namespace hinge::io {

struct StoredTensor {
  DType dtype = DType::kFloat32;    // of the tensor after reading
  std::string stored_as;            // the name in the file, such as "BF16"
  std::vector<std::int64_t> shape;  // at most Shape::kMaxRank extents
  std::uint64_t begin = 0;          // offsets into the data behind the header
  std::uint64_t end = 0;
};

// A file in memory whose header was checked from end to end; tensors are made when asked for.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  SafetensorsFile(std::string bytes, std::string name_for_errors);

  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  std::vector<std::string> names() const;  // sorted
  // The elements as stored. Valid as long as this object.
  std::span<const std::byte> bytes(const std::string& name) const;
  Tensor tensor(const std::string& name) const;

 private:
  const StoredTensor& stored(const std::string& name) const;
  void parse();

  std::string bytes_;
  std::string origin_;
  std::size_t data_begin_ = 0;
  std::map<std::string, StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

struct TensorFile {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

TensorFile read_safetensors(const std::filesystem::path& path);
TensorFile parse_safetensors(std::string_view bytes, const std::string& name_for_errors);

// Equal content gives equal bytes: tensors in the order of their names, the header padded to eight
// bytes. Written atomically (file.h). Tensors must be on the CPU.
void write_safetensors(const std::filesystem::path& path, const TensorFile& file);

// The header length and the header, as write_safetensors writes them in front of the elements.
std::string serialize_header(const TensorFile& file, const std::string& name_for_errors);

// The elements of a tensor on the CPU, whatever their type.
std::span<const std::byte> bytes_of(const Tensor& tensor);

}  // namespace hinge::io
