#include "models/state_dict.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <functional>
#include <set>

namespace hinge::models {
namespace {

// What wraps a network in training programs: DataParallel, Lightning, torch.compile, ...
constexpr std::array<std::string_view, 6> kWrappers = {"module.", "model.", "net.", "network.", "backbone.", "_orig_mod."};

bool is_counter(const std::string& name) { return name.ends_with(".num_batches_tracked"); }

// How many letters at the front of every name are wrappers' prefixes.
std::size_t wrapper_length(const ModelFile& file) {
  std::size_t length = 0;
  const auto all_continue_with = [&](std::string_view prefix) {
    return !file.tensors.empty() && std::ranges::all_of(file.tensors, [&](const auto& entry) {
      return std::string_view(entry.first).substr(length).starts_with(prefix);
    });
  };
  for (bool found = true; found;) {
    found = false;
    for (std::string_view prefix : kWrappers) {
      if (all_continue_with(prefix)) length += prefix.size(), found = true;
    }
  }
  return length;
}

// The file's entries without wrapper and counters: name here -> name in the file.
std::map<std::string, std::string> entries_of(const ModelFile& file) {
  const std::size_t wrapper = wrapper_length(file);
  std::map<std::string, std::string> entries;
  for (const auto& [name, tensor] : file.tensors) {
    if (!is_counter(name)) entries.emplace(name.substr(wrapper), name);
  }
  return entries;
}

// `numbers` receives what the stars of `pattern` stand for. False if `text` is something else.
bool fits(std::string_view pattern, std::string_view text, std::vector<std::string_view>& numbers) {
  numbers.clear();
  std::size_t t = 0;
  for (const char letter : pattern) {
    if (letter != '*') {
      if (t >= text.size() || text[t++] != letter) return false;
      continue;
    }
    const std::size_t begin = t;
    while (t < text.size() && std::isdigit(static_cast<unsigned char>(text[t]))) ++t;
    if (t == begin) return false;
    numbers.push_back(text.substr(begin, t - begin));
  }
  return t == text.size();
}

std::string filled_in(std::string_view pattern, const std::vector<std::string_view>& numbers) {
  std::string text;
  std::size_t next = 0;
  for (const char letter : pattern) {
    if (letter != '*') text += letter;
    if (letter == '*') text += numbers.at(next++);
  }
  return text;
}

std::string first_of(const std::vector<std::string>& lines) {
  constexpr std::size_t kShown = 12;
  const auto end = lines.begin() + static_cast<std::ptrdiff_t>(std::min(lines.size(), kShown));
  std::string text = fmt::format("{}", fmt::join(lines.begin(), end, ", "));
  return lines.size() > kShown ? text + fmt::format(", and {} more", lines.size() - kShown) : text;
}

// The first convolution's weight and the weight of the linear layer that makes the classes; "" where there is none.
struct Ends {
  std::string stem, classifier;
};
Ends ends_of(const Graph& graph) {
  Ends ends;
  for (const GraphNode& node : graph.nodes) {
    if (node.kind == OpKind::kConv2d && ends.stem.empty()) ends.stem = node.name + ".weight";
  }
  int node = graph.output;
  while (node != 0 && graph.at(node).kind != OpKind::kLinear && graph.at(node).inputs.size() == 1) {
    node = graph.at(node).inputs[0];
  }
  if (graph.at(node).kind == OpKind::kLinear) ends.classifier = graph.at(node).name + ".weight";
  return ends;
}

// The shape of our `name` in the file, under whatever name it has there; rank 0 if it isn't there.
Shape shape_in(const ModelFile& file, const std::map<std::string, std::string>& entries, const std::string& name,
               std::span<const NameRule> rules) {
  if (const auto own = entries.find(name); own != entries.end()) return file.tensors.at(own->second).shape();
  for (const auto& [given, stored] : entries) {
    if (translated(given, rules) == name) return file.tensors.at(stored).shape();
  }
  return {};
}

// Every registered model with every shortcut, as `visit(name, model, options)`.
void for_each_variant(const std::function<void(const std::string&, const Model&, const ModelOptions&)>& visit) {
  for (const auto& [name, model] : registry()) {
    if (model.shortcuts.empty()) visit(name, model, {});
    for (const std::string& shortcut : model.shortcuts) visit(name, model, {.shortcut = shortcut});
  }
}

std::string flags_of(const std::string& name, const ModelOptions& options) {
  return "--model " + name + (options.shortcut.empty() ? "" : " --shortcut " + options.shortcut);
}

ModelOptions completed(const ModelFile& file, const std::string& name, const ModelOptions& options) {
  const Model& model = find(name);
  const auto entries = entries_of(file);
  const Ends ends = ends_of(build(name, {.input = options.input, .shortcut = options.shortcut}));
  ModelOptions result = options;
  if (const Shape last = shape_in(file, entries, ends.classifier, model.names); !result.classes && last.rank() == 2) {
    if (last[0] >= 2) result.classes = last[0];
  }
  if (const Shape first = shape_in(file, entries, ends.stem, model.names); first.rank() == 4 && options.input == FeatureShape{}) {
    result.input = {model.input.h, model.input.w, std::max<std::int64_t>(first[1], 1)};
  }
  return result;
}

}  // namespace

std::map<std::string, Shape> state_dict_shapes(const Graph& graph) {
  std::map<std::string, Shape> shapes;
  for (const GraphNode& node : graph.nodes) {
    if (const auto* conv = std::get_if<ConvAttributes>(&node.attributes)) {
      shapes[node.name + ".weight"] = Shape{conv->out, conv->in / conv->groups, conv->kernel_h, conv->kernel_w};
      if (conv->bias) shapes[node.name + ".bias"] = Shape{conv->out};
    } else if (const auto* linear = std::get_if<LinearAttributes>(&node.attributes)) {
      shapes[node.name + ".weight"] = Shape{linear->out, linear->in};
      if (linear->bias) shapes[node.name + ".bias"] = Shape{linear->out};
    } else if (const auto* norm = std::get_if<BatchNormAttributes>(&node.attributes)) {
      for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"}) {
        shapes[node.name + part] = Shape{norm->channels};
      }
    }
  }
  return shapes;
}

