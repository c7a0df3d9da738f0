#include "engine/autograd/backward.h"

#include <map>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "engine/autograd/element_type.h"
#include "kernels/elementwise.h"
#include "kernels/registry.h"

namespace hinge {
namespace {

// a + b, into a's buffer where nobody else holds it.
Tensor sum(Tensor a, const Tensor& b, const Stream& stream) {
  Tensor result = a.unique() ? a : Tensor::empty(a.shape(), a.dtype(), a.device());
  by_element_type(result, [&]<class T>(T) { kernels::dispatch<kernels::AddOf<T>>(stream, result.size(), a.data<T>(), b.data<T>(), result.mutable_data<T>()); });
  return result;
}

// A node that has run looks like a leaf but for its name.
bool is_leaf(const Node& node) { return node.name == kLeafName; }

// How often each leaf is an input of what leads to `root`.
std::unordered_map<const Node*, int> uses_of_leaves(const Node& root) {
  std::unordered_map<const Node*, int> uses;
  std::unordered_set<const Node*> seen = {&root};
  for (std::vector<const Node*> left = {&root}; !left.empty();) {
    const Node& node = *left.back();
    left.pop_back();
    for (const NodePtr& input : node.inputs) {
      if (!input) continue;
      if (is_leaf(*input)) {
        ++uses[input.get()];
      } else if (seen.insert(input.get()).second) {
        left.push_back(input.get());
      }
    }
  }
  return uses;
}

}  // namespace

std::vector<Tensor> gradients(const Tensor& loss, std::span<const Tensor> leaves, const Stream& stream) {
  return gradients(loss, leaves, BackwardOptions{}, stream);
}

std::vector<Tensor> gradients(const Tensor& loss, std::span<const Tensor> leaves, const BackwardOptions& options, const Stream& stream) {
  require(loss.size() == 1, "gradients: the loss has shape {}, expected one element", loss.shape());
  require(wants_gradient(loss), "gradients: the loss has no history (were gradients switched off?)");
  for (const Tensor& leaf : leaves) {
    require(wants_gradient(leaf) && is_leaf(*leaf.node()),
            "gradients: asked for a tensor of shape {} that is not a leaf", leaf.shape());
  }

  // Nodes still to run, the latest first: every consumer of a node has a higher order than the node itself.
  std::map<std::uint64_t, std::pair<NodePtr, Tensor>, std::greater<>> pending;
  std::unordered_map<const Node*, Tensor> of_leaf;
  pending.emplace(loss.node()->order, std::pair{loss.node(), Tensor::full(loss.shape(), options.seed, stream.device())});
  std::unordered_map<const Node*, int> uses;
  std::unordered_map<const Node*, std::size_t> number;
  if (options.ready) {
    uses = uses_of_leaves(*loss.node());
    for (std::size_t i = 0; i < leaves.size(); ++i) number.emplace(leaves[i].node().get(), i);
  }
  // A leaf with no more uses to come; its gradient waits in `pending` until all operations have run.
  const auto used = [&](const Node* leaf) {
    const auto of = number.find(leaf);
    if (--uses[leaf] > 0 || of == number.end()) return;
    const auto place = pending.find(leaf->order);
    if (place != pending.end()) options.ready(of->second, place->second.second);
  };

  while (!pending.empty()) {
    auto [node, dy] = std::move(pending.begin()->second);
    pending.erase(pending.begin());
    if (!node->backward) {
      require(is_leaf(*node), "gradients: the history behind '{}' was used up by an earlier call",
              node->name);
      of_leaf.emplace(node.get(), std::move(dy));
      continue;
    }
    Gradients input_gradients = node->backward(dy, stream);
    dy = Tensor();
    node->backward = nullptr;  // frees the saved activations
    require(input_gradients.size() == node->inputs.size(), "{}: {} gradients for {} inputs",
            node->name, input_gradients.size(), node->inputs.size());
    for (std::size_t i = 0; i < input_gradients.size(); ++i) {
      const NodePtr& input = node->inputs[i];
      if (!input) continue;
      if (!input_gradients[i].defined()) {
        if (options.ready && is_leaf(*input)) used(input.get());
        continue;
      }
      Tensor gradient = std::move(input_gradients[i]);
      auto [place, is_new] = pending.try_emplace(input->order, input, Tensor());
      Tensor& total = place->second.second;
      total = is_new ? std::move(gradient) : sum(std::exchange(total, Tensor()), gradient, stream);
      if (options.ready && is_leaf(*input)) used(input.get());
    }
    node->inputs.clear();
  }

  std::vector<Tensor> result;
  result.reserve(leaves.size());
  for (const Tensor& leaf : leaves) {
    auto found = of_leaf.find(leaf.node().get());
    result.push_back(found == of_leaf.end() ? Tensor::zeros(leaf.shape(), leaf.dtype(), leaf.device())
                                            : found->second);
  }
  return result;
}

}  // namespace hinge
