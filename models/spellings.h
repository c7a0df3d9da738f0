// How others name the layers of the residual networks for CIFAR (registry.h, NameRule).
#pragma once

#include "models/registry.h"

namespace hinge::models {

// torchvision's words (fc, downsample) are what most training programs took over; conv_1_3x3, stage_1 and conv_a are
// the words of the ResNeXt-DenseNet programs for CIFAR.
inline const std::vector<NameRule> kCifarResNetNames = {
    {"fc", "linear"},
    {"classifier", "linear"},
    {"layer*.*.downsample.*", "layer*.*.shortcut.*"},
    {"conv_1_3x3", "conv1"},
    {"bn_1", "bn1"},
    {"stage_*.*.conv_a", "layer*.*.conv1"},
    {"stage_*.*.bn_a", "layer*.*.bn1"},
    {"stage_*.*.conv_b", "layer*.*.conv2"},
    {"stage_*.*.bn_b", "layer*.*.bn2"},
};

}  // namespace hinge::models
