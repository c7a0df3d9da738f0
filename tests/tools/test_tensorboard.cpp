// The event file for TensorBoard, read back by a plain reader that shares nothing with the writer.
#include "tools/hinge/tensorboard.h"

#include <cstring>
#include <map>
#include <sstream>

#include "tests/support/catch.h"
#include "tests/support/tiny.h"
#include "tests/tools/process.h"
#include "tests/tools/tiny_bench.h"

using namespace hinge;
using namespace hinge::testing;
using nlohmann::json;

namespace {

struct Event {
  double wall_time = 0.0;
  std::int64_t step = 0;
  std::string version;
  std::map<std::string, float> scalars;
};

// Bit by bit.
std::uint32_t masked_crc(const std::string& bytes) {
  std::uint32_t crc = 0xffffffffu;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1u) != 0 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

template <class T>
T number(const std::string& bytes, std::size_t at) {
  T value{};
  REQUIRE(at + sizeof value <= bytes.size());
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// Calls field(number, wire type, value as integer, value as bytes) for each field of a message.
template <class Field>
void each_field(const std::string& message, Field field) {
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      REQUIRE((at < message.size() && shift < 64));
      const auto byte = static_cast<unsigned char>(message[at++]);
      value |= static_cast<std::uint64_t>(byte & 0x7fu) << shift;
      if ((byte & 0x80u) == 0) return value;
    }
  };
  while (at < message.size()) {
    const std::uint64_t key = varint();
    const auto type = key & 7u;
    const std::uint64_t value = type == 0 ? varint() : 0;
    const std::size_t size = type == 0 ? 0 : type == 1 ? 8
                                         : type == 2   ? varint()
                                                       : 4;
    REQUIRE(at + size <= message.size());
    field(key >> 3, value, message.substr(at, size));
    at += size;
  }
}

std::vector<Event> events_of(const std::string& file) {
  std::vector<Event> events;
  for (std::size_t at = 0; at < file.size();) {
    const auto size = number<std::uint64_t>(file, at);
    CHECK(number<std::uint32_t>(file, at + 8) == masked_crc(file.substr(at, 8)));
    REQUIRE(at + 16 + size <= file.size());
    const std::string payload = file.substr(at + 12, size);
    CHECK(number<std::uint32_t>(file, at + 12 + size) == masked_crc(payload));
    at += 16 + size;
    Event event;
    each_field(payload, [&](std::uint64_t field, std::uint64_t value, const std::string& bytes) {
      if (field == 1) event.wall_time = number<double>(bytes, 0);
      if (field == 2) event.step = static_cast<std::int64_t>(value);
      if (field == 3) event.version = bytes;
      if (field != 5) return;
      each_field(bytes, [&](std::uint64_t, std::uint64_t, const std::string& entry) {
        std::string tag;
        each_field(entry, [&](std::uint64_t of, std::uint64_t, const std::string& part) {
          if (of == 1) tag = part;
          if (of == 2) event.scalars[tag] = number<float>(part, 0);
        });
      });
    });
    events.push_back(event);
  }
  return events;
}

// The file says what metrics.jsonl says, record by line.
void check_agrees(const std::string& run) {
  const std::vector<Event> events = events_of(slurp(run + "/" + cli::kEventsFile));
  REQUIRE(!events.empty());
  CHECK(events[0].version == "brain.Event:2");
  CHECK(events[0].wall_time > 1.6e9);
  std::istringstream metrics(slurp(run + "/metrics.jsonl"));
  std::size_t count = 0;
  for (std::string line; std::getline(metrics, line);) {
    const json expected = json::parse(line);
    REQUIRE(++count < events.size());
    const Event& event = events[count];
    const std::string phase = expected["phase"];
    INFO(phase << " " << expected["epoch"]);
    CHECK(event.step == expected["epoch"].get<std::int64_t>());
    CHECK(event.scalars.at(phase + "/train_loss") == expected["train_loss"].get<float>());
    CHECK(event.scalars.at(phase + "/held_out/top1_error") == expected["held_out"]["top1_error"].get<float>());
    if (phase == "search") CHECK(event.scalars.at("search/lambda") == expected["lambda"].get<float>());
    CHECK(event.scalars.size() == cli::scalars_of(expected).size());
    CHECK_FALSE(event.scalars.contains(phase + "/epoch"));
  }
  CHECK(count + 1 == events.size());
}

}  // namespace

TEST_CASE("with --tensorboard the numbers of metrics.jsonl are in an event file, whole and once, also through a kill") {
  const TinyBench b(20);
  const std::vector<std::string> arguments = {"compress", "--weights", b.weights, "--data", "cifar10", "--data-dir", b.data, "--held-out", "20", "--batch", "20", "--epochs", "3",
                                              "--search-epochs", "2", "--target", "flops=0.6", "--threads", "1", "--tensorboard", "--out", b.at("run")};
  const Outcome outcome = run_hinge(arguments);
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  check_agrees(b.at("run"));
  const std::string file = b.at("run") + "/" + cli::kEventsFile, whole = slurp(file);
  CHECK(std::ranges::count(slurp(b.at("run") + "/metrics.jsonl"), '\n') == 5);
  // What a kill may leave: records of epochs that are repeated, none, or half a one.
  for (const std::string& left : {whole + whole.substr(0, 30), whole.substr(0, whole.size() - 7), std::string(), whole + whole}) {
    std::ofstream(file, std::ios::binary) << left;
    const Outcome again = run_hinge({"compress", "--resume", b.at("run")});
    INFO(again.output);
    REQUIRE(again.code == 0);
    check_agrees(b.at("run"));
  }
}

TEST_CASE("without --tensorboard there is no event file") {
  const TinyBench b(12);
  REQUIRE(run_hinge({"train", "--model", "resnet8", "--data", "cifar10", "--data-dir", b.data, "--held-out", "12", "--batch", "12", "--epochs", "1", "--out", b.at("run")}).code == 0);
  CHECK_FALSE(std::filesystem::exists(b.at("run") + "/" + cli::kEventsFile));
}
