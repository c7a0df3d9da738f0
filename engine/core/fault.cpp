#include "engine/core/fault.h"

#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/error.h"

namespace hinge {
namespace {

constexpr double kSlow = 2 * 86400.0;  // seconds by which a clock that goes backwards does

struct Planned {
  Call call;
  std::int64_t nth = 1;
  Fault fault;
  std::string part;
  std::atomic<std::int64_t> seen = 0;
};

constexpr std::pair<std::string_view, Call> kCalls[] = {{"open", Call::kOpen}, {"create", Call::kCreate}, {"read", Call::kRead}, {"write", Call::kWrite}, {"sync", Call::kSync}, {"rename", Call::kRename}, {"link", Call::kLink}, {"truncate", Call::kTruncate}, {"stat", Call::kStat}, {"allocate", Call::kAllocate}, {"device-allocate", Call::kDeviceAllocate}, {"clock", Call::kClock}};
constexpr std::pair<std::string_view, Fault> kFaults[] = {{"ENOSPC", {Fault::Kind::kError, ENOSPC}}, {"EIO", {Fault::Kind::kError, EIO}}, {"EACCES", {Fault::Kind::kError, EACCES}}, {"EROFS", {Fault::Kind::kError, EROFS}}, {"EDQUOT", {Fault::Kind::kError, EDQUOT}}, {"EMFILE", {Fault::Kind::kError, EMFILE}}, {"ENOMEM", {Fault::Kind::kError, ENOMEM}}, {"short", {Fault::Kind::kShort, 0}}, {"kill", {Fault::Kind::kKill, 0}}, {"back", {Fault::Kind::kBack, 0}}};

template <class Table>
auto look_up(const Table& table, std::string_view word, std::string_view where) {
  for (const auto& [name, value] : table) {
    if (name == word) return value;
  }
  fail_usage("HINGE_FAULT: unknown word '{}' in '{}'", word, where);
}

// Splits off what stands before the first `mark`.
std::string_view next_word(std::string_view& text, char mark) {
  const std::size_t end = text.find(mark);
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return word;
}

std::unique_ptr<Planned> parse(std::string_view text) {
  const std::string_view whole = text;
  auto planned = std::make_unique<Planned>();
  planned->call = look_up(kCalls, next_word(text, ':'), whole);
  const std::string_view number = next_word(text, ':');
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), planned->nth);
  if (error != std::errc() || end != number.data() + number.size() || planned->nth < 1) fail_usage("HINGE_FAULT: '{}' in '{}', expected a number from 1", number, whole);
  planned->fault = look_up(kFaults, next_word(text, ':'), whole);
  planned->part = text;
  return planned;
}

struct Plan {
  Plan() {
    if (const char* text = std::getenv("HINGE_FAULT"); text != nullptr) set(text);
  }
  void set(std::string_view text) {
    std::vector<std::unique_ptr<Planned>> fresh;
    while (!text.empty()) fresh.push_back(parse(next_word(text, ',')));
    faults = std::move(fresh);
  }
  std::vector<std::unique_ptr<Planned>> faults;
};

Plan& plan() {
  static Plan* plan = new Plan;  // never destroyed: files are closed late
  return *plan;
}

}  // namespace

Fault fault_in(Call call, std::string_view path) {
  for (const auto& planned : plan().faults) {
    if (planned->call != call || path.find(planned->part) == std::string_view::npos) continue;
    const std::int64_t now = ++planned->seen;
    const bool once = planned->fault.kind == Fault::Kind::kKill;
    if (once ? now == planned->nth : now >= planned->nth) return planned->fault;
  }
  return {};
}

int error_in(Call call, std::string_view path) {
  const Fault fault = fault_in(call, path);
  if (fault.kind == Fault::Kind::kKill) die();
  return fault.kind == Fault::Kind::kError ? fault.error : 0;
}

void set_faults(std::string_view text) { plan().set(text); }

void die() {
  ::raise(SIGKILL);
  std::abort();  // not reached
}

double wall_clock() {
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  return fault_in(Call::kClock).kind == Fault::Kind::kBack ? now - kSlow : now;
}

}  // namespace hinge