std::string translated(const std::string& name, std::span<const NameRule> rules) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string::npos) return name;
  std::vector<std::string_view> numbers;
  for (const NameRule& rule : rules) {
    if (fits(rule.theirs, std::string_view(name).substr(0, dot), numbers)) {
      return filled_in(rule.ours, numbers) + name.substr(dot);
    }
  }
  return name;
}

Match match(const ModelFile& file, const Graph& graph, std::span<const NameRule> rules) {
  const std::map<std::string, Shape> wanted = state_dict_shapes(graph);
  const std::map<std::string, std::string> entries = entries_of(file);
  Match result;
  std::set<std::string> taken;
  for (const auto& [given, stored] : entries) {
    // A name that is ours already is not translated: "conv1" may be another's word for another layer.
    const std::string name = wanted.contains(given) ? given : translated(given, rules);
    const auto own = wanted.find(name);
    if (own == wanted.end() || (name != given && entries.contains(name)) || !taken.insert(name).second) {
      result.left_over.push_back(stored);
      continue;
    }
    const Tensor& tensor = file.tensors.at(stored);
    if (tensor.shape() == own->second && tensor.dtype() == DType::kFloat32) {
      result.file_name_of[name] = stored;
    } else {
      result.misshapen.push_back(fmt::format("{} is {} {}, expected F32 {}", stored, name_of(tensor.dtype()),
                                             tensor.shape(), own->second));
    }
  }
  for (const auto& [name, shape] : wanted) {
    if (!taken.contains(name)) result.missing.push_back(fmt::format("{} {}", name, shape));
  }
  return result;
}

