// What a fuzzing target is: bytes that nobody vouches for go in; they are taken, or refused with an Error. Anything else that
// happens is a defect: another exception, a crash, a hang, memory out of proportion, a file written elsewhere.
//
// A target is one file here. Under libFuzzer (preset fuzz) each becomes a program of its own; everywhere else all of them are
// linked into test_fuzz, which replays corpus/NAME and tries mutations of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hinge::fuzz {

struct Target {
  const char* name;    // of corpus/NAME
  const char* origin;  // what every refusal must name; "" where the input has no name
  // Live memory may grow by no more than this: base + per_byte * size of the input.
  std::size_t base, per_byte;
  void (*run)(std::string_view bytes);
};

const std::vector<Target>& targets();
bool add_target(const Target& target);

// Throws std::logic_error, saying how, if the target breaks a promise on these bytes. True if it took them, false if it
// refused them.
bool hold(const Target& target, std::string_view bytes);

// Throws std::logic_error unless `condition` holds: what must be true of bytes that were taken.
void promise(bool condition, const char* what);

// A file called `name` that holds `bytes`, in a folder of this process (in memory where there is /dev/shm) that is empty at the
// start of each input.
std::string file_of(std::string_view bytes, const std::string& name);
// That folder, and the names of all that lies in it and below, sorted.
std::string folder();
std::vector<std::string> names_in_folder();

constexpr std::size_t kMiB = std::size_t{1} << 20;

}  // namespace hinge::fuzz

// HINGE_FUZZ_TARGET(idx, "input.gz", kMiB, 2000) { read_idx_images(file_of(bytes, "input.gz")); }
#define HINGE_FUZZ_TARGET(name, origin, base, per_byte)                                                   \
  static void run_##name(std::string_view bytes);                                                         \
  static const bool added_##name = hinge::fuzz::add_target({#name, origin, base, per_byte, &run_##name}); \
  static void run_##name([[maybe_unused]] std::string_view bytes)
