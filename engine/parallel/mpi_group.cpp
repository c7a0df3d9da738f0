#include "engine/parallel/mpi_group.h"

#include <algorithm>
#include <cstdlib>

#include "engine/core/error.h"
#include "kernels/bfloat16.h"

#ifdef HINGE_MPI
#include <mpi.h>

#include <chrono>
#include <deque>
#include <thread>
#include <vector>
#endif

namespace hinge {
namespace {

// The first of these variables that holds a number, or `otherwise`.
int number_of(std::initializer_list<const char*> names, int otherwise) {
  for (const char* name : names) {
    if (const char* value = std::getenv(name); value != nullptr && *value >= '0' && *value <= '9') return std::atoi(value);
  }
  return otherwise;
}

}  // namespace

bool launched_by_mpi() {
  // Slurm sets its own in a batch script too, where nothing was started by srun: PMI's tell the two apart.
  return number_of({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}, 1) > 1 || (std::getenv("PMIX_RANK") != nullptr && number_of({"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"}, 1) > 1);
}

int local_ranks() { return std::max(1, number_of({"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "SLURM_NTASKS_PER_NODE"}, 1)); }

int local_rank() { return number_of({"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}, 0); }

#ifndef HINGE_MPI

std::unique_ptr<ProcessGroup> mpi_group(const MpiOptions&) {
  fail("this hinge was built without MPI, so it runs as one process only; install MPI's headers (libopenmpi-dev) and build it again");
}
void abort_all_ranks(int code) { std::exit(code); }

#else

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kHereTag = 7001;
constexpr double kLooking = 100e-6;  // seconds of a wait before it gives its core away
constexpr auto kNap = std::chrono::microseconds(50);
constexpr int kMost = 1 << 28;  // elements of one call: MPI counts in int

double seconds_since(Clock::time_point then) { return std::chrono::duration<double>(Clock::now() - then).count(); }

void check(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  fail("MPI: {}: {}", what, std::string(text, static_cast<std::size_t>(length)));
}

// A sum of floats in two exchanges: every rank receives its part of the numbers from all and adds it up, then everybody receives
// everybody's part. 2 (n - 1) / n of the bytes go out of each rank, as in a ring, and the order of the sum is that of the ranks,
// whatever MPI it is. (OpenMPI's own MPI_Iallreduce goes up and down a tree with all of the bytes: a step of two ranks on a cable of
// 50 Mbit/s took 421 ms with it and buckets of 1 MiB, and takes 217 with this and buckets of 256 KiB.)
class FloatSum {
 public:
  virtual ~FloatSum() = default;
  // Goes on to the second exchange if the first is over. False while it isn't.
  virtual bool is_added_up(MPI_Comm wholes) = 0;
  virtual bool is_done() = 0;
};

// What travels: the floats themselves, or bfloat16.
struct AsFloat {
  using Element = float;
  static constexpr bool kIsFloat = true;
  static MPI_Datatype type() { return MPI_FLOAT; }
  static float to_float(float x) { return x; }
  static float from_float(float x) { return x; }
};
struct AsBfloat16 {
  using Element = std::uint16_t;
  static constexpr bool kIsFloat = false;
  static MPI_Datatype type() { return MPI_UINT16_T; }
  static float to_float(std::uint16_t x) { return float_of(x); }
  static std::uint16_t from_float(float x) { return bfloat16_of(x); }
};

template <class As>
class ExchangedSum final : public FloatSum {
  using Element = typename As::Element;

 public:
  ExchangedSum(std::span<float> values, int rank, int size, MPI_Comm parts) : values_(values), mine_(slice_of(static_cast<std::int64_t>(values.size()), rank, size)) {
    for (int other = 0; other < size; ++other) {
      const Slice part = slice_of(static_cast<std::int64_t>(values.size()), other, size);
      counts_.push_back(static_cast<int>(part.count())), begins_.push_back(static_cast<int>(part.begin));
      places_.push_back(static_cast<int>(other * mine_.count()));
    }
    same_.assign(static_cast<std::size_t>(size), static_cast<int>(mine_.count()));
    received_.resize(static_cast<std::size_t>(size * mine_.count()));
    if constexpr (!As::kIsFloat) {
      rounded_.resize(values.size());
      std::ranges::transform(values, rounded_.begin(), As::from_float);
    }
    check(MPI_Ialltoallv(travelling(), counts_.data(), begins_.data(), As::type(), received_.data(), same_.data(), places_.data(), As::type(), parts, &request_), "sum");
  }

  bool is_added_up(MPI_Comm wholes) override {
    if (added_up_) return true;
    if (!is_over()) return false;
    const auto part = static_cast<std::size_t>(mine_.count());
    for (std::size_t i = 0; i < part; ++i) {
      float total = As::to_float(received_[i]);
      for (std::size_t at = part + i; at < received_.size(); at += part) total += As::to_float(received_[at]);
      travelling()[static_cast<std::size_t>(mine_.begin) + i] = As::from_float(total);
    }
    check(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, travelling(), counts_.data(), begins_.data(), As::type(), wholes, &request_), "sum");
    return added_up_ = true;
  }
  bool is_done() override {
    if (done_) return true;
    if (!added_up_ || !is_over()) return false;
    if constexpr (!As::kIsFloat) std::ranges::transform(rounded_, values_.begin(), As::to_float);
    return done_ = true;
  }

 private:
  Element* travelling() {
    if constexpr (As::kIsFloat) {
      return values_.data();
    } else {
      return rounded_.data();
    }
  }
  bool is_over() {
    int over = 0;
    check(MPI_Test(&request_, &over, MPI_STATUS_IGNORE), "sum");
    return over != 0;
  }

  std::span<float> values_;
  Slice mine_;
  std::vector<int> counts_, begins_, same_, places_;  // elements of the exchanges: of every rank's part, and of what comes for mine
  std::vector<Element> rounded_, received_;
  MPI_Request request_ = MPI_REQUEST_NULL;
  bool added_up_ = false, done_ = false;
};

class MpiGroup final : public ProcessGroup {
 public:
  explicit MpiGroup(const MpiOptions& options) : options_(options) {
    int given = 0;
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &given), "start");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    check(MPI_Comm_dup(MPI_COMM_WORLD, &parts_), "start");
    check(MPI_Comm_dup(MPI_COMM_WORLD, &wholes_), "start");
    char name[MPI_MAX_PROCESSOR_NAME];
    int length = 0;
    MPI_Get_processor_name(name, &length);
    for (int root = 0; root < size_; ++root) hosts_.push_back(broadcast(std::string(name, static_cast<std::size_t>(length)), root));
  }
  ~MpiGroup() override { MPI_Finalize(); }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void set_timeout(double seconds) override { options_.timeout_seconds = seconds; }
  void wait_until(const char* what, const std::function<bool()>& done) override {
    const auto begun = Clock::now();
    while (!done()) {
      const double waited = seconds_since(begun);
      if (waited < kLooking) continue;
      if (waited > options_.timeout_seconds) say_who_is_missed(what);
      std::this_thread::sleep_for(kNap);
    }
  }

  void sum(std::span<double> values) override {
    MPI_Request request = MPI_REQUEST_NULL;
    require(values.size() <= kMost, "MPI: a sum of {} numbers, at most {} go into one", values.size(), kMost);
    check(MPI_Iallreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD, &request), "sum");
    wait(request, "a sum");
  }

  std::unique_ptr<Pending> start_sum(std::span<float> values, SumPrecision precision, std::shared_ptr<const void> owner) override {
    require(values.size() + static_cast<std::size_t>(size_) <= kMost, "MPI: a sum of {} numbers on {} ranks, at most {} pass through one rank", values.size(), size_, kMost);
    std::shared_ptr<FloatSum> sum;
    if (precision == SumPrecision::kFloat32) {
      sum = std::make_shared<ExchangedSum<AsFloat> >(values, rank_, size_, parts_);
    } else {
      sum = std::make_shared<ExchangedSum<AsBfloat16> >(values, rank_, size_, parts_);
    }
    underway_.push_back({sum, std::move(owner)});
    return std::make_unique<Started>(*this, std::move(sum));
  }

  // Second exchanges begin in the order of the sums, on every rank: MPI tells collectives apart by their order.
  void progress() override {
    for (const Underway& one : underway_) {
      if (!one.sum->is_added_up(wholes_)) break;
    }
    while (!underway_.empty() && underway_.front().sum->is_done()) underway_.pop_front();
    if (!underway_.empty()) return;
    int flag = 0;
    MPI_Iprobe(MPI_ANY_SOURCE, kHereTag, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE);
  }

  std::string broadcast(std::string bytes, int root) override {
    std::uint64_t size = bytes.size();
    broadcast_bytes(reinterpret_cast<char*>(&size), sizeof size, root);
    bytes.resize(size);
    for (std::uint64_t done = 0; done < size; done += kMost) broadcast_bytes(bytes.data() + done, std::min<std::uint64_t>(kMost, size - done), root);
    return bytes;
  }

 private:
  struct Started final : Pending {
    Started(MpiGroup& group, std::shared_ptr<FloatSum> sum) : group(group), sum(std::move(sum)) {}
    void wait() override {
      group.wait_until("the gradients of a step", [&] {
        group.progress();
        return sum->is_done();
      });
    }
    MpiGroup& group;
    std::shared_ptr<FloatSum> sum;
  };

  void broadcast_bytes(char* bytes, std::uint64_t size, int root) {
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Ibcast(bytes, static_cast<int>(size), MPI_BYTE, root, MPI_COMM_WORLD, &request), "broadcast");
    wait(request, "a broadcast");
  }

  void wait(MPI_Request& request, const char* what) {
    wait_until(what, [&] {
      int done = 0;
      check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), what);
      return done != 0;
    });
  }

  // Who is still here has waited as long, and says so at about the same time.
  [[noreturn]] void say_who_is_missed(const char* what) {
    static char here = 1;
    std::vector<MPI_Request> sent(static_cast<std::size_t>(size_), MPI_REQUEST_NULL);
    for (int other = 0; other < size_; ++other) {
      if (other != rank_) MPI_Isend(&here, 1, MPI_BYTE, other, kHereTag, MPI_COMM_WORLD, &sent[static_cast<std::size_t>(other)]);
    }
    std::vector<bool> answered(static_cast<std::size_t>(size_), false);
    answered[static_cast<std::size_t>(rank_)] = true;
    for (const auto begun = Clock::now(); seconds_since(begun) < std::max(1.0, 0.1 * options_.timeout_seconds);) {
      int there = 0;
      MPI_Status status;
      MPI_Iprobe(MPI_ANY_SOURCE, kHereTag, MPI_COMM_WORLD, &there, &status);
      if (there != 0) {
        char byte = 0;
        MPI_Recv(&byte, 1, MPI_BYTE, status.MPI_SOURCE, kHereTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        answered[static_cast<std::size_t>(status.MPI_SOURCE)] = true;
      } else {
        std::this_thread::sleep_for(kNap);
      }
    }
    std::vector<std::string> missed;
    for (int other = 0; other < size_; ++other) {
      if (!answered[static_cast<std::size_t>(other)]) missed.push_back(fmt::format("rank {} on {}", other, hosts_[static_cast<std::size_t>(other)]));
    }
    const std::string text = fmt::format("{} of {} ranks can't go on: for {} s {} hasn't come to {} (--rank-timeout)", size_ - static_cast<int>(missed.size()), size_, options_.timeout_seconds,
                                         missed.empty() ? "a rank" : fmt::format("{}", fmt::join(missed, ", ")), what);
    if (options_.lost) options_.lost(text);
    fail("{}", text);
  }

  MpiOptions options_;
  int rank_ = 0, size_ = 1;
  std::vector<std::string> hosts_;
  MPI_Comm parts_ = MPI_COMM_NULL, wholes_ = MPI_COMM_NULL;  // of the two exchanges of float sums
  // Until MPI is done with it a sum stays here, and its numbers stay where they are, also when whoever began it is gone.
  struct Underway {
    std::shared_ptr<FloatSum> sum;
    std::shared_ptr<const void> owner;
  };
  std::deque<Underway> underway_;
};

}  // namespace

std::unique_ptr<ProcessGroup> mpi_group(const MpiOptions& options) { return std::make_unique<MpiGroup>(options); }

void abort_all_ranks(int code) {
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

#endif

}  // namespace hinge
