// The cache of what was seen of pictures: a second start decodes what changed and nothing else, and ends in the same data set.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>

#include "data/decode.h"
#include "data/image_folder.h"
#include "data/inspection.h"
#include "data/inspection_cache.h"
#include "engine/core/error.h"
#include "engine/core/hash.h"
#include "tests/data/files.h"
#include "tests/support/catch.h"
#include "tests/support/pictures.h"

using namespace hinge;
using namespace hinge::testing;
using namespace hinge::data;
namespace fs = std::filesystem;

namespace {

// A small folder whose files were written an hour ago, and a cache.
struct Pictures {
  TemporaryFolder folder, home;
  FolderOptions options{.size = 16, .threads = 2, .cache = home.path() / "cache"};

  Pictures() {
    write_small_folder(folder.path(), 4);
    for (const auto& entry : fs::recursive_directory_iterator(folder.path())) {
      if (entry.is_regular_file()) make_older(entry.path(), 3600);
    }
  }
  fs::path at(const std::string& name) const { return folder.path() / name; }
  Dataset load() const { return load_dataset("folder", folder.path(), options); }
  Dataset load_without_cache() const {
    FolderOptions plain = options;
    plain.cache.clear();
    return load_dataset("folder", folder.path(), plain);
  }
  std::vector<fs::path> files_of_cache() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(options.cache)) files.push_back(entry.path());
    return files;
  }
  static void make_older(const fs::path& file, int seconds) { fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::seconds(seconds)); }
  // Bytes that are no picture, as many and as old as what was there.
  void replace_secretly(const std::string& name) const {
    const auto time = fs::last_write_time(at(name));
    write_bytes(at(name), Bytes(fs::file_size(at(name)), 'x'));
    fs::last_write_time(at(name), time);
  }
};

bool same_set(const Dataset& a, const Dataset& b) {
  return a.fingerprint == b.fingerprint && a.train.labels == b.train.labels && a.test.labels == b.test.labels && a.normalization.mean == b.normalization.mean && a.normalization.std == b.normalization.std;
}

}  // namespace

TEST_CASE("the data set is the same without a cache, when it is made and when it is used") {
  const Pictures pictures;
  const Dataset plain = pictures.load_without_cache(), first = pictures.load();
  CHECK(pictures.files_of_cache().size() == 2);  // training and test images
  CHECK(same_set(first, plain));
  CHECK(same_set(pictures.load(), plain));
  CHECK(pictures.load().warnings.empty());
}

TEST_CASE("a second start opens no picture that it knows: broken ones of the same size and time aren't noticed") {
  const Pictures pictures;
  const Dataset first = pictures.load();
  for (const auto& entry : fs::recursive_directory_iterator(pictures.folder.path())) {
    if (entry.is_regular_file()) pictures.replace_secretly(fs::relative(entry.path(), pictures.folder.path()).string());
  }
  CHECK(same_set(pictures.load(), first));
  CHECK_THAT(error_of([&] { pictures.load_without_cache(); }), contains("12 broken images"));
}

TEST_CASE("a picture with another time or size is looked at again, and so is a new one") {
  const Pictures pictures;
  pictures.load();
  pictures.replace_secretly("train/cat/0.png");
  pictures.make_older(pictures.at("train/cat/0.png"), 1800);
  CHECK_THAT(error_of([&] { pictures.load(); }), contains("1 broken image") && contains("train/cat/0.png: neither"));
  write_bytes(pictures.at("train/cat/0.png"), png_of(smooth_picture(21, 24, 3)));
  pictures.make_older(pictures.at("train/cat/0.png"), 1800);
  CHECK(same_set(pictures.load(), pictures.load_without_cache()));
  const auto time = fs::last_write_time(pictures.at("train/dog/0.png"));
  write_bytes(pictures.at("train/dog/0.png"), {'n', 'o'});
  fs::last_write_time(pictures.at("train/dog/0.png"), time);
  CHECK_THAT(error_of([&] { pictures.load(); }), contains("train/dog/0.png"));
  write_bytes(pictures.at("train/dog/0.png"), png_of(smooth_picture(24, 24, 3)));
  write_bytes(pictures.at("train/bird/new.png"), png_of(smooth_picture(24, 24, 9)));
  CHECK(same_set(pictures.load(), pictures.load_without_cache()));
  fs::remove(pictures.at("train/bird/new.png"));
  CHECK(same_set(pictures.load(), pictures.load_without_cache()));
}

