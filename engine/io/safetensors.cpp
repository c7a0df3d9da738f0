// The safetensors format: everything in a header is checked before an element is touched.
#include "engine/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/json.h"

namespace hinge::io {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "the format is little endian");

constexpr std::size_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference reader
constexpr std::int64_t kMaxElements = std::int64_t{1} << 59;
constexpr const char* kMetadataKey = "__metadata__";

struct StoredType {
  std::string_view name;
  DType dtype;         // after reading
  std::uint64_t size;  // of an element in the file
};
constexpr StoredType kStoredTypes[] = {{"F32", DType::kFloat32, 4}, {"F64", DType::kFloat64, 8}, {"I32", DType::kInt32, 4}, {"I64", DType::kInt64, 8}, {"U8", DType::kUint8, 1}, {"F16", DType::kFloat32, 2}, {"BF16", DType::kFloat32, 2}};

float float_from_bfloat16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

// IEEE 754 half precision: 1 sign bit, 5 exponent bits (bias 15), 10 fraction bits.
float float_from_half(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1Fu;
  const std::uint32_t fraction = bits & 0x3FFu;
  if (exponent == 0) {  // zero and subnormals: fraction * 2^-24, exact in float
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t wide = exponent == 31 ? 255u : exponent + (127 - 15);
  return std::bit_cast<float>(sign | (wide << 23) | (fraction << 13));
}

void widen(std::span<const std::byte> stored, float (*convert)(std::uint16_t), float* out) {
  for (std::size_t i = 0; i < stored.size() / 2; ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, stored.data() + 2 * i, 2);
    out[i] = convert(bits);
  }
}

// Calls `visit` with a null pointer of the element type.
template <class Visit>
auto visit_type(DType dtype, Visit visit) {
  switch (dtype) {
    case DType::kFloat32:
      return visit(static_cast<float*>(nullptr));
    case DType::kFloat64:
      return visit(static_cast<double*>(nullptr));
    case DType::kInt32:
      return visit(static_cast<std::int32_t*>(nullptr));
    case DType::kInt64:
      return visit(static_cast<std::int64_t*>(nullptr));
    case DType::kUint8:
      return visit(static_cast<std::uint8_t*>(nullptr));
    case DType::kBfloat16: break;  // files hold what a GPU's activations are made of, not those
  }
  fail("unknown element type {}", static_cast<int>(dtype));
}

void* mutable_bytes_of(Tensor& tensor) {
  return visit_type(tensor.dtype(), [&]<class T>(T*) -> void* { return tensor.mutable_data<T>(); });
}

// A member of a header entry; an Error if it is missing.
const json& member(const json& entry, const char* key, const std::string& where) {
  const auto found = entry.find(key);
  require(found != entry.end(), "{}: \"{}\" is missing", where, key);
  return *found;
}

std::uint64_t natural_number(const json& value, const std::string& what) {
  require(value.is_number_unsigned(), "{} is {}, expected a whole number from 0", what,
          value.is_structured() ? value.type_name() : value.dump());
  const auto number = value.get<std::uint64_t>();
  require(number <= std::numeric_limits<std::int64_t>::max(), "{} is {}, at most 2^63 - 1 fits",
          what, number);
  return number;
}

