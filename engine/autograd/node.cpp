#include "engine/autograd/node.h"

#include <algorithm>
#include <atomic>

namespace hinge {
namespace {

thread_local bool g_enabled = true;
std::atomic<std::uint64_t> g_next_order{1};

}  // namespace

Tensor record(std::string_view name, std::span<const Tensor> inputs, const Tensor& output,
              BackwardFunction backward) {
  if (!g_enabled || std::ranges::none_of(inputs, wants_gradient)) return output.detached();
  auto node = std::make_shared<Node>();
  node->order = g_next_order++;
  node->name = name;
  for (const Tensor& input : inputs) node->inputs.push_back(input.node());
  node->backward = std::move(backward);
  return output.with_node(std::move(node));
}

Tensor make_leaf(const Tensor& value) {
  auto node = std::make_shared<Node>();
  node->order = g_next_order++;
  node->name = kLeafName;
  return value.with_node(std::move(node));
}

NoGradients::NoGradients() : before_(g_enabled) { g_enabled = false; }
NoGradients::~NoGradients() { g_enabled = before_; }
bool gradients_enabled() { return g_enabled; }

}  // namespace hinge