TEST_CASE("broken pictures are remembered with their reasons") {
  Pictures pictures;
  write_bytes(pictures.at("train/cat/broken.png"), {'n', 'o'});
  pictures.make_older(pictures.at("train/cat/broken.png"), 3600);
  const std::string error = error_of([&] { pictures.load(); });
  CHECK_THAT(error, contains("train/cat/broken.png: neither"));
  const auto time = fs::last_write_time(pictures.at("train/cat/broken.png"));
  write_bytes(pictures.at("train/cat/broken.png"), {'N', 'O'});  // which nobody reads
  fs::last_write_time(pictures.at("train/cat/broken.png"), time);
  CHECK(error_of([&] { pictures.load(); }) == error);
  pictures.options.skip_broken = true;
  const Dataset skipped = pictures.load();
  REQUIRE(skipped.warnings.size() == 1);
  CHECK_THAT(skipped.warnings[0], contains("left out: ") && contains("train/cat/broken.png: neither"));
  CHECK(same_set(skipped, pictures.load_without_cache()));
}

TEST_CASE("a picture that can't be read is not remembered as broken") {
  // Of files that are old enough to be remembered; reading fails until the disk is there again.
  struct Store final : PictureStore {
    bool fails = true;
    std::string read(const PictureFile& file) const override {
      if (fails && file.name == "a/1.png") fail("cannot read a/1.png: Input/output error");
      const Bytes bytes = png_of(smooth_picture(20, 20, 1));
      return std::string(bytes.begin(), bytes.end());
    }
    std::string place(const PictureFile& file) const override { return "here/" + file.name; }
  };
  const TemporaryFolder cache;
  const FolderOptions options{.size = 16, .resize = 18, .cache = cache.path()};
  const auto store = std::make_shared<Store>();
  const auto look = [&] {
    PictureList list{store, {{.name = "a/0.png", .bytes = 1, .stamp = 1}, {.name = "a/1.png", .bytes = 1, .stamp = 1}}};
    Findings found;
    return error_of([&] { keep_whole(list, options, found); });
  };
  CHECK_THAT(look(), contains("Input/output error"));
  store->fails = false;
  CHECK(look() == "no error");
}

TEST_CASE("a picture that was written just now is looked at again, as it may be written again within its stamp") {
  const std::int64_t second = 1'000'000'000, now = 1'000 * second;
  const auto kept = [&](std::int64_t stamp) { return may_be_kept({.name = "a", .label = 0, .bytes = 1, .stamp = stamp}, now); };
  CHECK(kept(now - 3 * second));
  CHECK_FALSE(kept(now - second));
  CHECK_FALSE(kept(now + 3600 * second));  // of another clock
  const Pictures pictures;
  write_bytes(pictures.at("train/cat/0.png"), png_of(smooth_picture(21, 24, 3)));
  pictures.load();
  pictures.replace_secretly("train/cat/0.png");
  CHECK_THAT(error_of([&] { pictures.load(); }), contains("train/cat/0.png"));
}

TEST_CASE("another size of pictures has sums of its own") {
  Pictures pictures;
  const Dataset first = pictures.load();
  pictures.options.size = 12;
  const Dataset small = pictures.load();
  CHECK(same_set(small, pictures.load_without_cache()));
  CHECK(small.normalization.std != first.normalization.std);
  pictures.options.size = 16, pictures.options.resize = 20;
  CHECK(same_set(pictures.load(), pictures.load_without_cache()));
}

TEST_CASE("a damaged cache is not used, says so, and is replaced") {
  const Pictures pictures;
  const Dataset first = pictures.load();
  const std::vector<fs::path> files = pictures.files_of_cache();
  for (const fs::path& file : files) {
    const Bytes whole = read_bytes(file);
    std::vector<Bytes> damaged = {{}, {'x'}, Bytes(whole.size(), 0), Bytes(whole.begin(), whole.end() - 1), Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(whole.size() / 2))};
    for (std::size_t i = 0; i < whole.size(); i += 97) {
      damaged.push_back(whole);
      damaged.back()[i] ^= 0x10;
    }
    for (const Bytes& bytes : damaged) {
      write_bytes(file, bytes);
      const Dataset set = pictures.load();
      CHECK(same_set(set, first));
      REQUIRE(set.warnings.size() == 1);
      CHECK_THAT(set.warnings[0], contains(file.string()) && contains("every picture is looked at"));
      CHECK(read_bytes(file) == whole);
    }
  }
}

