// hinge pack: a folder of pictures into a few large files, and whether those are still what they were.
#include <omp.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "data/pack.h"
#include "data/shards.h"
#include "engine/core/error.h"
#include "engine/io/json.h"
#include "tools/hinge/commands.h"
#include "tools/hinge/counting.h"
#include "tools/hinge/flags.h"
#include "tools/hinge/session.h"
#include "tools/hinge/user_cache.h"

namespace hinge::cli {
namespace {

struct Options {
  std::string data_dir, out, check, shard_size = "256MB", broken_images = "fail", json;
  int loader_threads = 0;
  bool no_cache = false;
};

// "256MB", "1.5GiB", "4096"
std::uint64_t bytes_of(const std::string& text) {
  double number = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(end, text.data() + text.size());
  for (const auto& [name, factor] : {std::pair{"", 1.0}, {"B", 1.0}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}}) {
    if (error == std::errc() && unit == name && number >= 0.0 && number * factor <= 1e15) return static_cast<std::uint64_t>(number * factor);
  }
  fail_usage("--shard-size {}: expected a size such as 256MB (B, kB, MB, GB, KiB, MiB, GiB)", text);
}

void report(const Options& options, const nlohmann::json& result) {
  if (options.json == "-") {
    std::fputs((io::json_text(result, "pack", 2) + "\n").c_str(), stdout);
  } else if (!options.json.empty()) {
    io::write_json(options.json, result);
  }
}

void check(const Options& options) {
  if (!options.data_dir.empty() || !options.out.empty()) fail_usage("--check reads what was packed; it goes without --data-dir and --out");
  if (!data::is_packed(options.check)) fail_usage("--check {}: no file {} there, so it isn't a folder that 'hinge pack' finished", options.check, data::kShardIndex);
  const std::uint64_t bytes = data::check_shards(options.check, counting("checking", fmt::format("interrupted; {} was not read to its end", options.check)));
  say("{}: {} bytes read, all as they were packed", options.check, bytes);
  report(options, {{"folder", options.check}, {"bytes", bytes}});
}

void pack(const Options& options) {
  if (options.data_dir.empty()) fail_usage("--data-dir is missing: the folder with train/CLASS and test/CLASS");
  if (options.out.empty()) fail_usage("--out is missing: the folder for what is packed");
  data::PackOptions how;
  how.shard_bytes = bytes_of(options.shard_size);
  how.folder.skip_broken = options.broken_images == "skip";
  how.folder.threads = options.loader_threads > 0 ? options.loader_threads : std::clamp(omp_get_num_procs(), 1, 64);
  if (!options.no_cache) how.folder.cache = user_cache();
  how.folder.looked = counting("looking at pictures", "interrupted; nothing was packed");
  how.progress = counting("packing", fmt::format("interrupted; {} is not whole, start again to make it", options.out));
  const data::Packed packed = data::pack_folder(options.data_dir, options.out, how);
  for (const auto* texts : {&packed.warnings, &packed.left_out}) {
    for (const std::string& text : *texts) say("warning: {}", text);
  }
  say("{} pictures in {} shards of {} bytes, in {}", packed.images, packed.shards, packed.bytes, options.out);
  report(options, {{"folder", options.out}, {"images", packed.images}, {"shards", packed.shards}, {"bytes", packed.bytes}, {"left_out", packed.left_out}});
}

}  // namespace

Action declare_pack(CLI::App& app) {
  auto options = std::make_shared<Options>();
  Flags flags(app);
  flags.option("--data-dir", options->data_dir, "Folder of pictures: train/CLASS and test/CLASS or val/CLASS with .jpg and .png");
  flags.option("--out", options->out, "Folder for the shards and their index; --data folder reads it like the pictures' own");
  flags.option("--shard-size", options->shard_size, "Bytes of a shard at most, e.g. 256MB or 1GiB");
  flags.option("--broken-images", options->broken_images, "skip (with a warning each) or fail")->check(CLI::IsMember({"skip", "fail"}));
  flags.option("--loader-threads", options->loader_threads, "Threads that look at pictures (0: all of the processor's)")->check(CLI::Range(0, 64));
  flags.flag("--no-cache", options->no_cache, "Look at every picture, not only at those that are new or changed since they were last looked at");
  flags.option("--check", options->check, "Instead: read all shards of this folder and compare their checksums");
  flags.option("--json", options->json, "Write the result as JSON to a file, or to standard output with -");
  app.footer("Examples:\n  hinge pack --data-dir pictures --out SHARDS\n  hinge train --model mobilenet_v2 --data folder --data-dir SHARDS --epochs 30 --out RUN\n  hinge pack --check SHARDS");
  return [options] {
    if (options->json == "-") lines_to_stderr();
    options->check.empty() ? pack(*options) : check(*options);
  };
}

}  // namespace hinge::cli
