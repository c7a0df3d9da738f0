#include "engine/train/agreement.h"

#include <fmt/ranges.h>

#include <cstdlib>

#include "engine/core/hash.h"

namespace hinge {
namespace {

constexpr char kBreak = '\x1f';  // no tensor's name has it

std::string to_bytes(const NotFinite& found) {
  return fmt::format("{}{}{}{}{}{}{}{}{}{}{}", found.what, kBreak, found.name, kBreak, fmt::join(found.index, ","), kBreak, found.value, kBreak, found.count, kBreak, found.of);
}

NotFinite from_bytes(const std::string& bytes) {
  std::vector<std::string> parts(1);
  for (const char c : bytes) {
    if (c == kBreak) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  require(parts.size() == 6, "ranks disagree on what wasn't finite: '{}'", bytes);
  NotFinite found{.what = parts[0], .name = parts[1], .index = {}, .value = std::strtod(parts[3].c_str(), nullptr)};
  for (const char* at = parts[2].c_str(); *at != '\0';) {
    char* end = nullptr;
    found.index.push_back(std::strtoll(at, &end, 10));
    at = *end == ',' ? end + 1 : end;
  }
  found.count = std::atoll(parts[4].c_str()), found.of = std::atoll(parts[5].c_str());
  return found;
}

}  // namespace

void throw_together(ProcessGroup* group, const std::optional<NotFinite>& found, bool begun_here) {
  if (group == nullptr) {
    if (found) throw NotFiniteError(*found);
    return;
  }
  std::vector<double> known(static_cast<std::size_t>(group->size()), 0.0);
  known[static_cast<std::size_t>(group->rank())] = !found ? 0.0 : begun_here ? 2.0
                                                                             : 1.0;
  group->sum(known);
  for (const double wanted : {2.0, 1.0}) {
    for (std::size_t rank = 0; rank < known.size(); ++rank) {
      if (known[rank] == wanted) throw NotFiniteError(from_bytes(group->broadcast(found ? to_bytes(*found) : "", static_cast<int>(rank))));
    }
  }
}

std::uint64_t hash_of(const Tensor& tensor) {
  const Tensor here = tensor.to(Device{});
  Hash hash;
  hash.add({reinterpret_cast<const std::uint8_t*>(here.data()), here.bytes()});
  return hash.value();
}

void require_same(ProcessGroup* group, const std::map<std::string, Tensor>& tensors, const std::string& when) {
  if (group == nullptr) return;
  std::string mine;
  for (const auto& [name, tensor] : tensors) mine += fmt::format("{}={:016x}\n", name, hash_of(tensor));
  const std::string wanted = group->broadcast(mine, 0);
  // The first line that differs, for each rank: every rank hears of every other's.
  std::string differs;
  for (std::size_t at = 0; wanted != mine && at < mine.size();) {
    const std::size_t end = mine.find('\n', at);
    if (wanted.compare(at, end - at + 1, mine, at, end - at + 1) != 0) {
      differs = mine.substr(at, mine.find('=', at) - at);
      break;
    }
    at = end + 1;
  }
  std::vector<double> different(static_cast<std::size_t>(group->size()), 0.0);
  different[static_cast<std::size_t>(group->rank())] = wanted == mine ? 0.0 : 1.0;
  group->sum(different);
  for (std::size_t rank = 0; rank < different.size(); ++rank) {
    if (different[rank] == 0.0) continue;
    fail("{}: '{}' of rank {} isn't what rank 0 has; ranks that train together must hold the same numbers", when, group->broadcast(differs, static_cast<int>(rank)), rank);
  }
}

}  // namespace hinge
