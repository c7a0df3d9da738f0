#include "data/picture_list.h"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "data/dataset.h"
#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/system_calls.h"

namespace hinge::data {
namespace {

namespace fs = std::filesystem;

class FolderStore final : public PictureStore {
 public:
  explicit FolderStore(fs::path folder) : folder_(std::move(folder)) {}
  std::string read(const PictureFile& file) const override { return io::read_file(folder_ / file.name); }
  std::string place(const PictureFile& file) const override { return (file.name.empty() ? folder_ : folder_ / file.name).string(); }

 private:
  fs::path folder_;
};

bool is_picture(const std::string& file) {
  std::string end = fs::path(file).extension().string();
  std::ranges::transform(end, end.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return file[0] != '.' && (end == ".jpg" || end == ".jpeg" || end == ".png");
}

// Calls `take` for each entry of a folder, with its name.
void for_each_in(const fs::path& folder, auto take) {
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; it != end && !error; it.increment(error)) take(*it, it->path().filename().string());
  require(!error, "{}: {}", folder.string(), error.message());
}

std::vector<std::string> classes_in(const fs::path& folder) {
  std::vector<std::string> names;
  for_each_in(folder, [&](const fs::directory_entry& entry, const std::string& name) {
    if (name[0] != '.' && entry.is_directory()) names.push_back(name);
  });
  require(!names.empty(), "{}: no folders here, expected one per class", folder.string());
  std::ranges::sort(names);
  return names;
}

std::vector<PictureFile> files_of_class(const fs::path& folder, const std::string& name, int label) {
  std::vector<PictureFile> files;
  for_each_in(folder / name, [&](const fs::directory_entry& entry, const std::string& file) {
    if (!is_picture(file)) return;
    struct stat status {};
    const int error = io::system::stat(entry.path(), &status) == 0 ? 0 : errno;
    if (error == ENOENT) return;                                                                    // removed meanwhile, or a link to nothing
    if (error != 0) fail("{}: {}", entry.path().string(), std::generic_category().message(error));  // a network that stumbles must not make a smaller data set
    if (!S_ISREG(status.st_mode)) return;
    const std::int64_t stamp = static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec;
    files.push_back({.name = name + "/" + file, .label = label, .bytes = static_cast<std::uint64_t>(status.st_size), .stamp = stamp});
  });
  require(!files.empty(), "{}: no images, expected .jpg, .jpeg or .png files", (folder / name).string());
  return files;
}

// By a hash of their names, which is worked out once for each.
void sort_by_hash(std::vector<PictureFile>& files) {
  std::vector<std::pair<std::uint64_t, std::size_t>> order;
  order.reserve(files.size());
  for (std::size_t i = 0; i < files.size(); ++i) order.emplace_back(hash_of(files[i].name), i);
  std::ranges::sort(order, [&](const auto& a, const auto& b) { return a.first != b.first ? a.first < b.first : files[a.second].name < files[b.second].name; });
  std::vector<PictureFile> sorted;
  sorted.reserve(files.size());
  for (const auto& [hash, i] : order) sorted.push_back(std::move(files[i]));
  files = std::move(sorted);
}

// One class after the other is taken by whichever thread is free.
PictureList list_set(const fs::path& folder, const std::vector<std::string>& classes, bool all_needed, int threads) {
  std::vector<std::vector<PictureFile>> of_class(classes.size());
  std::vector<std::exception_ptr> errors(classes.size());
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t label = next++; label < classes.size(); label = next++) {
      try {
        if (all_needed || fs::exists(folder / classes[label])) of_class[label] = files_of_class(folder, classes[label], static_cast<int>(label));
      } catch (...) {
        errors[label] = std::current_exception();
      }
    }
  };
  {
    std::vector<std::jthread> workers;
    for (int t = 1; t < threads; ++t) workers.emplace_back(work);
    work();
  }
  PictureList list{std::make_shared<FolderStore>(folder), {}};
  for (std::size_t label = 0; label < classes.size(); ++label) {
    if (errors[label]) std::rethrow_exception(errors[label]);
    std::ranges::move(of_class[label], std::back_inserter(list.files));
  }
  sort_by_hash(list.files);
  return list;
}

fs::path test_folder(const fs::path& dir) {
  for (const char* name : {"test", "val"}) {
    if (fs::is_directory(dir / name)) return dir / name;
  }
  fail("{}: neither a folder 'test' nor 'val', expected one with a folder per class", dir.string());
}

}  // namespace

PictureSets list_folder(const fs::path& dir, int threads) {
  require(fs::is_directory(dir / "train"), "folder {}: no folder 'train' in it, expected one with a folder per class", dir.string());
  const fs::path train = dir / "train", test = test_folder(dir);
  PictureSets sets;
  sets.classes = classes_in(train);
  require(sets.classes.size() >= 2, "{}: one class, '{}', expected two or more", train.string(), sets.classes[0]);
  for (const std::string& name : classes_in(test)) {
    require(std::ranges::binary_search(sets.classes, name), "{}: the class '{}' has no folder in {}", test.string(), name, train.string());
  }
  sets.train = list_set(train, sets.classes, true, threads);
  sets.test = list_set(test, sets.classes, false, threads);
  return sets;
}

}  // namespace hinge::data
