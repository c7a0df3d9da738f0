// CIFAR's binary files. The first byte of the input says which of the two layouts is meant; the rest is every file of it.
#include "data/cifar.h"

#include "tests/fuzz/target.h"

using namespace hinge;
using namespace hinge::fuzz;

// Five training files and a test file of the input's size, and a buffer for reading.
HINGE_FUZZ_TARGET(cifar, "cifar", kMiB, 16) {
  if (bytes.empty()) return;
  const bool hundred = bytes[0] & 1, with_names = bytes[0] & 2;
  bytes.remove_prefix(1);
  if (with_names) file_of(bytes, hundred ? "fine_label_names.txt" : "batches.meta.txt");
  if (hundred) {
    file_of(bytes, "train.bin"), file_of(bytes, "test.bin");
  } else {
    for (int i = 1; i <= 5; ++i) file_of(bytes, "data_batch_" + std::to_string(i) + ".bin");
    file_of(bytes, "test_batch.bin");
  }
  const data::Dataset set = hundred ? data::load_cifar100(folder()) : data::load_cifar10(folder());
  for (const data::ImageSet* part : {&set.train, &set.test}) {
    promise(part->pixels.size() == part->labels.size() * part->image_bytes(), "an image has a label and 3072 bytes");
    for (int label : part->labels) promise(label >= 0 && label < part->classes, "a label is a class");
  }
}
