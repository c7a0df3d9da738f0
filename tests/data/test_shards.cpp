// Packed folders: the same data set as the folder they were made of, archives that tar reads, and what is refused.
#include "data/shards.h"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "data/image_folder.h"
#include "data/pack.h"
#include "data/tar.h"
#include "engine/core/error.h"
#include "engine/core/fault.h"
#include "engine/io/file.h"
#include "tests/support/catch.h"
#include "tests/support/pictures.h"

using namespace hinge;
using namespace hinge::testing;
using namespace hinge::data;
namespace fs = std::filesystem;

namespace {

const FolderOptions kSmall{.size = 16};
const PackOptions kSmallShards{.shard_bytes = 6000};

std::string words_of(auto act) {
  try {
    act();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

// What a command prints; a test is skipped where there is no tar.
std::string output_of(const std::string& command) {
  const TemporaryFolder folder;
  const std::string log = (folder.path() / "log").string();
  const int status = std::system(("(" + command + ") >'" + log + "' 2>&1").c_str());
  const Bytes bytes = read_bytes(log);
  return std::string(bytes.begin(), bytes.end()) + (status == 0 ? "" : "\nfailed");
}

struct Packing {
  TemporaryFolder folder;
  fs::path pictures = folder.path() / "pictures", shards = folder.path() / "shards";

  Packing() { write_small_folder(pictures, 6); }
  Packed pack(const PackOptions& options = kSmallShards) const { return pack_folder(pictures, shards, options); }
  Dataset load(const fs::path& dir, FolderOptions options = kSmall) const { return load_dataset("folder", dir, options); }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(shards)) names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
  }
};

std::vector<std::uint8_t> pixels_of(const ImageSet& set, bool crop) {
  std::vector<std::uint8_t> all, one(set.image_bytes());
  for (int i = 0; i < set.count(); ++i) {
    crop ? set.source->read_crop(i, 1, 2, one.data()) : set.source->read(i, one.data());
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

}  // namespace

TEST_CASE("a packed folder is the folder: images, labels, order, crops, statistics and fingerprint") {
  const Packing packing;
  const Packed packed = packing.pack();
  CHECK(packed.images == 36);
  CHECK(packed.shards >= 4);
  CHECK(packed.left_out.empty());
  CHECK(packed.warnings.empty());
  CHECK_FALSE(fs::exists(packing.shards / ".packing"));
  const Dataset folder = packing.load(packing.pictures), shards = packing.load(packing.shards);
  CHECK(shards.fingerprint == folder.fingerprint);
  CHECK(shards.classes == folder.classes);
  CHECK(shards.train.class_names == folder.train.class_names);
  CHECK(shards.normalization.mean == folder.normalization.mean);
  CHECK(shards.normalization.std == folder.normalization.std);
  for (const auto& [ours, theirs] : {std::pair(&shards.train, &folder.train), std::pair(&shards.test, &folder.test)}) {
    CHECK(ours->labels == theirs->labels);
    CHECK(pixels_of(*ours, false) == pixels_of(*theirs, false));
    CHECK(pixels_of(*ours, true) == pixels_of(*theirs, true));
  }
}

TEST_CASE("the same folder makes the same bytes, of shards no larger than asked for") {
  const Packing packing;
  packing.pack();
  const fs::path again = packing.folder.path() / "again";
  pack_folder(packing.pictures, again, kSmallShards);
  for (const std::string& name : packing.names()) {
    INFO(name);
    CHECK(read_bytes(packing.shards / name) == read_bytes(again / name));
    if (name.ends_with(".tar")) CHECK(fs::file_size(packing.shards / name) <= 6000);
  }
  CHECK(pack_folder(packing.pictures, packing.folder.path() / "one", {}).shards == 2);
  // A picture that is larger alone has a shard of its own.
  write_bytes(packing.pictures / "train/cat/large.png", png_of(noise_picture(60, 60, 1)));
  CHECK(pack_folder(packing.pictures, packing.folder.path() / "large", kSmallShards).images == 37);
  CHECK(packing.load(packing.folder.path() / "large").fingerprint == packing.load(packing.pictures).fingerprint);
}

TEST_CASE("tar lists and unpacks the shards, and what it unpacks is the folder again") {
  if (std::system("tar --version >/dev/null 2>&1") != 0) {
    WARN("skipped: no tar here");
    return;
  }
  const Packing packing;
  fs::create_directories(packing.pictures / "train" / (std::string(60, 'c')));
  write_bytes(packing.pictures / "train" / std::string(60, 'c') / (std::string(90, 'n') + ".png"), png_of(smooth_picture(20, 20, 1)));
  write_bytes(packing.pictures / "train/cat/two words & more.png", png_of(smooth_picture(20, 20, 2)));
  packing.pack();
  const std::string shards = packing.shards.string(), out = (packing.folder.path() / "out").string();
  std::string listed;
  for (const std::string& name : packing.names()) {
    if (name.ends_with(".tar")) listed += output_of("tar -tvf '" + shards + "/" + name + "'");
  }
  INFO(listed);
  CHECK(std::ranges::count(listed, '\n') == 38);
  CHECK_THAT(listed, contains("-rw-r--r-- 0/0") && contains("train/cat/0.png\n") && contains("test/dog/1.JPEG\n") && contains("1980-01-01"));
  CHECK(listed.find("failed") == std::string::npos);
  CHECK(output_of("mkdir '" + out + "' && for s in '" + shards + "'/*.tar; do tar -xf \"$s\" -C '" + out + "'; done").empty());
  CHECK(packing.load(out).fingerprint == packing.load(packing.pictures).fingerprint);
  CHECK(read_bytes(fs::path(out) / "train/dog/1.JPEG") == read_bytes(packing.pictures / "train/dog/1.JPEG"));
  CHECK(read_bytes(fs::path(out) / "test/dog/1.JPEG") == read_bytes(packing.pictures / "val/dog/1.JPEG"));
}

TEST_CASE("names that a tar archive can't hold are refused, the others are split at a '/'") {
  CHECK(tar_header(std::string(100, 'a'), 1).substr(0, 101) == std::string(100, 'a') + "0");
  const std::string split = tar_header(std::string(155, 'a') + "/" + std::string(100, 'b'), 1);
  CHECK(split.substr(0, 100) == std::string(100, 'b'));
  CHECK(split.substr(345, 155) == std::string(155, 'a'));
  CHECK(split.size() == 512);
  CHECK_THAT(words_of([] { tar_header(std::string(101, 'a'), 1); }), contains("101 bytes of name"));
  CHECK_THAT(words_of([] { tar_header(std::string(156, 'a') + "/" + std::string(100, 'b'), 1); }), contains("don't fit"));
  CHECK_THAT(words_of([] { tar_header("/a", 1); }), contains("can't be a name"));
  CHECK_THAT(words_of([] { tar_header("a", std::uint64_t{1} << 33); }), contains("at most"));
  CHECK(tar_header("a", (std::uint64_t{1} << 33) - 1).substr(124, 12) == std::string("77777777777\0", 12));
  const Packing packing;
  const std::string file = std::string(180, 'n') + ".png";
  write_bytes(packing.pictures / "train/cat" / file, png_of(smooth_picture(20, 20, 1)));
  CHECK_THAT(words_of([&] { packing.pack(); }), contains(file) && contains("don't fit into a tar archive"));
  CHECK_FALSE(is_packed(packing.shards));
  fs::remove(packing.pictures / "train/cat" / file);
  write_bytes(packing.pictures / "train/cat/\xff.png", png_of(smooth_picture(20, 20, 1)));
  CHECK_THAT(words_of([&] { packing.pack(); }), contains("isn't UTF-8"));
}

TEST_CASE("broken pictures are named before anything is packed, or left out as asked") {
  const Packing packing;
  const Dataset whole = packing.load(packing.pictures);
  write_bytes(packing.pictures / "train/cat/broken.png", {'n', 'o'});
  CHECK_THAT(words_of([&] { packing.pack(); }), contains("1 broken image") && contains("train/cat/broken.png: neither") && contains("--broken-images skip"));
  CHECK_FALSE(is_packed(packing.shards));
  PackOptions skip = kSmallShards;
  skip.folder.skip_broken = true;
  const Packed packed = packing.pack(skip);
  CHECK(packed.images == 36);
  CHECK(packed.warnings.empty());
  REQUIRE(packed.left_out.size() == 1);
  CHECK_THAT(packed.left_out[0], contains("left out: ") && contains("broken.png"));
  CHECK(packing.load(packing.shards).fingerprint == whole.fingerprint);
}

TEST_CASE("an interrupted packing leaves no index and no half file, and the next one makes it whole") {
  const Packing packing;
  PackOptions stop = kSmallShards;
  stop.progress = [](std::uint64_t done, std::uint64_t) {
    if (done == 20) throw std::runtime_error("stopped");
  };
  CHECK(words_of([&] { packing.pack(stop); }) == "stopped");
  CHECK_FALSE(is_packed(packing.shards));
  for (const std::string& name : packing.names()) CHECK((name == ".lock" || name == ".packing" || name.ends_with(".tar")));
  CHECK(packing.names().size() > 1);
  CHECK_THAT(words_of([&] { packing.load(packing.shards); }), contains("no folder 'train'"));
  // As a killed process leaves it, with more and smaller shards.
  write_bytes(packing.shards / "train-00099.tar", {'x'});
  write_bytes(packing.shards / "train-00100.tar.partial-999999999", {'x'});
  write_bytes(packing.shards / "test-00100.tar.partial-1", {'x'});  // a process of that number is here, the writer was elsewhere
  write_bytes(packing.shards / "shards.json.partial-1", {'x'});
  write_bytes(packing.shards / "train-00101.tar.partial-some_host-1", {'x'});
  write_bytes(packing.shards / ".packing.partial-some_host-1", {'x'});
  packing.pack();
  for (const std::string& name : packing.names()) CHECK_FALSE((name == "train-00099.tar" || name == ".packing" || (name.find("partial") != std::string::npos && name != ".packing.partial-some_host-1")));
  CHECK(packing.load(packing.shards).fingerprint == packing.load(packing.pictures).fingerprint);
  CHECK(check_shards(packing.shards) > 0);
}

TEST_CASE("archives that packing didn't make are left alone, whatever they are called, and nothing is made beside them") {
  const Packing packing;
  fs::create_directories(packing.shards);
  const std::vector<std::string> names = {"test-00000.tar", "train-00000.tar", "train-00001.tar"};
  for (const std::string& name : names) write_bytes(packing.shards / name, {'m', 'i', 'n', 'e'});
  const auto untouched = [&] {
    if (packing.names() != names) return false;
    return std::ranges::all_of(names, [&](const std::string& name) { return read_bytes(packing.shards / name) == Bytes{'m', 'i', 'n', 'e'}; });
  };
  CHECK_THAT(words_of([&] { packing.pack(); }), contains(".tar', expected no folder, an empty one"));
  CHECK(untouched());
  write_bytes(packing.shards / ".packing", {'m', 'i', 'n', 'e'});  // of another program
  CHECK_THAT(words_of([&] { packing.pack(); }), contains("expected no folder, an empty one"));
  fs::remove(packing.shards / ".packing");
  CHECK(untouched());
  // A whole one that lost its index isn't an interrupted one.
  fs::remove_all(packing.shards);
  packing.pack();
  fs::remove(packing.shards / kShardIndex);
  const std::size_t files = packing.names().size();
  CHECK_THAT(words_of([&] { packing.pack(); }), contains("-0000"));
  CHECK(packing.names().size() == files);
}

TEST_CASE("what an interrupted packing left is there until every picture was looked at; links and folders are never its own") {
  const Packing packing;
  PackOptions stop = kSmallShards;
  stop.progress = [](std::uint64_t done, std::uint64_t) {
    if (done == 20) throw std::runtime_error("stopped");
  };
  words_of([&] { packing.pack(stop); });
  const std::vector<std::string> left = packing.names();
  CHECK(std::ranges::count(left, ".packing") == 1);
  write_bytes(packing.pictures / "train/cat/broken.png", {'n', 'o'});
  CHECK_THAT(words_of([&] { packing.pack(); }), contains("1 broken image"));
  CHECK(packing.names() == left);
  fs::remove(packing.pictures / "train/cat/broken.png");
  write_bytes(packing.folder.path() / "mine", {'x'});
  fs::create_symlink(packing.folder.path() / "mine", packing.shards / "train-00077.tar");
  CHECK_THAT(words_of([&] { packing.pack(); }), contains("holds 'train-00077.tar'"));
  fs::remove(packing.shards / "train-00077.tar");
  fs::create_directory(packing.shards / "train-00077.tar");
  CHECK_THAT(words_of([&] { packing.pack(); }), contains("holds 'train-00077.tar'"));
  fs::remove(packing.shards / "train-00077.tar");
  packing.pack();
  CHECK(packing.load(packing.shards).fingerprint == packing.load(packing.pictures).fingerprint);
  CHECK_THAT(words_of([&] { pack_folder(packing.pictures, packing.folder.path() / "mine", kSmallShards); }), contains("mine is no folder"));
}

TEST_CASE("the look before packing, and the check of what was packed, count what they did and end where they are told to") {
  const Packing packing;
  PackOptions options = kSmallShards;
  std::vector<std::uint64_t> seen;
  options.folder.threads = 3;
  options.folder.looked = [&](std::uint64_t done, std::uint64_t total) {
    CHECK(total == 36);
    CHECK(done <= total);
    throw std::runtime_error("stopped");  // at once: how many pictures this thread has depends on the others
  };
  CHECK(words_of([&] { packing.pack(options); }) == "stopped");
  for (const std::string& name : packing.names()) CHECK(name == ".lock");
  options.folder.looked = [&](std::uint64_t done, std::uint64_t) { seen.push_back(done); };
  seen.clear();
  packing.pack(options);
  CHECK(std::ranges::is_sorted(seen));
  CHECK(seen.back() == 36);
  seen.clear();
  const std::uint64_t bytes = check_shards(packing.shards, [&](std::uint64_t done, std::uint64_t) { seen.push_back(done); });
  CHECK(std::ranges::is_sorted(seen));
  CHECK(seen.size() == packing.names().size() - 2);  // once a shard, as they are small
  CHECK(seen.back() == bytes);
  const auto stops = [](std::uint64_t, std::uint64_t total) { throw std::runtime_error(fmt::format("stopped of {}", total)); };
  CHECK(words_of([&] { check_shards(packing.shards, stops); }) == fmt::format("stopped of {}", bytes));
}

TEST_CASE("what the cache has to say is no picture that was left out") {
  const Packing packing;
  PackOptions options = kSmallShards;
  options.folder.cache = "/proc/none/hinge";
  for (const auto& entry : fs::recursive_directory_iterator(packing.pictures)) {  // what is new isn't kept anyway
    if (entry.is_regular_file()) fs::last_write_time(entry.path(), fs::file_time_type::clock::now() - std::chrono::hours(1));
  }
  const Packed packed = packing.pack(options);
  CHECK(packed.left_out.empty());
  REQUIRE(!packed.warnings.empty());
  CHECK_THAT(packed.warnings[0], contains("is not kept"));
}

TEST_CASE("a disk that fills up while packing leaves nothing that could be taken for whole") {
  for (const std::int64_t bytes : {0, 3000, 7000, 50000}) {
    const Packing packing;
    io::faults() = {.fail_write_after_bytes = bytes};
    const std::string error = words_of([&] { packing.pack(); });
    io::faults() = {};
    INFO(error);
    CHECK_THAT(error, contains("No space left on device"));
    CHECK_FALSE(is_packed(packing.shards));
    for (const std::string& name : packing.names()) CHECK(name.find("partial") == std::string::npos);
    packing.pack();
    CHECK(packing.load(packing.shards).fingerprint == packing.load(packing.pictures).fingerprint);
  }
}

TEST_CASE("packing refuses a folder that holds something else, is whole already, or is what is packed") {
  const Packing packing;
  fs::create_directories(packing.shards);
  write_bytes(packing.shards / "thesis.txt", {'x'});
  CHECK_THAT(words_of([&] { packing.pack(); }), contains("holds 'thesis.txt'"));
  CHECK(read_bytes(packing.shards / "thesis.txt") == Bytes{'x'});
  CHECK_THAT(words_of([&] { pack_folder(packing.pictures, packing.pictures, kSmallShards); }), contains("expected no folder, an empty one"));
  fs::remove(packing.shards / "thesis.txt");
  packing.pack();
  CHECK_THAT(words_of([&] { packing.pack(); }), contains("holds packed pictures already"));
  CHECK_THAT(words_of([&] { pack_folder(packing.shards, packing.folder.path() / "more", {}); }), contains("is packed already"));
  CHECK_THAT(words_of([&] { pack_folder(packing.pictures, packing.folder.path() / "more", {.shard_bytes = 100}); }), contains("--shard-size is 100"));
  CHECK_THAT(words_of([&] { pack_folder(packing.folder.path() / "none", packing.folder.path() / "more", {}); }), contains("no folder 'train'"));
}

TEST_CASE("a picture that changes while it is packed is refused by name") {
  const Packing packing;
  PackOptions meddle = kSmallShards;
  meddle.progress = [&](std::uint64_t done, std::uint64_t) {
    if (done != 1) return;
    for (const char* name : {"0.png", "2.png", "4.png"}) write_bytes(packing.pictures / "val/dog" / name, {'x'});
  };
  CHECK_THAT(words_of([&] { packing.pack(meddle); }), contains("val/dog/") && contains("changed meanwhile"));
  CHECK_FALSE(is_packed(packing.shards));
}

TEST_CASE("a shard that is cut off, longer or missing is named at the door") {
  const Packing packing;
  packing.pack();
  const fs::path shard = packing.shards / "train-00001.tar";
  const Bytes whole = read_bytes(shard);
  write_bytes(shard, Bytes(whole.begin(), whole.end() - 512));
  CHECK_THAT(words_of([&] { packing.load(packing.shards); }), contains("train-00001.tar") && contains("cut off"));
  Bytes longer = whole;
  longer.resize(whole.size() + 512);
  write_bytes(shard, longer);
  CHECK_THAT(words_of([&] { packing.load(packing.shards); }), contains("train-00001.tar") && contains("another file"));
  fs::remove(shard);
  CHECK_THAT(words_of([&] { packing.load(packing.shards); }), contains("train-00001.tar") && contains("No such file"));
  write_bytes(shard, whole);
  CHECK(words_of([&] { packing.load(packing.shards); }) == "no error");
}

TEST_CASE("a changed byte is seen by --check wherever it is, and in a header when the picture is read") {
  const Packing packing;
  packing.pack();
  std::uint64_t total = 0;
  for (const std::string& name : packing.names()) total += name.ends_with(".tar") ? fs::file_size(packing.shards / name) : 0;
  CHECK(check_shards(packing.shards) == total);
  const fs::path shard = packing.shards / "test-00000.tar";
  const Bytes whole = read_bytes(shard);
  for (std::size_t i = 0; i < whole.size(); i += 301) {
    Bytes changed = whole;
    changed[i] ^= 1;
    write_bytes(shard, changed);
    CHECK_THAT(words_of([&] { check_shards(packing.shards); }), contains("test-00000.tar") && contains("its checksum is"));
  }
  Bytes moved = whole;
  moved[10] ^= 1;  // in the name of the first picture
  write_bytes(shard, moved);
  const Dataset set = packing.load(packing.shards);
  CHECK_THAT(words_of([&] { pixels_of(set.test, false); }), contains("test-00000.tar") && contains("at byte 0, where the index has it"));
  // Cut off after the door.
  write_bytes(shard, Bytes(whole.begin(), whole.begin() + 2000));
  CHECK_THAT(words_of([&] { pixels_of(packing.load(packing.pictures).test, false), pixels_of(set.test, false); }), contains("test-00000.tar"));
}

TEST_CASE("pictures of shards are not looked at again, but for their colours, which the cache keeps") {
  const Packing packing;
  packing.pack();
  const fs::path shard = packing.shards / "test-00000.tar", training = packing.shards / "train-00000.tar";
  const auto spoil = [](const fs::path& file) {
    Bytes bytes = read_bytes(file);
    std::fill(bytes.begin() + 512, bytes.begin() + 1000, 'x');  // the first picture
    write_bytes(file, bytes);
  };
  spoil(shard);
  FolderOptions options = kSmall;
  options.cache = packing.folder.path() / "cache";
  const Dataset first = packing.load(packing.shards, options);
  spoil(training);
  CHECK(packing.load(packing.shards, options).normalization.mean == first.normalization.mean);
  CHECK_THAT(words_of([&] { packing.load(packing.shards); }), contains("1 broken image") && contains("train-00000.tar: train/"));
  options.measure = false, options.cache.clear();
  CHECK(words_of([&] { packing.load(packing.shards, options); }) == "no error");
}

TEST_CASE("an index that doesn't fit together is refused by name") {
  const Packing packing;
  packing.pack();
  const fs::path path = packing.shards / kShardIndex;
  const Bytes bytes = read_bytes(path);
  const std::string whole(bytes.begin(), bytes.end());
  const auto refusal = [&](const std::string& from, const std::string& to) {
    std::string text = whole;
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
    return words_of([&] { parse_index(text, "x/shards.json"); });
  };
  CHECK_THAT(words_of([&] { parse_index(whole.substr(0, whole.size() / 2), "x/shards.json"); }), contains("x/shards.json"));
  CHECK_THAT(refusal("hinge shards 1", "hinge shards 9"), contains("expected 'hinge shards 1'"));
  CHECK_THAT(refusal("test-00000.tar", "../../etc/passwd"), contains("no name of a shard"));
  CHECK_THAT(refusal("\"bird/", "\"fish/"), contains("in none of the classes"));
  CHECK_THAT(refusal("\"bird/", "\"bird/../"), contains("in none of the classes"));
  CHECK_THAT(refusal("\"sizes\":[", "\"sizes\":[1,"), contains("names and"));
  CHECK_THAT(refusal("\"sizes\":[", "\"sizes\":[18446744073709551615"), contains("x/shards.json"));
  CHECK_THAT(refusal("\"bytes\":", "\"bytes\":1"), contains("the pictures of test-00000.tar take"));
  CHECK_THAT(refusal("\"checksum\":\"", "\"checksum\":\"z"), contains("8 hexadecimal digits"));
  CHECK_THAT(refusal("\"classes\":[\"bird\",\"cat\",\"dog\"]", "\"classes\":[\"bird\"]"), contains("1 classes"));
  CHECK_THAT(refusal("\"train\"", "\"drain\""), contains("x/shards.json"));
  CHECK_THAT(refusal("[\"bird\",\"cat\"", "[\"bird\",\"bird\",\"cat\""), contains("sorted, each once"));
  CHECK_THAT(refusal("[\"bird\",\"cat\"", "[\"cat\",\"bird\""), contains("sorted, each once"));
  // Numbers that a conversion would make something of.
  for (const char* number : {"-1", "1.5", "1e3", "\"1\"", "null"}) {
    CHECK_THAT(refusal("\"sizes\":[", fmt::format("\"sizes\":[{},", number)), contains("x/shards.json") && contains("names and"));
    const std::size_t at = whole.find("\"sizes\":[") + 9, end = whole.find_first_of(",]", at);
    CHECK_THAT(refusal(whole.substr(at - 9, end - at + 9), fmt::format("\"sizes\":[{}", number)), contains("x/shards.json: 'sizes' of test-00000.tar holds"));
    const std::size_t bytes_at = whole.find("\"bytes\":"), bytes_end = whole.find(',', bytes_at);
    CHECK_THAT(refusal(whole.substr(bytes_at, bytes_end - bytes_at), fmt::format("\"bytes\":{}", number)), contains("x/shards.json: 'bytes' of test-00000.tar holds"));
  }
}

TEST_CASE("a shard that can't be read or asked for is an error that names it and the reason") {
  const Packing packing;
  packing.pack();
  const Dataset set = packing.load(packing.shards);
  const auto error_with = [&](const char* faults, auto act) {
    set_faults(faults);
    const std::string error = words_of(act);
    set_faults("");
    return error;
  };
  CHECK_THAT(error_with("read:2:EIO:test-00000.tar", [&] { pixels_of(set.test, false); }), contains("cannot read") && contains("test-00000.tar: Input/output error"));
  CHECK_THAT(error_with("read:1:EIO:train-00001.tar", [&] { check_shards(packing.shards); }), contains("cannot read") && contains("train-00001.tar: Input/output error"));
  CHECK_THAT(error_with("open:1:EMFILE:train-00001.tar", [&] { pixels_of(packing.load(packing.shards).train, false); }), contains("cannot open") && contains("ulimit -n"));
  CHECK_THAT(error_with("stat:1:EACCES:train-00001.tar", [&] { packing.load(packing.shards); }), contains("train-00001.tar: Permission denied"));
  CHECK(words_of([&] { pixels_of(set.test, false); }) == "no error");
}

TEST_CASE("two packed folders used from one directory are two to the cache, one used from two directories is one") {
  const Packing one, other;
  one.pack();
  write_bytes(other.pictures / "train/cat/0.png", png_of(noise_picture(24, 24, 77)));
  other.pack();
  FolderOptions options = kSmall;
  options.cache = one.folder.path() / "cache";
  const auto kept = [&] { return std::distance(fs::directory_iterator(options.cache), {}); };
  const Dataset first = one.load(one.shards, options), second = other.load(other.shards, options);
  CHECK(first.normalization.mean != second.normalization.mean);
  CHECK(kept() == 2);
  const auto when = [&] {
    std::vector<fs::file_time_type> times;
    for (const auto& entry : fs::directory_iterator(options.cache)) times.push_back(entry.last_write_time());
    std::ranges::sort(times);
    return times;
  };
  const auto written = when();
  const fs::path here = fs::current_path();
  fs::current_path(one.folder.path());
  const Dataset again = one.load("shards", options), still = other.load(other.shards, options);
  fs::current_path(here);
  CHECK(again.normalization.mean == first.normalization.mean);
  CHECK(still.normalization.mean == second.normalization.mean);
  CHECK(kept() == 2);
  CHECK(when() == written);  // both knew everything
}

TEST_CASE("messages about a set of shards name its folder") {
  const Packing packing;
  packing.pack();
  const Dataset set = packing.load(packing.shards);
  std::vector<std::uint8_t> pixels(set.train.image_bytes());
  CHECK_THAT(words_of([&] { set.train.source->read(99, pixels.data()); }), contains((packing.shards / "train").string() + ": image 99 was asked for, there are 18"));
  const ShardedSet train = read_index(packing.shards).train;
  for (const PictureFile& file : train.files) {
    const fs::path shard = packing.shards / train.shards[file.shard].file;
    Bytes bytes = read_bytes(shard);
    bytes[file.offset + 512] = 'x';  // no picture begins like this
    write_bytes(shard, bytes);
  }
  FolderOptions skip = kSmall;
  skip.skip_broken = true;
  CHECK_THAT(words_of([&] { packing.load(packing.shards, skip); }), contains((packing.shards / "train").string() + ": not one image is whole"));
}
