#include "kernels/cpu/conv_choice.h"

namespace hinge::kernels {
namespace cpu {

ChoiceRecord& choice_record() {
  static ChoiceRecord record;
  return record;
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
  record.choices = choices;
  if (record.drop_runners) record.drop_runners();
}

void reset_conv(const std::string& force) {
  auto& record = cpu::choice_record();
  std::lock_guard lock(record.mutex);
  record.choices.clear();
  record.forced = force;
  if (record.drop_runners) record.drop_runners();
}

}  // namespace hinge::kernels