StoredTensor parse_entry(const json& entry, const std::string& where, std::uint64_t data_size) {
  require(entry.is_object(), "{}: found {}, expected an object", where, entry.type_name());
  StoredTensor result;

  const json& dtype = member(entry, "dtype", where);
  require(dtype.is_string(), "{}: dtype is {}, expected text", where, dtype.type_name());
  result.stored_as = dtype.get<std::string>();
  const auto type = std::ranges::find(kStoredTypes, result.stored_as, &StoredType::name);
  require(type != std::end(kStoredTypes),
          "{}: dtype \"{}\", expected F32, F64, I32, I64, U8, F16 or BF16", where,
          result.stored_as);
  result.dtype = type->dtype;

  const json& shape = member(entry, "shape", where);
  require(shape.is_array(), "{}: shape is {}, expected an array", where, shape.type_name());
  require(shape.size() <= Shape::kMaxRank, "{}: {} dimensions, at most {} are supported", where,
          shape.size(), Shape::kMaxRank);
  std::int64_t elements = 1;
  for (const json& value : shape) {
    const auto extent = static_cast<std::int64_t>(natural_number(value, where + ": an extent"));
    // In the order in which Shape::size() multiplies, so that it can't overflow later either; and
    // small enough for a count of bytes.
    require(!__builtin_mul_overflow(elements, extent, &elements) && elements <= kMaxElements,
            "{}: shape {} has more than 2^59 elements", where, shape.dump());
    result.shape.push_back(extent);
  }
  const std::uint64_t bytes = static_cast<std::uint64_t>(elements) * type->size;

  const json& offsets = member(entry, "data_offsets", where);
  require(offsets.is_array() && offsets.size() == 2,
          "{}: data_offsets must be an array of two numbers", where);
  result.begin = natural_number(offsets[0], where + ": the first offset");
  result.end = natural_number(offsets[1], where + ": the second offset");
  require(result.begin <= result.end && result.end <= data_size,
          "{}: offsets {} to {}, expected them in order and inside the {} bytes of data", where,
          result.begin, result.end, data_size);
  require(result.end - result.begin == bytes, "{}: {} bytes of data, shape {} of {} needs {}",
          where, result.end - result.begin, shape.dump(), result.stored_as, bytes);
  return result;
}

