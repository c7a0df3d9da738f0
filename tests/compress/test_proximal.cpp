#include "compress/proximal.h"

#include <cmath>

#include "compress/lambda_control.h"
#include "compress/scale.h"
#include "compress/surgery.h"
#include "engine/optim/sgd.h"
#include "tests/support/catch.h"
#include "tests/support/random.h"
#include "tests/support/tiny.h"

using namespace hinge;
using namespace hinge::compress;

namespace {

struct Case {
  Structure structure;
  Network network;
  explicit Case(std::uint64_t seed, Mode mode = Mode::kDecompose)
      : structure(make_structure(testing::tiny_network(seed).graph(), {.mode = mode, .exclude = {}, .residual = false})),
        network(attach(testing::tiny_network(seed), structure.choice.attach, Initialisation::kSvd2).network) {}
  std::vector<Tensor> gradients(std::uint64_t seed) {
    std::vector<Tensor> result;
    for (Parameter* p : network.parameters()) result.push_back(testing::random_tensor(p->value.shape(), seed));
    return result;
  }
  std::unique_ptr<ProximalOptimizer> optimizer(const ProximalOptions& options, double lambda) {
    auto result = std::make_unique<ProximalOptimizer>(std::make_unique<Sgd>(SgdConfig{}), make_regularizer("l1"), penalised_sets(network, structure), options);
    result->set_gammas(mean_norms(result->sets(), Stream()));
    result->set_lambda(lambda);
    return result;
  }
};

bool same_values(const Network& a, const Network& b) {
  for (const auto& [name, tensor] : a.values()) {
    const Tensor other = b.value(name);
    if (!std::equal(tensor.values().begin(), tensor.values().end(), other.values().begin())) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("a proximal step is the nested step followed by the shrinkage with rate * lambda * gamma") {
  for (Mode mode : {Mode::kDecompose, Mode::kBoth}) {
    const Stream stream;
    Case a(1, mode), b(1, mode);
    const float rate = 0.05f;
    const double lambda = 0.7;
    auto proximal = a.optimizer({}, lambda);
    a.network.parameter(a.structure.pairs[0].pointwise + ".weight").rate_scale = 0.25f;
    b.network.parameter(b.structure.pairs[0].pointwise + ".weight").rate_scale = 0.25f;
    auto sets = penalised_sets(b.network, b.structure);
    const std::vector<double> gammas = mean_norms(sets, stream);
    proximal->step(a.network.parameters(), a.gradients(17), rate, stream);

    Sgd plain{SgdConfig{}};
    plain.step(b.network.parameters(), b.gradients(17), rate, stream);
    const auto regularizer = make_regularizer("l1");
    double penalty = 0.0;
    for (std::size_t i = 0; i < sets.size(); ++i) {
      const double scale = static_cast<double>(sets[i].parameters[0]->rate_scale);
      const std::vector<float> norms = regularizer->prox(sets[i].parts, static_cast<double>(rate) * scale * lambda * gammas[i], stream);
      penalty += gammas[i] * regularizer->penalty(std::span<const float>(norms));
    }
    CHECK(same_values(a.network, b.network));
    CHECK((std::abs(proximal->penalty() - penalty) <= 1e-13 * penalty));  // a compiler may join product and sum in one place and not in the other
    CHECK(penalty > 0.0);
  }
}

TEST_CASE("with the exact overlap, rows and columns of a matrix take the proximal step of both penalties at once") {
  Case a(5, Mode::kBoth), b(5, Mode::kBoth);
  auto exact = a.optimizer({.method = SparsityMethod::kProximal, .every = 1, .momentum = 0.9, .exact_overlap = true}, 8.0);
  auto sequential = b.optimizer({}, 8.0);
  exact->step(a.network.parameters(), a.gradients(8), 0.05f, Stream());
  sequential->step(b.network.parameters(), b.gradients(8), 0.05f, Stream());
  Case plain(5, Mode::kBoth);
  Sgd nested{SgdConfig{}};
  nested.step(plain.network.parameters(), plain.gradients(8), 0.05f, Stream());
  const auto sets = penalised_sets(plain.network, plain.structure);
  const auto objective = [&](const Network& network, const std::string& name, double rows_step, double columns_step) {
    const Tensor x = network.value(name), m = plain.network.value(name);
    const std::int64_t k = x.dim(0), rank = x.dim(3);
    std::vector<double> rows(static_cast<std::size_t>(rank), 0.0), columns(static_cast<std::size_t>(k), 0.0);
    double sum = 0.0;
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const double v = static_cast<double>(x.data()[i]);
      sum += 0.5 * std::pow(v - static_cast<double>(m.data()[i]), 2);
      rows[static_cast<std::size_t>(i % rank)] += v * v, columns[static_cast<std::size_t>(i / rank)] += v * v;
    }
    for (double r : rows) sum += rows_step * std::sqrt(r);
    for (double c : columns) sum += columns_step * std::sqrt(c);
    return sum;
  };
  int matrices = 0, better = 0;
  for (std::size_t s = 0; s + 1 < sets.size(); ++s) {
    const GroupSet &rows = a.structure.sets[s], &columns = a.structure.sets[s + 1];
    if (rows.layer != columns.layer) continue;
    const std::string name = rows.layer + ".1.weight";
    const double x = objective(a.network, name, 0.4 * exact->sets()[s].gamma, 0.4 * exact->sets()[s + 1].gamma);
    const double y = objective(b.network, name, 0.4 * exact->sets()[s].gamma, 0.4 * exact->sets()[s + 1].gamma);
    CHECK(x <= y * (1.0 + 1e-6));
    better += x < y * (1.0 - 1e-6) ? 1 : 0;
    ++matrices;
  }
  CHECK(matrices == 3);
  CHECK(better >= 1);
}

TEST_CASE("a proximal step every third step is three times as long") {
  Case a(2), b(2);
  auto every = a.optimizer({.method = SparsityMethod::kProximal, .every = 3, .momentum = 0.9}, 0.0);
  auto plain = b.optimizer({}, 0.0);
  for (int step = 1; step <= 3; ++step) {
    if (step == 3) every->set_lambda(0.1), plain->set_lambda(0.3);
    every->step(a.network.parameters(), a.gradients(3), 0.05f, Stream());
    plain->step(b.network.parameters(), b.gradients(3), 0.05f, Stream());
  }
  for (std::size_t s = 0; s < a.structure.sets.size(); ++s) {
    const auto x = group_norms(every->sets()[s].parts, Stream()), y = group_norms(plain->sets()[s].parts, Stream());
    for (std::size_t g = 0; g < x.size(); ++g) CHECK((std::abs(x[g] - y[g]) <= 1e-5f * (1.0f + y[g])));
  }
}

TEST_CASE("the accelerated form extrapolates living groups and leaves empty ones empty; its state can be restored") {
  Case a(3), b(3);
  auto first = a.optimizer({.method = SparsityMethod::kAccelerated, .every = 1, .momentum = 0.9}, 8.0);
  Case start(3);
  first->step(a.network.parameters(), a.gradients(4), 0.1f, Stream());
  auto once = b.optimizer({}, 8.0);
  once->step(b.network.parameters(), b.gradients(4), 0.1f, Stream());
  int empty = 0;
  for (const FactorPair& pair : a.structure.pairs) {
    const std::string name = pair.pointwise + ".weight";
    const Tensor x = a.network.value(name), plain = b.network.value(name), before = start.network.value(name);
    for (std::int64_t i = 0; i < x.size(); ++i) {
      // v = prox - before; A = prox + mu v, unless prox is 0.
      const float p = plain.data()[i], expected = p == 0.0f ? 0.0f : p + 0.9f * (p - before.data()[i]);
      CHECK((std::abs(x.data()[i] - expected) <= 1e-6f * (1.0f + std::abs(expected))));
      empty += p == 0.0f ? 1 : 0;
    }
  }
  CHECK(empty > 0);

  std::map<std::string, Tensor> saved;
  for (const auto& [name, tensor] : first->state()) saved.emplace(name, tensor.clone());
  Network copy = a.network.clone();
  first->step(a.network.parameters(), a.gradients(5), 0.1f, Stream());
  Case resumed(3);
  resumed.network.set_values(copy.values());
  auto second = resumed.optimizer({.method = SparsityMethod::kAccelerated, .every = 1, .momentum = 0.9}, 8.0);
  std::vector<double> gammas;
  for (const auto& set : first->sets()) gammas.push_back(set.gamma);
  second->set_gammas(gammas);
  second->restore(saved);
  second->step(resumed.network.parameters(), resumed.gradients(5), 0.1f, Stream());
  CHECK(same_values(a.network, resumed.network));
}

TEST_CASE("the subgradient form adds lambda gamma a / n to the gradient of every group, and empties none") {
  Case a(4), b(4);
  auto optimizer = a.optimizer({.method = SparsityMethod::kSubgradient, .every = 1, .momentum = 0.9}, 0.3);
  const auto gradients = a.gradients(6);
  optimizer->step(a.network.parameters(), gradients, 0.1f, Stream());
  auto expected = b.gradients(6);
  const auto parameters = b.network.parameters();
  for (const FactorPair& pair : b.structure.pairs) {
    const auto index = static_cast<std::size_t>(std::ranges::find_if(parameters, [&](Parameter* p) { return p->name == pair.pointwise + ".weight"; }) - parameters.begin());
    const Tensor w = parameters[index]->value;  // [K, 1, 1, rank]
    const std::int64_t rank = w.dim(3);
    double mean = 0.0;
    std::vector<double> norms(static_cast<std::size_t>(rank), 0.0);
    for (std::int64_t i = 0; i < w.size(); ++i) norms[static_cast<std::size_t>(i % rank)] += std::pow(static_cast<double>(w.data()[i]), 2);
    for (double& n : norms) n = std::sqrt(n), mean += n / static_cast<double>(rank);
    for (std::int64_t i = 0; i < w.size(); ++i) {
      expected[index].mutable_data()[i] += static_cast<float>(0.3 * mean * static_cast<double>(w.data()[i]) / norms[static_cast<std::size_t>(i % rank)]);
    }
  }
  Sgd plain{SgdConfig{}};
  plain.step(b.network.parameters(), expected, 0.1f, Stream());
  for (Parameter* p : a.network.parameters()) {
    const Tensor other = b.network.value(p->name);
    for (std::int64_t i = 0; i < other.size(); ++i) CHECK((std::abs(p->value.data()[i] - other.data()[i]) <= 1e-5f));
  }
  for (const auto& tensor : gradients) CHECK(tensor.size() > 0);  // the caller's gradients are not written to
  CHECK(std::equal(gradients[0].values().begin(), gradients[0].values().end(), a.gradients(6)[0].values().begin()));
}

TEST_CASE("the groups of a pair are the rows of A, those of channels its columns") {
  Case c(2, Mode::kBoth);
  const auto sets = penalised_sets(c.network, c.structure);
  for (std::size_t s = 0; s < sets.size(); ++s) {
    const GroupSet& set = c.structure.sets[s];
    if (set.layer != "layer1.0.conv1") continue;
    const std::vector<float> norms = group_norms(sets[s].parts, Stream());
    const Tensor w = c.network.value("layer1.0.conv1.1.weight");  // [K, 1, 1, rank]
    const bool rows = set.kind == GroupSet::Kind::kRows;
    const std::int64_t k = w.dim(0), rank = w.dim(3);
    for (std::int64_t g = 0; g < (rows ? rank : k); ++g) {
      double squares = 0.0;
      for (std::int64_t i = 0; i < (rows ? k : rank); ++i) squares += std::pow(static_cast<double>(w.data()[rows ? i * rank + g : g * rank + i]), 2);
      CHECK((std::abs(std::sqrt(squares) - static_cast<double>(norms[static_cast<std::size_t>(g)])) <= 1e-5));
    }
  }
}

TEST_CASE("restoring the scale brings the norm back and keeps the function") {
  for (Mode mode : {Mode::kDecompose, Mode::kBoth, Mode::kPrune}) {
    Case c(7, mode);
    const ScaleKeeper keeper(c.structure, c.network);
    CHECK(keeper.norms().size() == c.structure.choice.attach.size());
    Network shrunken = c.network.clone();
    for (const auto& [name, norm] : keeper.norms()) {
      Tensor& w = shrunken.parameter(name + ".weight").value;
      for (std::int64_t i = 0; i < w.size(); ++i) w.mutable_data()[i] *= 0.3f;
      const GraphNode& reader = c.structure.attached.at(consumers_of(c.structure.attached)[static_cast<std::size_t>(c.structure.attached.find(name))][0]);
      for (const char* buffer : {".running_mean", ".running_var"}) {
        Tensor& t = shrunken.buffer(reader.name + buffer).value;
        for (std::int64_t i = 0; i < t.size(); ++i) t.mutable_data()[i] *= buffer == std::string(".running_var") ? 0.09f : 0.3f;
      }
    }
    Network before = shrunken.clone();
    keeper.restore(shrunken);
    for (const auto& [name, norm] : keeper.norms()) CHECK((std::abs(frobenius_norm(shrunken.value(name + ".weight")) - norm) <= 1e-5 * norm));
    Proof proof;
    extend_proof(proof, before, shrunken, testing::random_tensor({4, 32, 32, 3}, 5), Stream());
    CHECK(proof.relative() <= 1e-3);  // BatchNorm's epsilon is not scaled along
  }
}

TEST_CASE("the control brings the network to the target at the search's end, whether a loss pulls the groups back or not") {
  // The loss is a spring to where each weight began; at 3 it undoes in a third of the search what shrinks freely.
  for (double pull : {0.0, 3.0}) {
    for (double target : {0.8, 0.5, 0.35}) {
      for (std::int64_t steps : {200, 2000}) {
        INFO("pull " << pull << " target " << target << " steps " << steps);
        Case c(3);
        const Budget budget(c.structure);
        const ScaleKeeper scale(c.structure, c.network);
        const double rate = 0.02;
        const std::int64_t look = steps / 100;
        LambdaControl control({.target = {.count = Count::kMacs, .flops = target, .parameters = {}, .bytes = {}}, .rate = rate, .steps = steps, .selection = {}, .check_every = look});
        auto sets = penalised_sets(c.network, c.structure);
        std::map<std::string, Tensor> start;
        for (const auto& [name, value] : c.network.values()) start.emplace(name, value.clone());
        const auto regularizer = make_regularizer("l1");
        double lambda = 0.0;
        std::int64_t step = 0;
        for (;; ++step) {
          if (step % look == 0) {
            scale.restore(c.network);
            const auto gammas = mean_norms(sets, Stream());
            for (std::size_t i = 0; i < sets.size(); ++i) sets[i].gamma = gammas[i];
            lambda = control.update(step, budget, group_scores(sets, Stream()));
            CHECK(lambda >= 0.0);
            CHECK(std::isfinite(lambda));
            if (control.progress() >= 1.0 || step == steps) break;
          }
          for (auto& set : sets) {
            for (Parameter* parameter : set.parameters) {
              const float* from = start.at(parameter->name).data();
              float* to = parameter->value.mutable_data();
              for (std::int64_t i = 0; i < parameter->value.size(); ++i) to[i] += static_cast<float>(pull / static_cast<double>(steps)) * (from[i] - to[i]);
            }
            regularizer->prox(set.parts, rate * lambda * set.gamma, Stream());
          }
        }
        CHECK(control.progress() >= 0.95);
        CHECK(step >= steps * 6 / 10);  // neither late nor in a hurry
      }
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
