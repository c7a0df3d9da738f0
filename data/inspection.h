// The look at every picture before anything is trained: which are whole, and the colours of those.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/picture_list.h"

namespace hinge::data {

// Sums of pixel values and of their squares: whole numbers, so that threads add up to the same in any order.
struct Colours {
  std::array<std::uint64_t, 3> sums{}, squares{};
  std::uint64_t count = 0;  // per channel

  void add(const std::vector<std::uint8_t>& pixels);
  Colours& operator+=(const Colours& other);
  Normalization normalization() const;
};

// What keep_whole has to say, for people.
struct Findings {
  std::vector<std::string> left_out;  // a text for each broken picture
  std::vector<std::string> warnings;  // about the cache
};

// Decodes every picture of the list that the cache doesn't know (inspection_cache.h), by options.threads threads, and takes out
// those that are broken: with a text each where options.skip_broken says so, else with an Error that names them. What the
// middles of the others add up to. Error if none is left. What options.looked throws ends the look.
Colours keep_whole(PictureList& list, const FolderOptions& options, Findings& found);

}  // namespace hinge::data
