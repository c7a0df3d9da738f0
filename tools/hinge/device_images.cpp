#include "tools/hinge/device_images.h"

#include "kernels/augment.h"
#include "kernels/registry.h"

namespace hinge::cli {

DeviceImages::DeviceImages(const data::ImageSet& set, const data::Normalization& normalization, const Stream& stream)
    : stream_(stream), h_(set.height), w_(set.width), c_(set.channels) {
  pixels_ = Tensor::from<std::uint8_t>({static_cast<std::int64_t>(set.pixels.size())}, set.pixels).to(stream.device());
  const data::Normalizer normalizer(normalization);
  std::vector<float> table;
  for (int c = 0; c < normalizer.channels(); ++c) table.insert(table.end(), normalizer.table(c).begin(), normalizer.table(c).end());
  table_ = Tensor::from({c_, 256}, table).to(stream.device());
}

Tensor DeviceImages::batch(const std::vector<int>& indices, bool augment, const data::AugmentOptions& options, std::uint64_t epoch) {
  const auto n = static_cast<std::int64_t>(indices.size());
  const Tensor which = Tensor::from<std::int32_t>({n}, std::vector<std::int32_t>(indices.begin(), indices.end())).to(stream_.device());
  Tensor images = Tensor::empty({n, h_, w_, c_}, DType::kFloat32, stream_.device());
  kernels::dispatch<kernels::AugmentImages>(
      stream_,
      kernels::AugmentShape{.n = n, .h = h_, .w = w_, .c = c_, .padding = augment ? options.padding : 0, .flip = augment && options.flip, .seed = options.seed, .epoch = epoch},
      pixels_.data<std::uint8_t>(), which.data<std::int32_t>(), table_.data(), images.mutable_data());
  return images;
}

}  // namespace hinge::cli
