// engine/io/checkpoint: damage is noticed, and at every instant a whole checkpoint can be loaded.
#include "engine/io/checkpoint.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <limits>
#include <vector>

#include "engine/io/safetensors.h"
#include "tests/engine/io/scratch.h"
#include "tests/support/catch.h"

namespace hinge::io {
namespace {

using testing::contains;
using Names = std::set<std::string>;

constexpr const char* kNewest = "last.safetensors";
constexpr const char* kPrevious = "last.previous.safetensors";

Checkpoint numbered(int number) {
  Checkpoint checkpoint;
  checkpoint.state = {{"epoch", number}, {"recipe", {{"rate", 0.1}, {"name", "ä"}}}};
  checkpoint.tensors["weight"] = Tensor::full({2, 3}, static_cast<float>(number));
  const std::vector<std::int64_t> steps = {number};
  checkpoint.tensors["steps"] = Tensor::from<std::int64_t>({}, steps);
  checkpoint.tensors["empty"] = Tensor::zeros({0, 4});
  return checkpoint;
}

// Which of the numbered checkpoints this is; every part of it must agree.
int number_of(const Checkpoint& checkpoint) {
  const int number = checkpoint.state.at("epoch").get<int>();
  const Checkpoint expected = numbered(number);
  require(checkpoint.state == expected.state, "another state");
  require(checkpoint.tensors.size() == expected.tensors.size(), "another number of tensors");
  for (const auto& [name, tensor] : expected.tensors) {
    const Tensor& found = checkpoint.tensors.at(name);
    require(found.dtype() == tensor.dtype() && found.shape() == tensor.shape() &&
                std::ranges::equal(bytes_of(found), bytes_of(tensor)),
            "another {}", name);
  }
  return number;
}

void flip(std::string& bytes, std::size_t at, int bit) {
  bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ (1u << bit));
}

TEST_CASE("an empty folder has no checkpoint") {
  const Scratch scratch;
  CHECK(!load_checkpoint(scratch.folder(), "last").has_value());
  CHECK(!load_checkpoint(scratch / "none", "last").has_value());
}

TEST_CASE("a checkpoint loads as it was saved, and the one before is kept") {
  const Scratch scratch;
  for (int number = 1; number <= 3; ++number) {
    save_checkpoint(scratch.folder(), "last", numbered(number));
    const auto loaded = load_checkpoint(scratch.folder(), "last");
    REQUIRE(loaded.has_value());
    CHECK(number_of(*loaded) == number);
    CHECK(loaded->warning.empty());
    CHECK(scratch.names() == (number == 1 ? Names{kNewest} : Names{kNewest, kPrevious}));
  }
  std::filesystem::remove(scratch / kNewest);
  const auto previous = load_checkpoint(scratch.folder(), "last");
  REQUIRE(previous.has_value());
  CHECK(number_of(*previous) == 2);
  CHECK_THAT(previous->warning, contains("last.safetensors: missing; read "));
}

TEST_CASE("equal checkpoints are equal files") {
  const Scratch scratch;
  save_checkpoint(scratch.folder(), "a", numbered(1));
  save_checkpoint(scratch.folder(), "b", numbered(1));
  CHECK(read_file(scratch / "a.safetensors") == read_file(scratch / "b.safetensors"));
}

TEST_CASE("every flipped bit and every cut is noticed, and the previous checkpoint read") {
  const Scratch scratch;
  save_checkpoint(scratch.folder(), "last", numbered(1));
  save_checkpoint(scratch.folder(), "last", numbered(2));
  const std::string whole = read_file(scratch / kNewest);
  // fsync makes thousands of atomic writes slow on a disk, so the damage is written in place.
  const auto check_damaged = [&](const std::string& bytes) {
    std::filesystem::remove(scratch / kNewest);
    std::FILE* file = std::fopen((scratch / kNewest).c_str(), "wb");
    REQUIRE(file != nullptr);
    std::fwrite(bytes.data(), 1, bytes.size(), file);
    std::fclose(file);
    const auto loaded = load_checkpoint(scratch.folder(), "last");
    REQUIRE(loaded.has_value());
    REQUIRE(number_of(*loaded) == 1);
    REQUIRE_THAT(loaded->warning, contains("last.safetensors: "));
  };
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      INFO("byte " << at << ", bit " << bit);
      std::string bytes = whole;
      flip(bytes, at, bit);
      check_damaged(bytes);
    }
    check_damaged(whole.substr(0, at));
  }
}

