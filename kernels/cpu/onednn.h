// What differs between oneDNN 2 and 3, in one place: how a convolution's primitive descriptor is made.
#pragma once

#include <dnnl.hpp>

namespace hinge::kernels::cpu {

struct ConvMemory {
  dnnl::memory::desc x, w, b, y;  // b may be a zero descriptor
  dnnl::memory::dims stride, padding;
};

inline dnnl::engine& onednn_engine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

inline dnnl::stream& onednn_stream() {
  static thread_local dnnl::stream stream(onednn_engine());
  return stream;
}

// The descriptors below are empty (operator bool is false) where oneDNN has no implementation.
inline dnnl::convolution_forward::primitive_desc forward_descriptor(const ConvMemory& m,
                                                                    dnnl::algorithm algorithm,
                                                                    dnnl::prop_kind kind,
                                                                    const dnnl::primitive_attr& attr) {
#if DNNL_VERSION_MAJOR >= 3
  return {onednn_engine(), kind, algorithm, m.x, m.w, m.b, m.y,
          m.stride, m.padding, m.padding, attr, true};
#else
  const auto make = [&]() -> dnnl::convolution_forward::desc {
    if (m.b.is_zero()) return {kind, algorithm, m.x, m.w, m.y, m.stride, m.padding, m.padding};
    return {kind, algorithm, m.x, m.w, m.b, m.y, m.stride, m.padding, m.padding};
  };
  return {make(), attr, onednn_engine(), true};
#endif
}

inline dnnl::convolution_backward_data::primitive_desc backward_data_descriptor(
    const ConvMemory& m, dnnl::algorithm algorithm,
    const dnnl::convolution_forward::primitive_desc& hint, const dnnl::primitive_attr& attr) {
#if DNNL_VERSION_MAJOR >= 3
  return {onednn_engine(), algorithm, m.x, m.w, m.y, m.stride, m.padding, m.padding,
          hint, attr, true};
#else
  dnnl::convolution_backward_data::desc desc(algorithm, m.x, m.w, m.y, m.stride, m.padding,
                                             m.padding);
  return {desc, attr, onednn_engine(), hint, true};
#endif
}

inline dnnl::convolution_backward_weights::primitive_desc backward_weights_descriptor(
    const ConvMemory& m, dnnl::algorithm algorithm,
    const dnnl::convolution_forward::primitive_desc& hint, const dnnl::primitive_attr& attr) {
#if DNNL_VERSION_MAJOR >= 3
  return {onednn_engine(), algorithm, m.x, m.w, m.b, m.y, m.stride, m.padding, m.padding,
          hint, attr, true};
#else
  using Backward = dnnl::convolution_backward_weights;
  const auto make = [&]() -> Backward::desc {
    if (m.b.is_zero()) return {algorithm, m.x, m.w, m.y, m.stride, m.padding, m.padding};
    return {algorithm, m.x, m.w, m.b, m.y, m.stride, m.padding, m.padding};
  };
  return {make(), attr, onednn_engine(), hint, true};
#endif
}

}  // namespace hinge::kernels::cpu
