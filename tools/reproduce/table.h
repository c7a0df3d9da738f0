// The table of results and its plot, from the result.json files below a folder and nothing else.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace hinge::reproduce {

// One compressed network of one run.
struct Entry {
  std::string folder;  // below the folder that was asked for
  std::string network, data, target, method;
  int search_epochs = 0, epochs = 0;  // epochs: in all
  std::int64_t seed = 0;
  double error_before = 0.0, error = 0.0;  // top-1, per cent, test images
  double flops = 0.0, parameters = 0.0;    // kept, per cent
  std::string selected_by;                 // "held-out images" or "last epoch"
  bool proof_holds = false;
};
// Of every run of `hinge compress` below `folder`, in the order of their names; a run with several targets has several
// entries. Throws Error that names a result.json which is not as hinge writes it.
std::vector<Entry> entries_below(const std::filesystem::path& folder);

// A row of the paper's tables for a network that keeps this many per cent of its multiply-adds.
struct PaperRow {
  std::string name;
  double error = 0.0, baseline_error = 0.0, flops = 0.0, parameters = 0.0;
};
// The nearest within 1.5 points of `flops`, or nothing.
std::optional<PaperRow> paper_row(const std::string& network, const std::string& data, double flops);

// Entries that differ in nothing but their seed.
struct Mean {
  std::vector<Entry> entries;
  double error = 0.0, spread = 0.0;  // mean and standard deviation (n - 1) over seeds; 0 for one seed
};
// What can be compared: one network, data set, target and number of epochs, by whatever method.
struct Row {
  std::string network, data, target;
  int epochs = 0;
  std::vector<Mean> methods;  // hinge first, then by error
  std::optional<PaperRow> paper;
};
std::vector<Row> rows_of(const std::vector<Entry>& entries);

// "hinge is better than l1-norm (by 0.77) ...", or that it isn't, or that there is no control.
std::string verdict_of(const Row& row);

std::string markdown_of(const std::vector<Row>& rows);
// A page for a browser: the table's numbers as error over multiply-adds, a figure per network; points say their run's folder.
std::string page_of(const std::vector<Row>& rows);

}  // namespace hinge::reproduce
