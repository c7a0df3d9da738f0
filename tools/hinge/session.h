// What train, compress and finetune have in common: starting or resuming a run, and ending it.
#pragma once

#include <functional>
#include <map>

#include "tools/hinge/console.h"
#include "tools/hinge/options.h"
#include "tools/hinge/run_folder.h"
#include "tools/hinge/trainer.h"

namespace hinge::cli {

// Creates --out or opens --resume, with all options read back in the latter case. `command` is what config.json must
// be of. Threads and convolution choices are set.
RunFolder start_run(const std::string& command, CLI::App& app, Flags& flags, RunOptions& options);

// Files that a run is made from, by the flag that names them; empty names are left out.
using InputFiles = std::map<std::string, std::string>;

// The checkpoint of a resumed run. What the run is made from is kept in inputs.json when it begins; throws Error if the data
// or a file have changed since.
std::optional<io::Checkpoint> checkpoint_of(RunFolder& run, const data::Dataset& dataset, const InputFiles& files);

// Writes result.json (and --json), with what every result carries: command, seed, environment, date.
void finish_run(RunFolder& run, const RunOptions& options, nlohmann::json result);

// A table with a heading line and columns aligned; the first column to the left, others to the right.
void say_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace hinge::cli
