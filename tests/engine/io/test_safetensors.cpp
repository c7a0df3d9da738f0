// engine/io/safetensors: exact round trips, equal bytes for equal content, and no trust in a
// header.
#include "engine/io/safetensors.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <limits>
#include <random>
#include <vector>

#include "tests/engine/io/scratch.h"
#include "tests/support/catch.h"

namespace hinge::io {
namespace {

using testing::contains;
constexpr DType kTypes[] = {DType::kFloat32, DType::kFloat64, DType::kInt32, DType::kInt64,
                            DType::kUint8};

// A tensor whose bytes are random: NaN payloads and subnormals among them.
Tensor random_tensor(const Shape& shape, DType dtype, unsigned seed) {
  Tensor tensor = Tensor::zeros(shape, dtype);
  std::mt19937 random(seed);
  const std::span<const std::byte> bytes = bytes_of(tensor);
  auto* out = const_cast<std::byte*>(bytes.data());
  for (std::size_t i = 0; i < bytes.size(); ++i) out[i] = static_cast<std::byte>(random() & 255);
  return tensor;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::ranges::equal(bytes_of(a), bytes_of(b));
}

TensorFile every_kind() {
  TensorFile file;
  unsigned seed = 1;
  for (DType dtype : kTypes) {
    for (const Shape& shape : {Shape{}, Shape{0}, Shape{3}, Shape{2, 0, 3}, Shape{2, 3, 1, 2, 2}}) {
      const std::string name = fmt::format("{}.{}", name_of(dtype), shape);
      file.tensors[name] = random_tensor(shape, dtype, seed++);
    }
  }
  file.metadata = {{"architecture", "resnet20"}, {"", "ä\n\"quoted\""}};
  return file;
}

TEST_CASE("every type and shape reads back bit by bit, with the metadata") {
  const Scratch scratch;
  const TensorFile file = every_kind();
  write_safetensors(scratch / "a.safetensors", file);
  const TensorFile read = read_safetensors(scratch / "a.safetensors");
  CHECK(read.metadata == file.metadata);
  REQUIRE(read.tensors.size() == file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) {
    INFO(name);
    CHECK(same(read.tensors.at(name), tensor));
  }
  const SafetensorsFile lazy(scratch / "a.safetensors");
  CHECK(lazy.names().size() == file.tensors.size());
  CHECK(std::ranges::is_sorted(lazy.names()));
  CHECK_THAT(error_of([&] { lazy.tensor("none"); }), contains("no tensor \"none\" among its 25"));
}

TEST_CASE("a file without tensors reads back") {
  const Scratch scratch;
  write_safetensors(scratch / "a", {});
  CHECK(read_file(scratch / "a") == file_with("{}      ", 0));
  CHECK(read_safetensors(scratch / "a").tensors.empty());
}

TEST_CASE("equal content gives equal bytes, also after reading them back") {
  const Scratch scratch;
  write_safetensors(scratch / "a", every_kind());
  write_safetensors(scratch / "b", every_kind());
  write_safetensors(scratch / "c", read_safetensors(scratch / "a"));
  const std::string bytes = read_file(scratch / "a");
  CHECK(read_file(scratch / "b") == bytes);
  CHECK(read_file(scratch / "c") == bytes);
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  CHECK(header % 8 == 0);
}

TEST_CASE("the order of tensors in the file does not matter") {
  const std::string header = R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                             R"("e":{"dtype":"F64","shape":[0,7],"data_offsets":[2,2]},)"
                             R"("a":{"dtype":"U8","shape":[1,3],"data_offsets":[2,5]}})";
  const TensorFile file = parse_safetensors(file_with(header, 5), "f");
  CHECK(file.tensors.at("a").values<std::uint8_t>()[0] == 2);
  CHECK(file.tensors.at("b").values<std::uint8_t>()[1] == 1);
  CHECK(file.tensors.at("e").shape() == Shape{0, 7});
}

TEST_CASE("every half precision number becomes the float of equal value") {
  for (const std::string type : {"F16", "BF16"}) {
    std::string bytes = file_with(
        R"({"x":{"dtype":")" + type + R"(","shape":[65536],"data_offsets":[0,131072]}})", 0);
    for (unsigned bits = 0; bits < 65536; ++bits) {
      bytes += static_cast<char>(bits & 255);
      bytes += static_cast<char>(bits >> 8);
    }
    const Tensor tensor = parse_safetensors(bytes, "f").tensors.at("x");
    REQUIRE(tensor.dtype() == DType::kFloat32);
    const int fraction_bits = type == "F16" ? 10 : 7, bias = type == "F16" ? 15 : 127;
    const unsigned top = type == "F16" ? 31 : 255;
    int wrong = 0;
    for (unsigned bits = 0; bits < 65536; ++bits) {
      const unsigned exponent = (bits >> fraction_bits) & top;
      const unsigned fraction = bits & ((1u << fraction_bits) - 1);
      double expected = exponent == 0
                            ? std::ldexp(fraction, 1 - bias - fraction_bits)
                            : std::ldexp(fraction + (1u << fraction_bits),
                                         static_cast<int>(exponent) - bias - fraction_bits);
      if (exponent == top) {
        expected = fraction == 0 ? std::numeric_limits<double>::infinity()
                                 : std::numeric_limits<double>::quiet_NaN();
      }
      if (bits >> 15 != 0) expected = -expected;
      const float found = tensor.values()[bits];
      const bool equal =
          std::isnan(expected) ? std::isnan(found) : static_cast<double>(found) == expected;
      if (!equal || std::signbit(found) != (bits >> 15 != 0)) ++wrong;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("what can't be stored is refused, and the old file stays") {
  const Scratch scratch;
  write_safetensors(scratch / "a", {});
  const std::string before = read_file(scratch / "a");
  const Tensor one = Tensor::zeros({1});
  CHECK_THAT(error_of([&] {
               write_safetensors(scratch / "a", {{{"__metadata__", one}}, {}});
             }),
             contains("must not be called __metadata__"));
  CHECK_THAT(error_of([&] {
               write_safetensors(scratch / "a", {{{"x", Tensor()}}, {}});
             }),
             contains("tensor \"x\" has no elements"));
  CHECK_THAT(error_of([&] {
               write_safetensors(scratch / "a", {{{"\xff", one}}, {}});
             }),
             contains("UTF-8"));
  faults() = {60, ENOSPC};
  CHECK_THAT(error_of([&] {
               write_safetensors(scratch / "a", {{{"x", one}}, {}});
             }),
             contains("No space left on device"));
  CHECK(read_file(scratch / "a") == before);
  CHECK(scratch.names() == std::set<std::string>{"a"});
}

TEST_CASE("a network trained elsewhere reads as its header says") {
  const char* shared = std::getenv("HINGE_SHARED");
  const std::filesystem::path path =
      std::filesystem::path(shared != nullptr ? shared : "../shared") /
      "data/pretrained/resnet20-cifar10.safetensors";
  if (!std::filesystem::exists(path)) {
    std::cout << "skipped: no pretrained files at " << path.parent_path().string() << '\n';
    return;
  }
  const TensorFile file = read_safetensors(path);
  CHECK(file.metadata.at("architecture") == "resnet20");
  CHECK(file.tensors.at("conv1.weight").shape() == Shape{16, 3, 3, 3});
  CHECK(file.tensors.at("linear.bias").shape() == Shape{10});
  int not_finite = 0;
  for (const auto& [name, tensor] : file.tensors) {
    if (tensor.dtype() != DType::kFloat32) continue;
    for (float value : tensor.values()) not_finite += std::isfinite(value) ? 0 : 1;
  }
  CHECK(not_finite == 0);
  const Scratch scratch;
  write_safetensors(scratch / "copy", file);
  const TensorFile copy = read_safetensors(scratch / "copy");
  REQUIRE(copy.tensors.size() == file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) CHECK(same(copy.tensors.at(name), tensor));
}

}  // namespace
}  // namespace hinge::io