TEST_CASE("a cache of another version, folder or decoder is passed over without a word") {
  const TemporaryFolder folder;
  const fs::path file = cache_file(folder.path(), "here");
  Looks looks;
  looks.looks = {{.key = 9, .sums = {1, 2, 3}, .squares = {4, 5, 6}}, {.key = 4}};
  looks.broken[4] = "damaged";
  save_looks(file, "here", looks);
  std::string note;
  const Looks back = load_looks(file, "here", note);
  REQUIRE(back.find(9) != nullptr);
  CHECK(back.find(9)->squares == std::array<std::uint64_t, 3>{4, 5, 6});
  CHECK(back.wrong_with(9).empty());
  CHECK(back.wrong_with(4) == "damaged");
  CHECK(back.find(5) == nullptr);
  CHECK(load_looks(file, "elsewhere", note).looks.empty());
  CHECK(load_looks(folder.path() / "none", "here", note).looks.empty());
  // Whole, and of a format with another number.
  Bytes bytes = read_bytes(file);
  CHECK(bytes[7] == '1');
  bytes[7] = '2';
  Hash hash;
  hash.add(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size() - 8));
  const std::uint64_t sum = hash.value();
  std::memcpy(bytes.data() + bytes.size() - 8, &sum, 8);
  write_bytes(file, bytes);
  CHECK(load_looks(file, "here", note).looks.empty());
  CHECK(note.empty());
  bytes[7] = '1';
  write_bytes(file, bytes);
  load_looks(file, "here", note);
  CHECK_THAT(note, contains("its checksum is wrong"));
  // Other libraries, other sizes and other folders are other files.
  CHECK_THAT(decoder_versions(), contains("libjpeg 6") && contains("turbo ") && contains("libpng 1"));
  const std::string about = about_looks("here", 16, 18, decoder_versions());
  CHECK(about == about_looks(fs::current_path() / "here", 16, 18, decoder_versions()));
  for (const std::string& other : {about_looks("there", 16, 18, decoder_versions()), about_looks("here", 17, 18, decoder_versions()), about_looks("here", 16, 19, decoder_versions()), about_looks("here", 16, 18, "libjpeg 80")}) {
    CHECK(cache_file(folder.path(), other) != cache_file(folder.path(), about));
  }
}

TEST_CASE("a library that makes other pixels has a cache of its own") {
  const Pictures pictures;
  pictures.load();
  for (const char* set : {"train", "val"}) CHECK(fs::exists(cache_file(pictures.options.cache, about_looks(pictures.at(set), 16, 18, decoder_versions()))));
}

TEST_CASE("a cache that can't be written is no reason to stop") {
  Pictures pictures;
  pictures.options.cache = "/proc/none/hinge";
  const Dataset set = pictures.load();
  CHECK(same_set(set, pictures.load_without_cache()));
  REQUIRE(!set.warnings.empty());
  CHECK_THAT(set.warnings[0], contains("is not kept") && contains("/proc/none/hinge"));
}

TEST_CASE("several starts at once leave a cache that is whole") {
  const Pictures pictures;
  const Dataset plain = pictures.load_without_cache();
  std::vector<int> same(4, 0);
  {
    std::vector<std::jthread> starts;
    for (std::size_t t = 0; t < same.size(); ++t) {
      starts.emplace_back([&, t] { same[t] = same_set(pictures.load(), plain); });
    }
  }
  CHECK(same == std::vector<int>(4, 1));
  CHECK(pictures.load().warnings.empty());
  CHECK(pictures.files_of_cache().size() == 2);
}

TEST_CASE("of several processes one writes the cache and the others read it") {
  Pictures pictures;
  pictures.options.write_cache = false;
  const Dataset first = pictures.load();
  CHECK_FALSE(fs::exists(pictures.options.cache));
  pictures.options.write_cache = true;
  pictures.load();
  pictures.replace_secretly("train/cat/0.png");
  pictures.options.write_cache = false;
  CHECK(same_set(pictures.load(), first));  // it knew that one
  const auto written = fs::last_write_time(pictures.files_of_cache()[0]);
  write_bytes(pictures.at("train/bird/new.png"), png_of(smooth_picture(24, 24, 9)));
  pictures.make_older(pictures.at("train/bird/new.png"), 3600);
  CHECK(pictures.load().train.count() == first.train.count() + 1);
  CHECK(fs::last_write_time(pictures.files_of_cache()[0]) == written);
}

TEST_CASE("processes that write one cache at once leave it whole at every moment") {
  const TemporaryFolder folder;
  const fs::path file = cache_file(folder.path(), "here");
  std::vector<pid_t> writers;
  for (std::uint64_t p = 1; p <= 3; ++p) {
    writers.push_back(::fork());
    if (writers.back() != 0) continue;
    const std::string error = error_of([&] {
      Looks mine;
      for (std::uint64_t i = 0; i < 100 * p; ++i) mine.looks.push_back({.key = i, .sums = {p, p, p}});
      for (int i = 0; i < 60; ++i) {
        save_looks(file, "here", mine);
        std::string note;
        const Looks read = load_looks(file, "here", note);
        require(note.empty() && !read.looks.empty() && read.looks.size() == 100 * read.looks[0].sums[0], "{}: {} looks", note, read.looks.size());
      }
    });
    if (error != "no error") std::fprintf(stderr, "%s\n", error.c_str());
    ::_exit(error == "no error" ? 0 : 1);
  }
  for (const pid_t writer : writers) {
    int status = -1;
    REQUIRE(::waitpid(writer, &status, 0) == writer);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
  }
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);
}
