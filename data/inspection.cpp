#include "data/inspection.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <exception>
#include <mutex>
#include <thread>

#include "data/decode.h"
#include "data/inspection_cache.h"
#include "data/resample.h"
#include "engine/core/error.h"

namespace hinge::data {
namespace {

constexpr std::size_t kMostNamed = 10;  // broken files in one message

struct Inspection {
  std::vector<std::string> reasons;  // [file]: what is wrong with it, or ""
  Colours colours;
};

Colours colours_of(const Look& look, const FolderOptions& options) {
  return {look.sums, look.squares, static_cast<std::uint64_t>(options.size) * static_cast<std::uint64_t>(options.size)};
}

// What is wrong with a picture, or "" and its colours. Decodes all of it.
std::string look_at(const std::string& bytes, const FolderOptions& options, std::vector<std::uint8_t>& pixels, Look& look) {
  try {
    const Picture picture = decode_picture(bytes);
    resample(picture, centre_crop(picture.height, picture.width, options.resize, options.size), pixels.data());
  } catch (const Error& error) {
    return error.what();
  }
  Colours colours;
  colours.add(pixels);
  look.sums = colours.sums, look.squares = colours.squares;
  return "";
}

// Looks at every file that `known` doesn't have. What is seen of those that may be kept goes into `seen`.
Inspection inspect(const PictureList& list, const FolderOptions& options, const Looks& known, Looks& seen) {
  Inspection result{std::vector<std::string>(list.files.size()), {}};
  const std::int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  std::mutex mutex;
  std::atomic<std::size_t> next{0}, done{0};
  const auto work = [&](bool tells) {
    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(options.size) * static_cast<std::size_t>(options.size) * 3);
    Colours colours;
    Looks mine;
    for (std::size_t i = next++; i < list.files.size(); i = next++) {
      if (tells) options.looked(done, list.files.size());
      ++done;
      const PictureFile& file = list.files[i];
      Look look{.key = key_of(file)};
      try {
        std::string wrong;
        if (const Look* before = known.find(look.key)) {
          look = *before, wrong = known.wrong_with(look.key);
        } else {
          wrong = look_at(list.store->read(file), options, pixels, look);
        }
        if (wrong.empty()) {
          colours += colours_of(look, options);
        } else {
          result.reasons[i] = list.store->place(file) + ": " + wrong;
        }
        if (!may_be_kept(file, now)) continue;
        mine.looks.push_back(look);
        if (!wrong.empty()) mine.broken[look.key] = wrong;
      } catch (const std::exception& error) {  // it can't be read, which may be another time
        result.reasons[i] = error.what();
      }
    }
    const std::lock_guard lock(mutex);
    result.colours += colours;
    seen.looks.insert(seen.looks.end(), mine.looks.begin(), mine.looks.end());
    seen.broken.merge(mine.broken);
  };
  std::vector<std::jthread> threads;
  for (int t = 1; t < options.threads; ++t) threads.emplace_back(work, false);
  try {
    work(true);
  } catch (...) {
    next = list.files.size();  // nobody begins another
    throw;
  }
  threads.clear();  // joins
  options.looked(list.files.size(), list.files.size());
  return result;
}

void add_once(std::vector<std::string>& warnings, const std::string& warning) {
  if (!warning.empty() && std::ranges::find(warnings, warning) == warnings.end()) warnings.push_back(warning);
}

// Through the cache, where there is one. That it can't be used or kept is no reason to stop.
Inspection inspect_through_cache(const PictureList& list, const FolderOptions& options, std::vector<std::string>& warnings) {
  Looks seen;
  if (options.cache.empty()) return inspect(list, options, {}, seen);
  const std::string about = about_looks(list.store->place({}), options.size, options.resize, decoder_versions());
  const std::filesystem::path file = cache_file(options.cache, about);
  std::string note;
  const Looks known = load_looks(file, about, note);
  add_once(warnings, note);
  const Inspection inspection = inspect(list, options, known, seen);
  const bool same = seen.looks.size() == known.looks.size() && std::ranges::all_of(seen.looks, [&](const Look& look) { return known.find(look.key) != nullptr; });
  if (same || !options.write_cache) return inspection;
  try {
    save_looks(file, about, std::move(seen));
  } catch (const Error& error) {
    add_once(warnings, fmt::format("what was seen of the pictures is not kept: {}", error.what()));
  }
  return inspection;
}

}  // namespace

void Colours::add(const std::vector<std::uint8_t>& pixels) {
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const std::uint64_t value = pixels[i];
    sums[i % 3] += value, squares[i % 3] += value * value;
  }
  count += pixels.size() / 3;
}

Colours& Colours::operator+=(const Colours& other) {
  for (std::size_t c = 0; c < 3; ++c) sums[c] += other.sums[c], squares[c] += other.squares[c];
  count += other.count;
  return *this;
}

Normalization Colours::normalization() const {
  Normalization result;
  for (std::size_t c = 0; c < 3; ++c) {
    const double n = static_cast<double>(count), mean = static_cast<double>(sums[c]) / n;
    const double variance = std::max(0.0, static_cast<double>(squares[c]) / n - mean * mean);
    result.mean.push_back(static_cast<float>(mean / 255.0));
    result.std.push_back(static_cast<float>(std::max(std::sqrt(variance), 1.0) / 255.0));  // pictures of one colour: a step of 8 bits
  }
  return result;
}

Colours keep_whole(PictureList& list, const FolderOptions& options, Findings& found) {
  const Inspection inspection = inspect_through_cache(list, options, found.warnings);
  std::vector<PictureFile> whole;
  std::vector<std::string> broken;
  for (std::size_t i = 0; i < list.files.size(); ++i) {
    if (inspection.reasons[i].empty()) {
      whole.push_back(std::move(list.files[i]));
    } else {
      broken.push_back(inspection.reasons[i]);
    }
  }
  if (options.skip_broken) {
    for (const std::string& reason : broken) found.left_out.push_back("left out: " + reason);
  } else if (!broken.empty()) {
    const std::size_t named = std::min(broken.size(), kMostNamed);
    fail("{} broken image{}, which --broken-images skip leaves out:\n  {}{}", broken.size(), broken.size() == 1 ? "" : "s",
         fmt::join(broken.begin(), broken.begin() + static_cast<std::ptrdiff_t>(named), "\n  "), named < broken.size() ? "\n  ..." : "");
  }
  require(!whole.empty(), "{}: not one image is whole", list.store->place({}));
  list.files = std::move(whole);
  return inspection.colours;
}

}  // namespace hinge::data
