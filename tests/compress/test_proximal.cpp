#include "compress/proximal.h"

#include <cmath>

#include "compress/lambda_control.h"
#include "engine/optim/sgd.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/tiny.h"

using namespace hinge;
using namespace hinge::compress;

TEST_CASE("a proximal step is the nested step followed by the shrinkage with rate * lambda * gamma") {
  const Stream stream;
  const Network network = testing::tiny_network(1);
  Attached a = attach(network, attachable_layers(network.graph()), Initialisation::kSvd2);
  Attached b = attach(network, attachable_layers(network.graph()), Initialisation::kSvd2);
  const float rate = 0.05f;
  const double lambda = 0.7;
  std::vector<Tensor> gradients;
  for (Parameter* p : a.network.parameters()) gradients.push_back(testing::random_tensor(p->value.shape(), 17));

  ProximalOptimizer proximal(std::make_unique<Sgd>(SgdConfig{}), make_regularizer("l1"), row_groups(a.network, a.pairs));
  proximal.set_gammas(mean_norms(proximal.sets(), stream));
  proximal.set_lambda(lambda);
  a.network.parameter(a.pairs[0].pointwise + ".weight").rate_scale = 0.25f;
  b.network.parameter(b.pairs[0].pointwise + ".weight").rate_scale = 0.25f;
  const std::vector<double> gammas = mean_norms(row_groups(b.network, b.pairs), stream);
  const auto parameters = a.network.parameters();
  proximal.step(parameters, gradients, rate, stream);

  Sgd plain{SgdConfig{}};
  plain.step(b.network.parameters(), gradients, rate, stream);
  const auto regularizer = make_regularizer("l1");
  const auto sets = row_groups(b.network, b.pairs);
  for (std::size_t i = 0; i < sets.size(); ++i) {
    const double scale = static_cast<double>(sets[i].parameter->rate_scale);
    regularizer->prox(sets[i].view(), static_cast<double>(rate) * scale * lambda * gammas[i], stream);
  }
  for (Parameter* p : a.network.parameters()) {
    const Tensor& other = b.network.parameter(p->name).value;
    CHECK(std::equal(p->value.values().begin(), p->value.values().end(), other.values().begin()));
  }
  CHECK(proximal.penalty() > 0.0);
}

TEST_CASE("the groups of a pair are the rows of A: one input channel of the pointwise filters each") {
  const Network network = testing::tiny_network(2);
  Attached a = attach(network, {"layer1.0.conv1"}, Initialisation::kSvd2);
  auto sets = row_groups(a.network, a.pairs);
  const std::vector<float> norms = group_norms(sets[0].view(), Stream());
  const Tensor& w = a.network.parameter("layer1.0.conv1.1.weight").value;  // [K, 1, 1, rank]
  for (std::int64_t row = 0; row < w.dim(3); ++row) {
    double squares = 0.0;
    for (std::int64_t k = 0; k < w.dim(0); ++k) squares += std::pow(static_cast<double>(w.data()[k * w.dim(3) + row]), 2);
    CHECK((std::abs(std::sqrt(squares) - static_cast<double>(norms[static_cast<std::size_t>(row)])) <= 1e-5));
  }
}

TEST_CASE("the control brings scores without a loss to the target by the end of the search") {
  // Only the proximal step acts: the planned curve must be met from the dynamics alone, whatever the rate and length.
  const Network network = testing::tiny_network(3);
  for (double target : {0.8, 0.5, 0.3}) {
    for (std::int64_t steps : {400, 2000}) {
      INFO("target " << target << " steps " << steps);
      Attached a = attach(network, attachable_layers(network.graph()), Initialisation::kSvd2);
      const Budget budget(network.graph(), a.network.graph(), a.pairs, Count::kMacs);
      const double rate = 0.02;
      LambdaControl control({.target = target, .rate = rate, .steps = steps});
      auto sets = row_groups(a.network, a.pairs);
      const auto regularizer = make_regularizer("l1");
      double lambda = 0.0;
      bool early = false;
      for (std::int64_t step = 0; step < steps && !early; ++step) {
        if (step % 20 == 0) {
          const auto gammas = mean_norms(sets, Stream());
          for (std::size_t i = 0; i < sets.size(); ++i) sets[i].gamma = gammas[i];
          lambda = control.update(step, budget, group_scores(sets, Stream()));
          CHECK(lambda >= 0.0);
          CHECK(std::isfinite(lambda));
          early = control.ratio() <= target;
        }
        for (auto& set : sets) regularizer->prox(set.view(), rate * lambda * set.gamma, Stream());
      }
      CHECK(control.ratio() <= target + 0.1);
    }
  }
}

TEST_CASE("annealing divides lambda below each threshold") {
  const LambdaAnnealing annealing{.lambda = 8.0, .factor = 2.0, .t1 = 10.0, .t2 = 5.0};
  CHECK(annealing.at(10.1) == 8.0);
  CHECK(annealing.at(10.0) == 4.0);
  CHECK(annealing.at(5.1) == 4.0);
  CHECK(annealing.at(5.0) == 2.0);
}

TEST_CASE("the rate balance is clamped, smoothed and survives 0/0") {
  RateBalance balance;
  CHECK(balance.update(0.0, 0.0) == 1.0);
  CHECK(balance.update(1.0, 1.0) == 1.0);
  balance.update(1e9, 1.0);
  CHECK(balance.ratio() == 9.0 / 5.0);
  for (int i = 0; i < 5; ++i) balance.update(0.0, 1.0);
  CHECK(balance.ratio() == 5.0 / 9.0);
  RateBalance fresh;
  CHECK(fresh.update(1.2, 1.0) == testing::Approx(std::pow(0.1 + 0.9 * 1.2, 1.35)));
}