std::string describe(const Match& match) {
  const std::size_t wanted = match.file_name_of.size() + match.misshapen.size() + match.missing.size();
  std::string text = fmt::format("\n  matched: {} of {}", match.file_name_of.size(), wanted);
  if (!match.missing.empty()) text += "\n  missing: " + first_of(match.missing);
  if (!match.left_over.empty()) text += "\n  not in the network: " + first_of(match.left_over);
  if (!match.misshapen.empty()) text += "\n  wrong shape: " + first_of(match.misshapen);
  return text;
}

Graph graph_for(const ModelFile& file, const std::string& name, const ModelOptions& options) {
  const Model& model = find(name);
  if (options.shortcut.empty()) {
    for (const std::string& shortcut : model.shortcuts) {
      ModelOptions variant = options;
      variant.shortcut = shortcut;
      Graph graph = build(name, completed(file, name, variant));
      if (match(file, graph, model.names).complete()) return graph;
    }
  }
  return build(name, completed(file, name, options));
}

Network network_from_state_dict(const ModelFile& file, const std::string& model, const ModelOptions& options,
                                const std::string& file_name) {
  const Graph graph = graph_for(file, model, options);
  const Match matched = match(file, graph, find(model).names);
  if (!matched.complete()) {
    const std::vector<std::string> others = models_that_fit(file);
    fail("{}: the weights don't fit {}:{}{}", file_name, model, describe(matched),
         others.empty() ? "" : fmt::format("\n  they fit {}", fmt::join(others, " or ")));
  }
  ModelFile renamed{.tensors = {}, .metadata = file.metadata, .graph = {}};
  for (const auto& [ours, stored] : matched.file_name_of) renamed.tensors.emplace(ours, file.tensors.at(stored));
  return network_from(renamed, graph, file_name);
}

std::vector<std::string> models_that_fit(const ModelFile& file) {
  std::vector<std::string> result;
  for_each_variant([&](const std::string& name, const Model& model, const ModelOptions& options) {
    ModelOptions tried = completed(file, name, options);
    // A file may say anything: what no network can have is no fit, and no error either.
    if (tried.classes.value_or(2) > 1'000'000 || tried.input.c > 4096) return;
    if (match(file, build(name, tried), model.names).complete()) result.push_back(flags_of(name, options));
  });
  return result;
}

std::vector<std::string> models_of_same_shapes(const ModelFile& file) {
  std::vector<Shape> given;
  std::set<std::int64_t> classes, channels = {1, 3};
  for (const auto& [name, tensor] : file.tensors) {
    if (is_counter(name)) continue;
    given.push_back(tensor.shape());
    const bool linear = tensor.shape().rank() == 2 && tensor.shape()[0] >= 2 && tensor.shape()[0] <= 1'000'000;
    if (linear) classes.insert(tensor.shape()[0]);
  }
  const auto sorted = [](std::vector<Shape> shapes) {
    std::vector<std::string> texts;
    for (const Shape& shape : shapes) texts.push_back(fmt::format("{}", shape));
    std::ranges::sort(texts);
    return texts;
  };
  const std::vector<std::string> wanted = sorted(given);
  std::vector<std::string> result;
  if (classes.size() > 8) return result;  // no network here has that many linear layers
  for_each_variant([&](const std::string& name, const Model& model, const ModelOptions& options) {
    for (const std::int64_t count : classes) {
      for (const std::int64_t depth : channels) {
        ModelOptions tried = options;
        tried.classes = count;
        tried.input = {model.input.h, model.input.w, depth};
        std::vector<Shape> own;
        for (const auto& [own_name, shape] : state_dict_shapes(build(name, tried))) own.push_back(shape);
        if (own.size() == given.size() && sorted(own) == wanted) {
          result.push_back(flags_of(name, options));
          return;
        }
      }
    }
  });
  return result;
}

}  // namespace hinge::models
