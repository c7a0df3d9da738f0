// The pixels of listed pictures, each decoded when it is asked for, and no more of it than the crop needs.
//
//   evaluation   the rows and columns of the middle; every pixel is what decoding the whole picture gives
//   training     the random box; where it is twice as large as the output or more it is decoded at a half, a quarter or an eighth
#pragma once

#include <memory>

#include "data/dataset.h"
#include "data/picture_list.h"

namespace hinge::data {

std::shared_ptr<const PixelSource> make_pixel_source(PictureList list, const FolderOptions& options);

}  // namespace hinge::data