TEST_CASE("two damaged files are an Error that names both") {
  const Scratch scratch;
  save_checkpoint(scratch.folder(), "last", numbered(1));
  std::string bytes = read_file(scratch / kNewest);
  flip(bytes, bytes.size() - 1, 0);
  write_file_atomically(scratch / kNewest, bytes);
  const std::string alone = error_of([&] { load_checkpoint(scratch.folder(), "last"); });
  CHECK_THAT(alone, contains("no usable checkpoint last in"));
  CHECK_THAT(alone, contains("last.safetensors: damaged, its content has checksum"));
  CHECK_THAT(alone, contains("last.previous.safetensors: No such file"));
  write_file_atomically(scratch / kPrevious, "");
  const std::string both = error_of([&] { load_checkpoint(scratch.folder(), "last"); });
  CHECK_THAT(both, contains("last.safetensors: damaged"));
  CHECK_THAT(both, contains("last.previous.safetensors: 0 bytes"));
}

TEST_CASE("a file of tensors that is no checkpoint, or a later format, is refused") {
  const Scratch scratch;
  write_safetensors(scratch / kNewest, {numbered(1).tensors, {}});
  CHECK_THAT(error_of([&] { load_checkpoint(scratch.folder(), "last"); }),
             contains("its metadata has no \"format\""));
  write_safetensors(scratch / kNewest, {{}, {{"format", "hinge-checkpoint-2"}}});
  CHECK_THAT(error_of([&] { load_checkpoint(scratch.folder(), "last"); }),
             contains("format \"hinge-checkpoint-2\", expected \"hinge-checkpoint-1\""));
}

TEST_CASE("a save that fails at any byte leaves both checkpoints whole and nothing else") {
  const Scratch scratch;
  save_checkpoint(scratch.folder(), "last", numbered(1));
  save_checkpoint(scratch.folder(), "last", numbered(2));
  const std::string newest = read_file(scratch / kNewest),
                    previous = read_file(scratch / kPrevious);
  for (std::int64_t bytes = 0; bytes < static_cast<std::int64_t>(newest.size()); ++bytes) {
    faults() = {bytes, ENOSPC};
    const std::string message =
        error_of([&] { save_checkpoint(scratch.folder(), "last", numbered(3)); });
    faults() = {};
    CHECK_THAT(message, contains("No space left on device"));
    CHECK(read_file(scratch / kNewest) == newest);
    CHECK(read_file(scratch / kPrevious) == previous);
    CHECK(scratch.names() == Names{kNewest, kPrevious});
  }
}

TEST_CASE("saving over a damaged checkpoint never leaves the folder without a whole one") {
  const Scratch scratch;
  save_checkpoint(scratch.folder(), "last", numbered(1));
  save_checkpoint(scratch.folder(), "last", numbered(2));
  write_file_atomically(scratch / kNewest, "damaged");
  faults() = {10, EIO};
  CHECK_THAT(error_of([&] { save_checkpoint(scratch.folder(), "last", numbered(3)); }),
             contains("Input/output error"));
  faults() = {};
  CHECK(number_of(load_checkpoint(scratch.folder(), "last").value()) == 1);
  save_checkpoint(scratch.folder(), "last", numbered(3));
  CHECK(number_of(load_checkpoint(scratch.folder(), "last").value()) == 3);
}

TEST_CASE("a process killed at any moment leaves a checkpoint that loads") {
  const Scratch scratch;
  save_checkpoint(scratch.folder(), "last", numbered(0));
  int latest = 0;
  for (int round = 0; round < 20; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      for (int number = latest + 1;; ++number) {
        save_checkpoint(scratch.folder(), "last", numbered(number));
      }
    }
    ::usleep(static_cast<useconds_t>(1000 + 1700 * round));
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    const auto loaded = load_checkpoint(scratch.folder(), "last");
    REQUIRE(loaded.has_value());
    CHECK(loaded->warning.empty());
    const int found = number_of(*loaded);
    CHECK(found >= latest);
    latest = found;
  }
  const FolderLock lock(scratch.folder());  // clears what the killed ones left
  CHECK(scratch.names() == Names{".lock", kNewest, kPrevious});
}

TEST_CASE("a state that could not be read back is refused") {
  const Scratch scratch;
  Checkpoint checkpoint = numbered(1);
  for (int depth = 0; depth < 65; ++depth) {
    checkpoint.state = nlohmann::json::array({checkpoint.state});
  }
  CHECK_THAT(error_of([&] { save_checkpoint(scratch.folder(), "last", checkpoint); }),
             contains("last.safetensors: state: nested deeper"));
  checkpoint = numbered(1);
  checkpoint.tensors["undefined"] = Tensor();
  CHECK_THAT(error_of([&] { save_checkpoint(scratch.folder(), "last", checkpoint); }),
             contains("\"undefined\" has no elements"));
  CHECK(scratch.names().empty());
}

TEST_CASE("NaN survives in tensors, and is null in the state") {
  const Scratch scratch;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  save_checkpoint(scratch.folder(), "last", {{{"loss", nan}}, {{"x", Tensor::full({1}, nan)}}});
  const Checkpoint loaded = load_checkpoint(scratch.folder(), "last").value();
  CHECK(std::isnan(loaded.tensors.at("x").item()));
  CHECK(loaded.state.at("loss").is_null());
}

}  // namespace
}  // namespace hinge::io
