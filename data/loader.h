// Batches of an image set, made ahead of time by worker threads and handed out in order.
//
//   order of an epoch = shuffle ? shuffled(indices, augmentation.seed, epoch) : indices
//   batch b           = order[b * batch_size, min((b + 1) * batch_size, indices))
//
// Every batch is a pure function of (options, epoch, b). So order, pixels and labels do not depend
// on the number of threads, and start(epoch, k) continues exactly where a run that was interrupted
// after k batches left off.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "data/augment.h"
#include "data/dataset.h"
#include "engine/core/tensor.h"

namespace hinge::data {

struct Batch {
  int first = 0, images_in_all = 0;  // number of the first image in the batch, and of the batch's images, all parts together
  Tensor images;                     // [N, H, W, C] float32 on the CPU, normalised; undefined without `pixels`
  std::vector<std::int32_t> labels;  // [N]
  std::vector<int> indices;          // [N], positions in the ImageSet
};

struct LoaderOptions {
  int batch_size = 128;
  bool shuffle = false;
  bool augment = false;
  AugmentOptions augmentation = {};  // its seed also shuffles, with `augment` on or off
  int threads = 1;
  int prefetch = 3;  // batches that may be in the making or waiting; bounds the memory
  bool drop_last = false;
  // Of every batch this part of `parts` alone is made: [n part / parts, n (part + 1) / parts) of its n images. For ranks that
  // share batches; what the parts are together doesn't depend on their number.
  int part = 0, parts = 1;
  bool pixels = true;  // false: labels and indices alone, for whoever has the images elsewhere
};

class Loader {
 public:
  // `set` is kept by reference and must outlive the loader. No images give no batches; fewer images
  // than one batch give one smaller batch, or an Error under drop_last, because an epoch without a
  // batch trains nothing.
  Loader(const ImageSet& set, const Normalization& normalization, std::vector<int> indices,
         LoaderOptions options);
  Loader(ImageSet&&, const Normalization&, std::vector<int>, LoaderOptions) = delete;
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  int batches() const;
  // Images in all batches of one epoch, of all parts: less than `indices` when drop_last drops some.
  int images() const;

  // Begins an epoch at batch `first_batch`. An epoch that is still running is cancelled first.
  void start(std::uint64_t epoch, int first_batch = 0);
  // The next batch, or nullopt at the end of the epoch. Rethrows what went wrong in the worker that
  // made this batch, after all batches before it have been handed out, and again on each call until
  // the next start().
  std::optional<Batch> next();

 private:
  class Epoch;

  const ImageSet& set_;
  Normalizer normalizer_;
  std::vector<int> indices_;
  LoaderOptions options_;
  std::unique_ptr<Epoch> epoch_;
};

}  // namespace hinge::data
