#include "engine/ops/pooling.h"

#include "engine/autograd/element_type.h"
#include "kernels/pooling.h"
#include "kernels/registry.h"

namespace hinge {
namespace {

void require_picture(const char* op, const Tensor& x) {
  require(x.shape().rank() == 4, "{}: x is {}, expected [N, H, W, C]", op, x.shape());
}

Tensor pool(const char* name, kernels::PoolKind kind, const Tensor& x, const PoolOptions& options,
            const Stream& stream) {
  require_picture(name, x);
  require(options.window >= 1 && options.stride >= 1 && options.padding >= 0 &&
              2 * options.padding <= options.window,
          "{}: window {}, stride {}, padding {}: out of range", name, options.window,
          options.stride, options.padding);
  const kernels::PoolShape shape{.n = x.dim(0),
                                 .h = x.dim(1),
                                 .w = x.dim(2),
                                 .c = x.dim(3),
                                 .window = options.window,
                                 .stride = options.stride,
                                 .padding = options.padding,
                                 .kind = kind};
  require(shape.h + 2 * shape.padding >= shape.window && shape.w + 2 * shape.padding >= shape.window,
          "{}: window {} is larger than the padded {}x{} input", name, shape.window,
          shape.h + 2 * shape.padding, shape.w + 2 * shape.padding);
  Tensor y = Tensor::empty({shape.n, shape.p(), shape.q(), shape.c}, x.dtype(), stream.device());
  by_element_type(x, [&]<class T>(T) { kernels::dispatch<kernels::PoolForwardOf<T>>(stream, shape, x.data<T>(), y.mutable_data<T>()); });

  const bool is_max = kind == kernels::PoolKind::kMax;
  return record(name, {x}, y,
                [shape, x = is_max ? x.detached() : Tensor(), y = is_max ? y : Tensor()](
                    const Tensor& dy, const Stream& on) -> Gradients {
                  Tensor dx = Tensor::empty({shape.n, shape.h, shape.w, shape.c}, dy.dtype(),
                                            on.device());
                  by_element_type(dy, [&]<class T>(T) {
                    kernels::dispatch<kernels::PoolBackwardOf<T>>(on, shape, dy.data<T>(), x.defined() ? x.data<T>() : nullptr, y.defined() ? y.data<T>() : nullptr, dx.mutable_data<T>());
                  });
                  return {dx};
                });
}

// Copies channels [first, first + count) of source into target at `target_first`.
void copy_channels(const Tensor& source, std::int64_t source_first, Tensor& target,
                   std::int64_t target_first, std::int64_t count, const Stream& stream) {
  const std::int64_t source_c = source.dim(3), target_c = target.dim(3);
  const kernels::ChannelCopyShape shape{.rows = source.dim(0) * source.dim(1) * source.dim(2),
                                        .count = count,
                                        .source_c = source_c,
                                        .source_first = source_first,
                                        .target_c = target_c,
                                        .target_first = target_first};
  by_element_type(source, [&]<class T>(T) { kernels::dispatch<kernels::ChannelCopyOf<T>>(stream, shape, source.data<T>(), target.mutable_data<T>()); });
}

}  // namespace

Tensor max_pool(const Tensor& x, const PoolOptions& options, const Stream& stream) {
  return pool("max_pool", kernels::PoolKind::kMax, x, options, stream);
}

Tensor average_pool(const Tensor& x, const PoolOptions& options, const Stream& stream) {
  return pool("average_pool", kernels::PoolKind::kAverage, x, options, stream);
}

Tensor global_average_pool(const Tensor& x, const Stream& stream) {
  require_picture("global_average_pool", x);
  require(x.dim(1) == x.dim(2), "global_average_pool: picture is {}x{}, expected a square",
          x.dim(1), x.dim(2));
  const int size = static_cast<int>(x.dim(1));
  return pool("global_average_pool", kernels::PoolKind::kAverage, x, {.window = size, .stride = size},
              stream);
}

Tensor shortcut_a(const Tensor& x, const ShortcutOptions& options, const Stream& stream) {
  require_picture("shortcut_a", x);
  require(options.before >= 0 && options.after >= 0, "shortcut_a: negative padding {}, {}",
          options.before, options.after);
  const kernels::ShortcutShape shape{.n = x.dim(0),
                                     .h = x.dim(1),
                                     .w = x.dim(2),
                                     .c = x.dim(3),
                                     .before = options.before,
                                     .after = options.after,
                                     .pool = options.pool};
  Tensor y = Tensor::empty({shape.n, shape.p(), shape.q(), shape.k()}, x.dtype(), stream.device());
  by_element_type(x, [&]<class T>(T) { kernels::dispatch<kernels::ShortcutForwardOf<T>>(stream, shape, x.data<T>(), y.mutable_data<T>()); });

  return record("shortcut_a", {x}, y, [shape](const Tensor& dy, const Stream& on) -> Gradients {
    Tensor dx = Tensor::empty({shape.n, shape.h, shape.w, shape.c}, dy.dtype(), on.device());
    by_element_type(dy, [&]<class T>(T) { kernels::dispatch<kernels::ShortcutBackwardOf<T>>(on, shape, dy.data<T>(), dx.mutable_data<T>()); });
    return {dx};
  });
}

Tensor concat(std::span<const Tensor> parts, const Stream& stream) {
  require(!parts.empty(), "concat: no inputs");
  std::int64_t channels = 0;
  for (const Tensor& part : parts) {
    require_picture("concat", part);
    require(part.dim(0) == parts[0].dim(0) && part.dim(1) == parts[0].dim(1) &&
                part.dim(2) == parts[0].dim(2),
            "concat: {} and {} differ in more than channels", parts[0].shape(), part.shape());
    channels += part.dim(3);
  }
  Tensor y = Tensor::empty({parts[0].dim(0), parts[0].dim(1), parts[0].dim(2), channels},
                           parts[0].dtype(), stream.device());
  std::vector<std::int64_t> counts;
  std::int64_t first = 0;
  for (const Tensor& part : parts) {
    copy_channels(part, 0, y, first, part.dim(3), stream);
    counts.push_back(part.dim(3));
    first += part.dim(3);
  }

  return record("concat", parts, y, [counts](const Tensor& dy, const Stream& on) -> Gradients {
    Gradients result;
    std::int64_t offset = 0;
    for (std::int64_t count : counts) {
      Tensor dx = Tensor::empty({dy.dim(0), dy.dim(1), dy.dim(2), count}, dy.dtype(), on.device());
      copy_channels(dy, offset, dx, 0, count, on);
      result.push_back(dx);
      offset += count;
    }
    return result;
  });
}

Tensor flatten(const Tensor& x, const Stream& stream) {
  require_picture("flatten", x);
  const std::int64_t n = x.dim(0), pixels = x.dim(1) * x.dim(2), c = x.dim(3);
  Tensor y = Tensor::empty({n, c * pixels}, x.dtype(), stream.device());
  kernels::dispatch<kernels::Transpose>(stream, kernels::TransposeShape{n, pixels, c}, x.data(),
                                        y.mutable_data());

  return record("flatten", {x}, y,
                [n, pixels, c, shape = x.shape()](const Tensor& dy, const Stream& on) -> Gradients {
                  Tensor dx = Tensor::empty(shape, dy.dtype(), on.device());
                  kernels::dispatch<kernels::Transpose>(on, kernels::TransposeShape{n, c, pixels},
                                                        dy.data(), dx.mutable_data());
                  return {dx};
                });
}

}  // namespace hinge
