// What belongs to the kernel alone: results that do not depend on the number of threads. Values and
// gradients are in tests/engine/ops/test_batch_norm.cpp.
#include "kernels/batch_norm.h"

#include <omp.h>

#include "engine/core/device.h"
#include "kernels/elementwise.h"
#include "kernels/registry.h"
#include "kernels/sgd.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/reference.h"

using namespace hinge;
using namespace hinge::testing;

namespace {

// The results of `run` with 1, 2, 3 and 5 threads must be equal to the byte.
template <class Run>
void check_threads(const Run& run) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const std::vector<Tensor> want = run();
  for (const int threads : {2, 3, 5}) {
    omp_set_num_threads(threads);
    const std::vector<Tensor> got = run();
    for (std::size_t i = 0; i < want.size(); ++i) {
      INFO("result " << i << " with " << threads << " threads");
      CHECK(same_bytes(got[i], want[i]));
    }
  }
  omp_set_num_threads(before);
}

}  // namespace

TEST_CASE("batch norm's results do not depend on the number of threads") {
  for (const auto& [rows, c] :
       {std::pair<std::int64_t, std::int64_t>{1, 1}, {31, 5}, {1000, 33}, {4097, 64}}) {
    for (const bool relu : {false, true}) {
      INFO(rows << " rows, " << c << " channels, relu " << relu);
      const kernels::BatchNormShape shape{rows, c, relu};
      const Tensor x = random_tensor({rows, c}, 1), z = random_tensor({rows, c}, 2),
                   dy = random_tensor({rows, c}, 3);
      const Tensor gamma = random_tensor({c}, 4), beta = random_tensor({c}, 5),
                   rstd = random_tensor({c}, 6, 0.5f, 2.0f);
      check_threads([&] {
        Tensor mean = Tensor::empty({c}), var = Tensor::empty({c}), y = Tensor::empty({rows, c});
        Tensor dx = Tensor::empty({rows, c}), dz = Tensor::empty({rows, c});
        Tensor dgamma = Tensor::empty({c}), dbeta = Tensor::empty({c});
        kernels::dispatch<kernels::BatchNormStatistics>(Stream(), shape, x.data(),
                                                        mean.mutable_data(), var.mutable_data());
        kernels::dispatch<kernels::BatchNormApply>(Stream(), shape, x.data(), gamma.data(),
                                                   beta.data(), z.data(), y.mutable_data());
        kernels::dispatch<kernels::BatchNormBackward>(
            Stream(), shape, dy.data(), x.data(), y.data(), mean.data(), rstd.data(), gamma.data(),
            true,
            kernels::BatchNormGradients{dx.mutable_data(), dz.mutable_data(), dgamma.mutable_data(),
                                        dbeta.mutable_data()});
        return std::vector{mean, var, y, dx, dz, dgamma, dbeta};
      });
    }
  }
}

TEST_CASE("applied in place, batch norm gives what it gives elsewhere") {
  const kernels::BatchNormShape shape{100, 33, true};
  const Tensor x = random_tensor({100, 33}, 1), scale = random_tensor({33}, 2),
               shift = random_tensor({33}, 3);
  Tensor apart = Tensor::empty({100, 33}), in_place = x.clone();
  const auto apply = [&](const float* from, Tensor& to) {
    kernels::dispatch<kernels::BatchNormApply>(Stream(), shape, from, scale.data(), shift.data(),
                                               static_cast<const float*>(nullptr),
                                               to.mutable_data());
  };
  apply(x.data(), apart);
  apply(in_place.data(), in_place);
  CHECK(same_bytes(apart, in_place));
}

TEST_CASE("gradients that are not wanted change nothing in those that are") {
  const kernels::BatchNormShape shape{100, 17, true};
  const Tensor x = random_tensor({100, 17}, 1), y = random_tensor({100, 17}, 2),
               dy = random_tensor({100, 17}, 3);
  const Tensor mean = random_tensor({17}, 4), rstd = random_tensor({17}, 5),
               gamma = random_tensor({17}, 6);
  const auto run = [&](bool wants_x, bool wants_z) {
    std::vector<Tensor> out = {Tensor::zeros({100, 17}), Tensor::zeros({100, 17}),
                               Tensor::zeros({17}), Tensor::zeros({17})};
    kernels::dispatch<kernels::BatchNormBackward>(
        Stream(), shape, dy.data(), x.data(), y.data(), mean.data(), rstd.data(), gamma.data(),
        true,
        kernels::BatchNormGradients{wants_x ? out[0].mutable_data() : nullptr,
                                    wants_z ? out[1].mutable_data() : nullptr,
                                    out[2].mutable_data(), out[3].mutable_data()});
    return out;
  };
  const auto all = run(true, true);
  for (const auto& [wants_x, wants_z] : {std::pair{true, false}, {false, true}, {false, false}}) {
    const auto some = run(wants_x, wants_z);
    CHECK(same_bytes(some[0], wants_x ? all[0] : Tensor::zeros({100, 17})));
    CHECK(same_bytes(some[1], wants_z ? all[1] : Tensor::zeros({100, 17})));
    CHECK(same_bytes(some[2], all[2]));
    CHECK(same_bytes(some[3], all[3]));
  }
}

TEST_CASE("sums, steps and masks do not depend on the number of threads") {
  const std::int64_t rows = 4097, c = 33, size = rows * c;
  const Tensor x = random_tensor({rows, c}, 1), gradient = random_tensor({rows, c}, 2);
  check_threads([&] {
    Tensor bias = Tensor::empty({c}), y = Tensor::empty({rows, c}),
           dropped = Tensor::empty({rows, c});
    Tensor weight = x.clone(), velocity = gradient.clone();
    kernels::dispatch<kernels::BiasBackward>(Stream(), rows, c, x.data(), bias.mutable_data());
    kernels::dispatch<kernels::BiasAdd>(Stream(), rows, c, x.data(), bias.data(), y.mutable_data());
    kernels::dispatch<kernels::Dropout>(Stream(), kernels::DropoutShape{size, 0.3f, 1, 2, 3},
                                        x.data(), dropped.mutable_data());
    kernels::dispatch<kernels::SgdStep>(
        Stream(), size, kernels::SgdOptions{.decay = 0.1f, .nesterov = true}, gradient.data(),
        velocity.mutable_data(), weight.mutable_data());
    return std::vector{bias, y, dropped, weight, velocity};
  });
}
