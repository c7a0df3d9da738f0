#include "tools/hinge/tensorboard.h"

#include "engine/io/protobuf.h"
#include "engine/io/tfrecord.h"

namespace hinge::cli {
namespace {

void collect(const nlohmann::json& object, const std::string& prefix, std::vector<Scalar>& scalars) {
  for (const auto& [name, value] : object.items()) {
    if (value.is_object()) collect(value, prefix + name + "/", scalars);
    if (value.is_number()) scalars.push_back({prefix + name, value.get<double>()});
  }
}

}  // namespace

std::vector<Scalar> scalars_of(const nlohmann::json& line) {
  nlohmann::json numbers = line;
  numbers.erase("phase"), numbers.erase("epoch");
  std::string phase = line.at("phase").get<std::string>();
  for (char& c : phase) c = c == ' ' ? '/' : c;  // "finetune flops-0.5": TensorBoard groups by the parts
  std::vector<Scalar> scalars;
  collect(numbers, phase + "/", scalars);
  return scalars;
}

std::string version_record(double seconds) { return io::tfrecord(io::ProtoMessage().real64(1, seconds).text(3, "brain.Event:2").encoded()); }

std::string scalars_record(const nlohmann::json& line, double seconds) {
  io::ProtoMessage summary;
  for (const Scalar& scalar : scalars_of(line)) summary.message(1, io::ProtoMessage().text(1, scalar.tag).real(2, static_cast<float>(scalar.value)));
  return io::tfrecord(io::ProtoMessage().real64(1, seconds).integer(2, line.at("epoch").get<std::int64_t>()).message(5, summary).encoded());
}

}  // namespace hinge::cli
