// Faults on demand: those asked for happen, at the call asked for, and nowhere else.
#include "engine/core/fault.h"

#include <cerrno>

#include "engine/core/storage.h"
#include "engine/core/tensor.h"
#include "tests/support/catch.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

struct Faults {
  explicit Faults(const std::string& text) { set_faults(text); }
  ~Faults() { set_faults(""); }
};

}  // namespace

TEST_CASE("a fault begins at its call, on its files, and an error stays") {
  const Faults faults("write:3:ENOSPC,sync:1:EIO:checkpoint,rename:2:short");
  CHECK(error_in(Call::kWrite, "a") == 0);
  CHECK(error_in(Call::kWrite, "b") == 0);
  CHECK(error_in(Call::kWrite, "a") == ENOSPC);
  CHECK(error_in(Call::kWrite, "c") == ENOSPC);
  CHECK(error_in(Call::kSync, "run/model") == 0);
  CHECK(error_in(Call::kSync, "run/checkpoint.safetensors") == EIO);
  CHECK(error_in(Call::kRename, "a") == 0);
  CHECK(fault_in(Call::kRename, "a").kind == Fault::Kind::kShort);
  CHECK(error_in(Call::kRead, "a") == 0);
  set_faults("");
  CHECK(error_in(Call::kWrite, "a") == 0);
}

TEST_CASE("words that no fault has are refused, and what was planned stays") {
  const Faults faults("write:1:EIO");
  for (const char* text : {"write", "write:", "write:0:EIO", "write:-1:EIO", "write:1", "write:1:EFOO", "rewrite:1:EIO", "write:1x:EIO", "sync:1:EIO,write"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(set_faults(text), UsageError);
    CHECK(error_in(Call::kWrite) == EIO);
    CHECK(error_in(Call::kSync) == 0);
  }
}

TEST_CASE("memory that the system hasn't is an error that says how much was asked for, and leaves the accounts right") {
  release_cached_memory(Device{});
  const std::size_t before = memory_use(Device{}).used;
  {
    const Faults faults("allocate:2:ENOMEM");
    const Tensor first = Tensor::empty({1000});
    try {
      Tensor::empty({1'000'000});
      FAIL("memory was there");
    } catch (const Error& error) {
      CHECK_THAT(error.what(), contains("cpu: out of memory: asked for 4063232 bytes with"));
    }
    CHECK(memory_use(Device{}).used == before + 4032);
  }
  CHECK(memory_use(Device{}).used == before);
  CHECK(Tensor::empty({1'000'000}).size() == 1'000'000);
}

TEST_CASE("kept memory is given back to the system before a request is refused") {
  release_cached_memory(Device{});
  { const Tensor kept = Tensor::empty({100'000}); }
  CHECK(memory_use(Device{}).cached > 0);
  const Faults faults("allocate:1:ENOMEM");
  CHECK_THROWS_AS(Tensor::empty({5000}), Error);
  CHECK(memory_use(Device{}).cached == 0);
}

TEST_CASE("a clock can go backwards") {
  const double before = wall_clock();
  const Faults faults("clock:2:back");
  CHECK(wall_clock() >= before);
  CHECK(wall_clock() < before - 86400.0);
}
