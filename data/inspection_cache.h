// What the look at every picture found, kept from one start to the next: a million pictures are decoded once, not at each start.
//
// A picture is known by a hash of its name, size and stamp (picture_list.h): one that was written again is looked at again. Kept
// for each are the sums that its colours add to the set's, 56 bytes, and of a broken one what is wrong with it. It is a cache: a
// file that is damaged, cut off, of another version or of another machine's byte order is as good as none.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/picture_list.h"

namespace hinge::data {

// Of one picture.
struct Look {
  std::uint64_t key = 0;
  std::array<std::uint64_t, 3> sums{}, squares{};  // of its pixels as the network sees them; zero where it is broken
};

struct Looks {
  std::vector<Look> looks;                      // sorted by key
  std::map<std::uint64_t, std::string> broken;  // key -> what is wrong

  // Null if there is none.
  const Look* find(std::uint64_t key) const;
  // Whole or broken: "".
  std::string wrong_with(std::uint64_t key) const;
};

std::uint64_t key_of(const PictureFile& file);

// Files that were written less than two seconds before `now` (ns) could be written again without another stamp, where a file
// system's clock is coarse: they are looked at again next time.
bool may_be_kept(const PictureFile& file, std::int64_t now);

// What the looks at a set are known by: where its pictures are, what they are made into, and by what (decode.h). Others are kept in
// another file.
std::string about_looks(const std::filesystem::path& pictures, int size, int resize, const std::string& decoders);

// The file in `folder` for what `about` names.
std::filesystem::path cache_file(const std::filesystem::path& folder, const std::string& about);

// None where there is no such file. Where it can't be used, why not goes into `note`.
Looks load_looks(const std::filesystem::path& file, const std::string& about, std::string& note);

// Replaces the file at once or not at all, so that of several processes the last one's stays. Throws where it can't be written.
void save_looks(const std::filesystem::path& file, const std::string& about, Looks looks);

}  // namespace hinge::data
