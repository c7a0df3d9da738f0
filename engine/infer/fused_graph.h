// Deciding: which operations of a graph run as one.
//
//   conv or linear (+ ReLU + 1x1 conv) + add + ReLU        one step; the two convolutions of a low-rank pair are one
//   BatchNorm that could not be folded + add + ReLU        one step
//   add + ReLU                                             one step
//   dropout, and flatten where there is one pixel          no step: another name for the same values
#pragma once

#include <string>
#include <vector>

#include "engine/graph/graph.h"
#include "kernels/clamp.h"

namespace hinge {

// What is done to a value before it is written.
struct FusedRelu {
  bool on = false;
  float ceiling = 0.0f;  // 0: none
  bool operator==(const FusedRelu&) const = default;
};

struct FusedStep {
  int operation = 0;        // the node that says what to do
  int tail = -1;            // the 1x1 convolution behind it, done at once
  int value = 0;            // the node whose value it makes
  std::vector<int> inputs;  // whose values it reads; all made by earlier steps
  int residual = -1;        // whose value is added, or none
  FusedRelu inner, outer;   // before the tail; at the end
  bool operator==(const FusedStep&) const = default;
};

struct FusedGraph {
  std::vector<FusedStep> steps;
  std::vector<int> outputs;  // whose values they are, in the order of graph.outputs()
};

FusedGraph fuse(const Graph& graph);

// What it does, by the names of its nodes: "conv1.0 + conv1.1 + add + relu".
std::string name_of(const FusedStep& step, const Graph& graph);

// The same in the kernels' words.
kernels::Clamp clamp_of(const FusedRelu& relu);

}  // namespace hinge
