#include "data/inspection_cache.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <span>
#include <string_view>
#include <type_traits>

#include "engine/core/error.h"
#include "engine/core/hash.h"
#include "engine/io/file.h"

namespace hinge::data {
namespace {

// magic | length, about | count, looks | count, (key, length, reason)... | hash of all before.   Numbers as the machine has them.
constexpr std::uint64_t kMagic = 0x3163697065676E68;  // "hngepic1"; another byte order reads another number
constexpr int kSums = 1;                              // another number where resampling or the sums come out otherwise
constexpr std::size_t kHashBytes = sizeof(std::uint64_t);

static_assert(std::is_trivially_copyable_v<Look> && sizeof(Look) == 56);

std::uint64_t hash_of_bytes(std::string_view bytes) {
  Hash hash;
  hash.add(bytes);
  return hash.value();
}

void append(std::string& out, std::uint64_t number) { out.append(reinterpret_cast<const char*>(&number), sizeof number); }
void append(std::string& out, std::string_view text) {
  append(out, static_cast<std::uint64_t>(text.size()));
  out += text;
}

// Takes numbers and texts from the front. Throws where there are no more.
struct Reader {
  std::string_view rest;

  std::string_view take(std::uint64_t bytes) {
    require(bytes <= rest.size(), "{} bytes were expected, {} are there", bytes, rest.size());
    const std::string_view taken = rest.substr(0, bytes);
    rest.remove_prefix(bytes);
    return taken;
  }
  std::uint64_t number() {
    std::uint64_t value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view text() { return take(number()); }
};

// Of another folder: a collision of two files' names, and no damage. Then there are no looks.
Looks parse(std::string_view bytes, const std::string& about) {
  require(bytes.size() >= 2 * kHashBytes, "it has {} bytes", bytes.size());
  const std::string_view content = bytes.substr(0, bytes.size() - kHashBytes);
  Reader end{bytes.substr(content.size())}, reader{content};
  require(end.number() == hash_of_bytes(content), "its checksum is wrong");
  Looks looks;
  if (reader.number() != kMagic || reader.text() != about) return looks;
  const std::uint64_t count = reader.number();
  require(count <= reader.rest.size() / sizeof(Look), "{} pictures in {} bytes", count, reader.rest.size());
  looks.looks.resize(count);
  if (count > 0) std::memcpy(looks.looks.data(), reader.take(count * sizeof(Look)).data(), count * sizeof(Look));
  for (std::uint64_t broken = reader.number(); broken > 0; --broken) {
    const std::uint64_t key = reader.number();
    looks.broken[key] = reader.text();
  }
  require(std::ranges::is_sorted(looks.looks, {}, &Look::key), "its pictures are not in order");
  return looks;
}

}  // namespace

const Look* Looks::find(std::uint64_t key) const {
  const auto found = std::ranges::lower_bound(looks, key, {}, &Look::key);
  return found != looks.end() && found->key == key ? &*found : nullptr;
}

std::string Looks::wrong_with(std::uint64_t key) const {
  const auto found = broken.find(key);
  return found == broken.end() ? "" : found->second;
}

std::uint64_t key_of(const PictureFile& file) {
  Hash hash;
  hash.add(file.name);
  hash.add(file.bytes);
  hash.add(static_cast<std::uint64_t>(file.stamp));
  return hash.value();
}

bool may_be_kept(const PictureFile& file, std::int64_t now) { return file.stamp < now - 2'000'000'000; }

std::string about_looks(const std::filesystem::path& pictures, int size, int resize, const std::string& decoders) {
  return fmt::format("{} {} {} {} {}", kSums, decoders, size, resize, std::filesystem::absolute(pictures).lexically_normal().string());
}

std::filesystem::path cache_file(const std::filesystem::path& folder, const std::string& about) { return folder / fmt::format("pictures-{:016x}", hash_of_bytes(about)); }

Looks load_looks(const std::filesystem::path& file, const std::string& about, std::string& note) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return {};
  try {
    return parse(io::read_file(file), about);
  } catch (const Error& error) {
    note = fmt::format("the cache {} can't be used, every picture is looked at: {}", file.string(), error.what());
    return {};
  }
}

void save_looks(const std::filesystem::path& file, const std::string& about, Looks looks) {
  std::ranges::sort(looks.looks, {}, &Look::key);
  std::string bytes;
  append(bytes, kMagic);
  append(bytes, about);
  append(bytes, static_cast<std::uint64_t>(looks.looks.size()));
  bytes.append(reinterpret_cast<const char*>(looks.looks.data()), looks.looks.size() * sizeof(Look));
  append(bytes, static_cast<std::uint64_t>(looks.broken.size()));
  for (const auto& [key, reason] : looks.broken) append(bytes, key), append(bytes, reason);
  append(bytes, hash_of_bytes(bytes));
  std::error_code ignored;  // where it can't be made, writing says so
  std::filesystem::create_directories(file.parent_path(), ignored);
  static std::mutex mutex;  // of one process, one writer at a time
  const std::lock_guard lock(mutex);
  io::write_file_atomically(file, bytes);
}

}  // namespace hinge::data