std::map<std::string, std::string> parse_metadata(const json& entry, const std::string& origin) {
  require(entry.is_object(), "{}: {} is {}, expected an object", origin, kMetadataKey,
          entry.type_name());
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : entry.items()) {
    require(value.is_string(), "{}: {} \"{}\" is {}, expected text", origin, kMetadataKey, key,
            value.type_name());
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

// The tensors, put in the order of their offsets, must cover the data exactly once.
void check_cover(const std::map<std::string, StoredTensor>& tensors, std::uint64_t data_size,
                 const std::string& origin) {
  std::vector<std::pair<std::pair<std::uint64_t, std::uint64_t>, const std::string*>> ranges;
  for (const auto& [name, tensor] : tensors) ranges.push_back({{tensor.begin, tensor.end}, &name});
  std::ranges::sort(ranges);
  std::uint64_t covered = 0;
  for (const auto& [range, name] : ranges) {
    require(range.first == covered, "{}: tensor \"{}\" begins at byte {}, expected {} ({})", origin,
            *name, range.first, covered, range.first < covered ? "an overlap" : "a gap");
    covered = range.second;
  }
  require(covered == data_size, "{}: the tensors end at byte {} of {} bytes of data", origin,
          covered, data_size);
}

TensorFile all_tensors(const SafetensorsFile& file) {
  TensorFile result{{}, file.metadata()};
  for (const auto& [name, stored] : file.tensors()) result.tensors.emplace(name, file.tensor(name));
  return result;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : SafetensorsFile(read_file(path, 1ULL << 40), path.string()) {}

SafetensorsFile::SafetensorsFile(std::string bytes, std::string name_for_errors)
    : bytes_(std::move(bytes)), origin_(std::move(name_for_errors)) {
  parse();
}

void SafetensorsFile::parse() {
  require(bytes_.size() >= kLengthBytes,
          "{}: {} bytes, expected at least the {} of a header length", origin_, bytes_.size(),
          kLengthBytes);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes_.data(), kLengthBytes);
  require(length <= kMaxHeaderBytes, "{}: header of {} bytes, at most {} are allowed", origin_,
          length, kMaxHeaderBytes);
  require(length <= bytes_.size() - kLengthBytes, "{}: header of {} bytes in a file of {}", origin_,
          length, bytes_.size());
  const std::string_view text = std::string_view(bytes_).substr(kLengthBytes, length);
  require(text.starts_with('{'), "{}: the header must begin with '{{'", origin_);
  data_begin_ = kLengthBytes + static_cast<std::size_t>(length);
  const std::uint64_t data_size = bytes_.size() - data_begin_;

  const json header = parse_json(text, origin_ + ": header");
  for (const auto& [name, entry] : header.items()) {
    if (name == kMetadataKey) {
      metadata_ = parse_metadata(entry, origin_);
    } else {
      const std::string where = fmt::format("{}: tensor \"{}\"", origin_, name);
      tensors_.emplace(name, parse_entry(entry, where, data_size));
    }
  }
  check_cover(tensors_, data_size, origin_);
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

const StoredTensor& SafetensorsFile::stored(const std::string& name) const {
  const auto found = tensors_.find(name);
  require(found != tensors_.end(), "{}: no tensor \"{}\" among its {}", origin_, name,
          tensors_.size());
  return found->second;
}

std::span<const std::byte> SafetensorsFile::bytes(const std::string& name) const {
  const StoredTensor& tensor = stored(name);
  return std::as_bytes(std::span(bytes_))
      .subspan(data_begin_ + tensor.begin, tensor.end - tensor.begin);
}

Tensor SafetensorsFile::tensor(const std::string& name) const {
  const StoredTensor& entry = stored(name);
  const std::span<const std::byte> source = bytes(name);
  Tensor result = Tensor::empty(Shape(entry.shape), entry.dtype);
  if (entry.stored_as == "F16") {
    widen(source, float_from_half, result.mutable_data<float>());
  } else if (entry.stored_as == "BF16") {
    widen(source, float_from_bfloat16, result.mutable_data<float>());
  } else if (!source.empty()) {
    std::memcpy(mutable_bytes_of(result), source.data(), source.size());
  }
  return result;
}

TensorFile read_safetensors(const std::filesystem::path& path) {
  return all_tensors(SafetensorsFile(path));
}

TensorFile parse_safetensors(std::string_view bytes, const std::string& name_for_errors) {
  return all_tensors(SafetensorsFile(std::string(bytes), name_for_errors));
}

std::span<const std::byte> bytes_of(const Tensor& tensor) {
  return visit_type(tensor.dtype(), [&]<class T>(T*) { return std::as_bytes(tensor.values<T>()); });
}

std::string serialize_header(const TensorFile& file, const std::string& name_for_errors) {
  json header = json::object();
  if (!file.metadata.empty()) header[kMetadataKey] = file.metadata;
  std::uint64_t offset = 0;
  for (const auto& [name, tensor] : file.tensors) {
    require(name != kMetadataKey, "{}: a tensor must not be called {}", name_for_errors, name);
    require(tensor.defined() && tensor.device().kind == Device::Kind::kCpu,
            "{}: tensor \"{}\" has no elements on the CPU", name_for_errors, name);
    const std::uint64_t end = offset + tensor.bytes();
    header[name] = {{"dtype", name_of(tensor.dtype())},
                    {"shape", std::vector<std::int64_t>(tensor.shape().extents().begin(),
                                                        tensor.shape().extents().end())},
                    {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = json_text(header, name_for_errors);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  require(text.size() <= kMaxHeaderBytes, "{}: header of {} bytes, at most {} are allowed",
          name_for_errors, text.size(), kMaxHeaderBytes);
  const std::uint64_t length = text.size();
  text.insert(0, reinterpret_cast<const char*>(&length), kLengthBytes);
  return text;
}

void write_safetensors(const std::filesystem::path& path, const TensorFile& file) {
  const std::string header = serialize_header(file, path.string());
  std::vector<std::span<const std::byte>> parts = {std::as_bytes(std::span(header))};
  for (const auto& [name, tensor] : file.tensors) parts.push_back(bytes_of(tensor));
  write_file_atomically(path, parts);
}

}  // namespace hinge::io
