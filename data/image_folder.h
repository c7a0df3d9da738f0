// Folders of pictures: DIR/train/CLASS/*.jpg and DIR/test/CLASS/*.jpg (or val), as torchvision's ImageFolder has them.
//
//   classes   the folders' names, sorted; the label is the place in that order
//   files     .jpg, .jpeg and .png, in either case; other files are passed over, hidden ones too
//   order     by a hash of "CLASS/FILE": the last images, which are held out, are of all classes, and a file more or less
//             doesn't move the others
//   packed    DIR may be what 'hinge pack' made of such a folder (shards.h): the same images in the same order
//   pixels    test: shorter side to `resize`, centre crop; training: random box to size x size, mirrored by the loader
//
// Only names are kept in memory; the loader's threads decode. Before that every picture is decoded once, so that a
// broken one is known by name before anything is trained, and the colour statistics are measured.
#pragma once

#include "data/dataset.h"

namespace hinge::data {

// Throws Error, naming the folder or file, where something is missing, where a class of the test images has no training
// images, where a class has no image, or where pictures are broken (unless they are skipped); UsageError on options that
// contradict each other.
// Pictures of shards were whole when they were packed: they are decoded once for their colours alone.
Dataset load_image_folder(const std::filesystem::path& dir, const FolderOptions& options);

// With what is left open filled in; UsageError as above.
FolderOptions checked(FolderOptions options);

}  // namespace hinge::data
