#include "data/inspection.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>
#include <thread>

#include "data/decode.h"
#include "data/resample.h"
#include "engine/core/error.h"

namespace hinge::data {
namespace {

constexpr std::size_t kMostNamed = 10;  // broken files in one message

struct Inspection {
  std::vector<std::string> reasons;  // [file]: what is wrong with it, or ""
  Colours colours;
};

// What is wrong with a picture, or "". Decodes all of it.
std::string look_at(const std::string& bytes, const FolderOptions& options, std::vector<std::uint8_t>& pixels) {
  try {
    const Picture picture = decode_picture(bytes);
    resample(picture, centre_crop(picture.height, picture.width, options.resize, options.size), pixels.data());
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

Inspection inspect(const PictureList& list, const FolderOptions& options) {
  Inspection result{std::vector<std::string>(list.files.size()), {}};
  std::mutex mutex;
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(options.size) * static_cast<std::size_t>(options.size) * 3);
    Colours colours;
    for (std::size_t i = next++; i < list.files.size(); i = next++) {
      const PictureFile& file = list.files[i];
      try {
        const std::string wrong = look_at(list.store->read(file), options, pixels);
        if (wrong.empty()) {
          colours.add(pixels);
        } else {
          result.reasons[i] = list.store->place(file) + ": " + wrong;
        }
      } catch (const std::exception& error) {
        result.reasons[i] = error.what();
      }
    }
    const std::lock_guard lock(mutex);
    result.colours += colours;
  };
  std::vector<std::jthread> threads;
  for (int t = 1; t < options.threads; ++t) threads.emplace_back(work);
  work();
  threads.clear();  // joins
  return result;
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

Colours keep_whole(PictureList& list, const FolderOptions& options, std::vector<std::string>& warnings) {
  const Inspection inspection = inspect(list, options);
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
    for (const std::string& reason : broken) warnings.push_back("left out: " + reason);
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
