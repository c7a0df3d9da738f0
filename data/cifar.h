// CIFAR-10 and CIFAR-100 in their official binary layout.
//
//   CIFAR-10 record:   label                 then 3 planes (R, G, B) of 32 x 32 bytes     1 + 3072
//   bytes CIFAR-100 record:  coarse label, label   then the same planes                         2 +
//   3072 bytes
//
// The planes [C, H, W] become pixels [H, W, C]. For CIFAR-100 the fine label is the label; the
// coarse one is checked and dropped. A file may hold any number of whole records above zero, so
// that tests can be small.
//
// `dir` is the folder that holds cifar-10-batches-bin/ (cifar-100-binary/), or that folder itself.
// Files:
//
//   CIFAR-10    data_batch_1.bin .. data_batch_5.bin, test_batch.bin   optional: batches.meta.txt
//   CIFAR-100   train.bin, test.bin                                    optional:
//   fine_label_names.txt
//
// The two loaders leave `fingerprint` empty; load_dataset (dataset.h) fills it in.
#pragma once

#include <filesystem>

#include "data/dataset.h"

namespace hinge::data {

Dataset load_cifar10(const std::filesystem::path& dir);
Dataset load_cifar100(const std::filesystem::path& dir);

}  // namespace hinge::data
