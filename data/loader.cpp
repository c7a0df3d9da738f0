// The bounded queue behind Loader: a ring of `prefetch` slots, filled out of order, emptied in
// order.
//
//   taken_     the next batch a worker will make       handed_out_ <= taken_ <= handed_out_ +
//   prefetch slot of batch b: b % prefetch, free as soon as batch b - prefetch has been handed out
//
// A slot is written by one worker and read by next(), both under the mutex, so pixels are made
// without it.
#include "data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "engine/core/error.h"

namespace hinge::data {

class Loader::Epoch {
 public:
  // Batches [first, end) of `epoch`. `loader` outlives this.
  Epoch(const Loader& loader, std::uint64_t epoch, int first, int end)
      : loader_(loader),
        epoch_(epoch),
        order_(loader.options_.shuffle
                   ? shuffled(loader.indices_, loader.options_.augmentation.seed, epoch)
                   : loader.indices_),
        taken_(first),
        handed_out_(first),
        end_(end),
        slots_(static_cast<std::size_t>(loader.options_.prefetch)) {
    const int workers = std::min(loader.options_.threads, end - first);
    for (int i = 0; i < workers; ++i) {
      workers_.emplace_back([this](std::stop_token stop) { work(stop); });
    }
  }
  // All are told to stop before the first is waited for; std::jthread joins.
  ~Epoch() {
    for (std::jthread& worker : workers_) worker.request_stop();
  }

  std::optional<Batch> next() {
    std::unique_lock lock(mutex_);
    if (handed_out_ == end_) return std::nullopt;
    Slot& slot = slot_of(handed_out_);
    made_.wait(lock, [&] { return slot.batch.has_value() || slot.error != nullptr; });
    if (slot.error != nullptr) std::rethrow_exception(slot.error);
    std::optional<Batch> batch = std::exchange(slot.batch, std::nullopt);
    ++handed_out_;
    room_.notify_one();
    return batch;
  }

 private:
  struct Slot {
    std::optional<Batch> batch;
    std::exception_ptr error;
  };

  Slot& slot_of(int b) { return slots_[static_cast<std::size_t>(b) % slots_.size()]; }

  void work(const std::stop_token& stop) {
    for (;;) {
      int b = 0;
      {
        std::unique_lock lock(mutex_);
        const auto may_go_on = [&] {
          return taken_ == end_ || taken_ - handed_out_ < loader_.options_.prefetch;
        };
        room_.wait(lock, stop, may_go_on);
        if (stop.stop_requested() || taken_ == end_) return;
        b = taken_++;
        // One freed slot wakes one worker; the last batch has to wake all, to end them.
        if (taken_ == end_) room_.notify_all();
      }
      Slot made;
      try {
        made.batch = make(b);
      } catch (...) {
        made.error = std::current_exception();
      }
      {
        std::lock_guard lock(mutex_);
        slot_of(b) = std::move(made);
      }
      made_.notify_one();
    }
  }

  Batch make(int b) const {
    const ImageSet& set = loader_.set_;
    const LoaderOptions& options = loader_.options_;
    const auto size = static_cast<std::size_t>(options.batch_size);
    const std::size_t first = static_cast<std::size_t>(b) * size;
    const std::size_t whole = std::min(first + size, order_.size()) - first;
    const auto edge = [&](int part) { return first + whole * static_cast<std::size_t>(part) / static_cast<std::size_t>(options.parts); };
    const std::size_t begin = edge(options.part), end = edge(options.part + 1);

    Batch batch{.first = static_cast<int>(begin - first), .images_in_all = static_cast<int>(whole), .images = {}, .labels = {}, .indices = {}};
    for (std::size_t i = begin; i < end && !options.pixels; ++i) {
      batch.labels.push_back(set.labels[static_cast<std::size_t>(order_[i])]);
      batch.indices.push_back(order_[i]);
    }
    if (!options.pixels) return batch;
    batch.images = Tensor::empty(
        {static_cast<std::int64_t>(end - begin), set.height, set.width, set.channels});
    // A source crops by itself; its pictures are mirrored and normalised like the others.
    const int padding = options.augment && !set.source ? options.augmentation.padding : 0;
    std::vector<std::uint8_t> made(set.source ? set.image_bytes() : 0);
    float* out = batch.images.mutable_data();
    for (std::size_t i = begin; i < end; ++i, out += set.image_bytes()) {
      const int image = order_[i];
      Augmentation augmentation{};
      if (options.augment) {
        AugmentOptions how = options.augmentation;
        how.padding = padding;
        augmentation = draw_augmentation(how, epoch_, static_cast<std::uint64_t>(image));
      }
      if (set.source && options.augment) {
        set.source->read_crop(image, options.augmentation.seed, epoch_, made.data());
      } else if (set.source) {
        set.source->read(image, made.data());
      }
      write_image(set.source ? made.data() : set.image(image), set.height, set.width, set.channels, loader_.normalizer_,
                  augmentation, padding, out);
      batch.labels.push_back(set.labels[static_cast<std::size_t>(image)]);
      batch.indices.push_back(image);
    }
    return batch;
  }

  const Loader& loader_;
  const std::uint64_t epoch_;
  const std::vector<int> order_;

  std::mutex mutex_;
  std::condition_variable_any room_;  // a slot became free, or every batch has been taken
  std::condition_variable made_;      // a slot was filled
  int taken_, handed_out_;
  const int end_;
  std::vector<Slot> slots_;
  std::vector<std::jthread> workers_;  // last, so that it is joined before the rest goes
};

Loader::Loader(const ImageSet& set, const Normalization& normalization, std::vector<int> indices,
               LoaderOptions options)
    : set_(set), normalizer_(normalization), indices_(std::move(indices)), options_(options) {
  const auto check_positive = [](const char* what, int value) {
    if (value < 1) fail_usage("loader: {} is {}, expected at least 1", what, value);
  };
  check_positive("batch size", options_.batch_size);
  check_positive("number of threads", options_.threads);
  check_positive("prefetch", options_.prefetch);
  if (options_.augmentation.padding < 0) {
    fail_usage("loader: padding is {}, expected at least 0", options_.augmentation.padding);
  }
  require(normalizer_.channels() == set_.channels,
          "loader: {} has {} channels, the normalization {}", set_.name, set_.channels,
          normalizer_.channels());
  for (int index : indices_) {
    require(index >= 0 && index < set_.count(), "loader: index {} into {}, which has {} images",
            index, set_.name, set_.count());
  }
  require(!options_.drop_last || batches() > 0,
          "loader: dropping the last batch leaves none: {} images, batch size {}", indices_.size(),
          options_.batch_size);
}

Loader::~Loader() = default;

int Loader::batches() const {
  const auto size = static_cast<std::size_t>(options_.batch_size);
  const std::size_t rest = options_.drop_last ? 0 : size - 1;
  return static_cast<int>((indices_.size() + rest) / size);
}

int Loader::images() const {
  const auto all = static_cast<std::int64_t>(indices_.size());
  const std::int64_t room = static_cast<std::int64_t>(batches()) * options_.batch_size;
  return static_cast<int>(std::min(all, room));
}

void Loader::start(std::uint64_t epoch, int first_batch) {
  epoch_.reset();
  require(first_batch >= 0 && first_batch <= batches(),
          "loader: start at batch {}, expected 0 to {}", first_batch, batches());
  epoch_ = std::make_unique<Epoch>(*this, epoch, first_batch, batches());
}

std::optional<Batch> Loader::next() {
  require(epoch_ != nullptr, "loader: next() before start()");
  return epoch_->next();
}

}  // namespace hinge::data
