// What ranks that train together must have in common, and errors that all of them have to know of.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "engine/core/finite.h"
#include "engine/core/process_group.h"
#include "engine/core/tensor.h"

namespace hinge {

// Throws NotFiniteError on every rank where `found` is set on any of them: what the lowest rank found whose own part of the work
// went wrong (`begun_here`), else what the lowest found. Without a group: `found`, if set.
void throw_together(ProcessGroup* group, const std::optional<NotFinite>& found, bool begun_here = true);

// Throws Error on every rank, with the first tensor and rank that differ, unless all ranks' tensors hold the same bytes as
// rank 0's. `when` is for the message. A hash of 64 bits each is compared.
void require_same(ProcessGroup* group, const std::map<std::string, Tensor>& tensors, const std::string& when);

// Of the bytes of a float tensor.
std::uint64_t hash_of(const Tensor& tensor);

}  // namespace hinge
