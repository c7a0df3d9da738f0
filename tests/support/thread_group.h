// Ranks as threads of the test program: a ProcessGroup without MPI, whose sums are added up in the order of ranks.
#pragma once

#include <barrier>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include "engine/core/process_group.h"
#include "kernels/bfloat16.h"

namespace hinge::testing {

// What a group's ranks share.
struct Meeting {
  explicit Meeting(int ranks) : size(ranks), barrier(ranks), doubles(static_cast<std::size_t>(ranks)), floats(static_cast<std::size_t>(ranks)) {}
  int size;
  std::barrier<> barrier;
  std::vector<std::vector<double>> doubles;
  std::vector<std::vector<float>> floats;
  std::string bytes;
  int started = 0;  // float sums begun, of rank 0
};

class ThreadRank final : public ProcessGroup {
 public:
  ThreadRank(Meeting& meeting, int rank) : meeting_(meeting), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return meeting_.size; }
  void sum(std::span<double> values) override { add(values, meeting_.doubles); }
  std::unique_ptr<Pending> start_sum(std::span<float> values, SumPrecision precision, std::shared_ptr<const void>) override {
    if (rank_ == 0) ++meeting_.started;
    return std::make_unique<Later>(*this, values, precision);
  }
  std::string broadcast(std::string bytes, int root) override {
    meeting_.barrier.arrive_and_wait();
    if (rank_ == root) meeting_.bytes = std::move(bytes);
    meeting_.barrier.arrive_and_wait();
    return meeting_.bytes;
  }

 private:
  // Done when it is waited for, as late as it may be: whoever reads before that reads its own numbers.
  struct Later final : Pending {
    Later(ThreadRank& rank, std::span<float> values, SumPrecision precision) : rank(rank), values(values), precision(precision) {}
    void wait() override {
      round();
      rank.add(values, rank.meeting_.floats);
      round();
    }
    void round() const {
      if (precision == SumPrecision::kFloat32) return;
      for (float& value : values) value = float_of(bfloat16_of(value));
    }
    ThreadRank& rank;
    std::span<float> values;
    SumPrecision precision;
  };
  template <class T>
  void add(std::span<T> values, std::vector<std::vector<T>>& slots) {
    meeting_.barrier.arrive_and_wait();
    slots[static_cast<std::size_t>(rank_)].assign(values.begin(), values.end());
    meeting_.barrier.arrive_and_wait();
    for (std::size_t i = 0; i < values.size(); ++i) {
      T total = 0;
      for (const auto& slot : slots) total += slot.at(i);
      values[i] = total;
    }
  }
  Meeting& meeting_;
  int rank_;
};

// body(group) on each of `ranks` threads; the first rank's exception, if any, is thrown on. A rank that throws leaves the others
// to themselves. No assertions in there: Catch's aren't for threads.
inline void on_ranks(int ranks, const std::function<void(ProcessGroup&)>& body, int* sums_started = nullptr) {
  Meeting meeting(ranks);
  std::vector<std::exception_ptr> thrown(static_cast<std::size_t>(ranks));
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] {
        ThreadRank group(meeting, rank);
        try {
          body(group);
        } catch (...) {
          thrown[static_cast<std::size_t>(rank)] = std::current_exception();
          meeting.barrier.arrive_and_drop();
        }
      });
    }
  }
  if (sums_started != nullptr) *sums_started = meeting.started;
  for (const auto& exception : thrown) {
    if (exception) std::rethrow_exception(exception);
  }
}

}  // namespace hinge::testing
