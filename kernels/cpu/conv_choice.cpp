#include "kernels/cpu/conv_choice.h"

#include <cstdio>
#include <utility>

namespace hinge::kernels {
namespace cpu {

ChoiceRecord& choice_record() {
  static ChoiceRecord record;
  return record;
}

void say_missing(const ChoiceRecord& record, const std::string& key, const std::string& wanted, const std::string& used) {
  const std::string message = "warning: convolution " + key + ": the recorded form '" + wanted +
                              "' does not exist with this processor and " + conv_library() + "; '" + used +
                              "' runs instead, and the bytes of this run may differ from the recorded one's";
  if (record.missing) {
    record.missing(message);
  } else {
    std::fprintf(stderr, "%s\n", message.c_str());
  }
}

}  // namespace cpu

ConvChoices conv_choices() {
  auto& record = cpu::choice_record();
  std::lock_guard lock(record.mutex);
  return record.choices;
}

void set_conv_choices(const ConvChoices& choices) {
  auto& record = cpu::choice_record();
  std::lock_guard lock(record.mutex);
  record.choices = choices, ++record.version;
  if (record.drop_runners) record.drop_runners();
}

std::uint64_t conv_choices_version() {
  auto& record = cpu::choice_record();
  std::lock_guard lock(record.mutex);
  return record.version;
}

std::optional<std::string> conv_choice(const std::string& key) {
  auto& record = cpu::choice_record();
  std::lock_guard lock(record.mutex);
  const auto found = record.choices.find(key);
  return found == record.choices.end() ? std::nullopt : std::optional(found->second);
}

void record_conv_choice(const std::string& key, const std::string& name) {
  auto& record = cpu::choice_record();
  std::lock_guard lock(record.mutex);
  record.choices[key] = name;
}

void on_missing_conv_choice(std::function<void(const std::string&)> listener) {
  auto& record = cpu::choice_record();
  std::lock_guard lock(record.mutex);
  record.missing = std::move(listener);
}

void reset_conv(const std::string& force) {
  auto& record = cpu::choice_record();
  std::lock_guard lock(record.mutex);
  record.choices.clear(), ++record.version;
  record.forced = force;
  if (record.drop_runners) record.drop_runners();
}

}  // namespace hinge::kernels
