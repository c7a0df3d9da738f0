// hinge reproduce: rows of the paper's tables, each with its controls, as a list of runs that can be cut off anywhere.
#include "engine/core/error.h"
#include "engine/io/file.h"
#include "tools/hinge/commands.h"
#include "tools/hinge/console.h"
#include "tools/hinge/interrupt.h"
#include "tools/hinge/session.h"
#include "tools/reproduce/jobs.h"
#include "tools/reproduce/progress.h"
#include "tools/reproduce/table.h"

namespace hinge::cli {
namespace {

using reproduce::Job;
using reproduce::JobProgress;
using reproduce::State;

struct Options {
  std::vector<std::string> names, rows, methods = reproduce::Request().methods;
  std::vector<float> mean, std;
  std::string schedule = "full", out = "reproduction", data_dir, weights, shortcut, device = "auto", precision = "fp32";
  int seeds = 1, first_seed = 0, threads = 0, train_images = 0;
  bool all = false, table = false, dry_run = false;
};

std::vector<JobProgress> progress_of(const std::vector<Job>& jobs) {
  std::vector<JobProgress> progress;
  for (const Job& job : jobs) progress.push_back(reproduce::progress_of(job));
  return progress;
}

std::string outlook_text(const std::vector<Job>& jobs) {
  const reproduce::Outlook outlook = reproduce::outlook_of(jobs, progress_of(jobs));
  const std::string time = outlook.left == 0 ? "" : outlook.seconds ? fmt::format(", about {} left", duration_text(*outlook.seconds))
                                                                    : ", time left unknown until an epoch is done";
  return fmt::format("{} of {} runs are done{}", outlook.done, jobs.size(), time);
}

std::string name_of(const Job& job) { return job.kind == "baseline" ? job.row + " baseline" : fmt::format("{} {} seed {}", job.row, job.kind, job.seed); }

void write_table(const std::filesystem::path& out) {
  const std::vector<reproduce::Row> rows = reproduce::rows_of(reproduce::entries_below(out));
  if (rows.empty()) {
    say("no result of hinge compress in {} yet", out.string());
    return;
  }
  const std::string markdown = reproduce::markdown_of(rows);
  io::write_file_atomically(out / "table.md", markdown);
  io::write_file_atomically(out / "table.html", reproduce::page_of(rows));
  say("{}\n{}", markdown, (out / "table.html").string());
}

// In this process, as if it had been typed. The run says its own errors.
void carry_out(const Job& job, const JobProgress& progress) {
  std::vector<std::string> words = progress.state == State::kBegun ? std::vector<std::string>{job.words[0], "--resume", job.folder.string()} : job.words;
  std::vector<const char*> argv = {"hinge"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  std::filesystem::create_directories(job.folder.parent_path());
  const int code = run_program(static_cast<int>(argv.size()), argv.data());
  if (code == 130) throw Interrupted("stopped; the same command goes on from here");
  require(code == 0, "{} failed (above); the runs before it are kept, and the same command goes on with it", name_of(job));
}

void reproduce_rows(const Options& options) {
  if (options.table) {
    write_table(options.out);
    return;
  }
  std::vector<std::string> names = options.names;
  names.insert(names.end(), options.rows.begin(), options.rows.end());
  // "table1 --row resnet56-50" is that row of table 1, not the whole table.
  if (!options.rows.empty()) {
    for (const std::string& name : options.names) {
      const std::vector<std::string> of_table = reproduce::rows_named({name});
      for (const std::string& row : options.rows) {
        if (std::ranges::find(of_table, row) == of_table.end()) fail_usage("--row {} is no row of {} (its rows: {})", row, name, fmt::join(of_table, ", "));
      }
    }
    names = options.rows;
  }
  if (options.all) names = {"table1", "table2"};
  if (names.empty()) fail_usage("which rows? a table (table1, table2), --row NAME or --all; rows: {}", fmt::join(reproduce::rows_named({"table1", "table2"}), ", "));
  if (options.data_dir.empty()) fail_usage("--data-dir is missing: the folder with cifar-10-batches-bin (and cifar-100-binary)");
  nlohmann::json common = {{"device", options.device}, {"precision", options.precision}};
  if (options.threads > 0) common["threads"] = options.threads;
  if (options.train_images > 0) common["train-images"] = options.train_images;
  if (!options.mean.empty()) common["mean"] = options.mean;
  if (!options.std.empty()) common["std"] = options.std;
  const reproduce::Request request{.rows = reproduce::rows_named(names), .methods = options.methods, .first_seed = options.first_seed, .seeds = options.seeds, .out = options.out, .data_dir = options.data_dir, .weights = options.weights, .shortcut = options.shortcut, .options = common};
  const std::vector<Job> jobs = reproduce::jobs_of(request, reproduce::schedule_of(options.schedule));
  if (options.dry_run) {
    for (const Job& job : jobs) say("hinge {}", fmt::join(job.words, " "));
    say("{}", outlook_text(jobs));
    return;
  }
  std::filesystem::create_directories(options.out);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const JobProgress progress = reproduce::progress_of(jobs[i]);
    if (progress.state == State::kDone) continue;
    say("== {} of {}: {} ({})", i + 1, jobs.size(), name_of(jobs[i]), outlook_text(jobs));
    carry_out(jobs[i], progress);
  }
  say("{}", outlook_text(jobs));
  write_table(options.out);
}

}  // namespace

Action declare_reproduce(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("tables", options->names, "table1 (CIFAR-10), table2 (CIFAR-100), or rows of them");
  Flags flags(app);
  flags.option("--row", options->rows, "Rows, e.g. resnet56-50")->delimiter(',');
  flags.flag("--all", options->all, "Both tables");
  flags.option("--schedule", options->schedule, "full (300 epochs), short (26 epochs from a trained network), paper (its own settings), or a file");
  flags.option("--methods", options->methods, "hinge and the controls beside it")->delimiter(',');
  flags.option("--seeds", options->seeds, "Runs of each, with seeds one after another")->check(CLI::Range(1, 1000));
  flags.option("--first-seed", options->first_seed, "")->check(CLI::NonNegativeNumber);
  flags.group("Network and data");
  flags.option("--weights", options->weights, "A trained network to start from, for rows of one network (default: train it first)");
  flags.option("--shortcut", options->shortcut, "Of that network: A-pool, A-stride or C");
  flags.option("--data-dir", options->data_dir, "Folder with cifar-10-batches-bin and cifar-100-binary");
  flags.option("--mean", options->mean, "Mean per channel of pixels in [0, 1] that the network was trained with")->delimiter(',');
  flags.option("--std", options->std, "Standard deviation per channel")->delimiter(',');
  flags.option("--train-images", options->train_images, "Train on the first N images only (0: all)")->check(CLI::NonNegativeNumber);
  flags.group("Machine");
  flags.option("--device", options->device, "auto (a GPU where there is one), cpu or cuda:N");
  flags.option("--precision", options->precision, "On a GPU: fp32, tf32 or bf16");
  flags.option("--threads", options->threads, "Threads to compute with (0: all)")->check(CLI::Range(0, 1024));
  flags.group("Output");
  flags.option("--out", options->out, "Folder for all runs; the same command goes on where an earlier one was cut off");
  flags.flag("--table", options->table, "Only write table.md and table.html from the results below --out");
  flags.flag("--dry-run", options->dry_run, "Only say which commands would run, and how long what is left may take");
  app.footer(
      "Examples:\n"
      "  hinge reproduce table1 --row resnet56-50 --data-dir DIR --seeds 3\n"
      "  hinge reproduce --row resnet20-45 --schedule short --weights resnet20.safetensors --shortcut A-stride --data-dir DIR\n"
      "  hinge reproduce --table --out reproduction");
  return [options] { reproduce_rows(*options); };
}

}  // namespace hinge::cli
