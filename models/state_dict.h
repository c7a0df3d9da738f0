// From a file of names and tensors, as PyTorch's users have them, to a network of ours.
//
// A file from elsewhere doesn't say which network it holds. Given the model's name, its entries are matched with the
// layers: a wrapper's prefix ("module.") and counters ("num_batches_tracked") are dropped, other spellings are
// translated by the family's rules (registry.h, NameRule). Classes and input channels are read from the shapes.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/nn/model_file.h"
#include "models/registry.h"

namespace hinge::models {

// Names and shapes as PyTorch's state_dict() of the network has them (filters O,I,H,W), counters left out.
std::map<std::string, Shape> state_dict_shapes(const Graph& graph);

// `name` in our words, by the first rule that fits its layer; unchanged if none does.
std::string translated(const std::string& name, std::span<const NameRule> rules);

// How a file's entries meet a graph's.
struct Match {
  std::map<std::string, std::string> file_name_of;  // ours -> the file's, where shapes agree too
  std::vector<std::string> missing;                 // ours that no entry gives
  std::vector<std::string> left_over;               // the file's that nothing wants
  std::vector<std::string> misshapen;               // "conv1.weight is [..], expected [..]"
  bool complete() const { return missing.empty() && left_over.empty() && misshapen.empty(); }
};
Match match(const ModelFile& file, const Graph& graph, std::span<const NameRule> rules);
// For people: how many matched, and which did not, the first twelve of a kind.
std::string describe(const Match& match);

// The graph of `model` with the classes and channels of the file, where `options` leave them open. Of several shortcuts
// the one whose entries fit, where none is asked for.
Graph graph_for(const ModelFile& file, const std::string& model, const ModelOptions& options);

// `model` with the file's values. Throws Error with the file's name and describe()'s list if they don't fit.
Network network_from_state_dict(const ModelFile& file, const std::string& model, const ModelOptions& options,
                                const std::string& file_name);

// "--model resnet20 --shortcut A-stride" for each registered model that the file fits, name by name.
std::vector<std::string> models_that_fit(const ModelFile& file);
// The same by shapes alone: names may be anything.
std::vector<std::string> models_of_same_shapes(const ModelFile& file);

}  // namespace hinge::models
