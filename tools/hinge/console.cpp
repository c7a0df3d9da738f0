#include "tools/hinge/console.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace hinge::cli {
namespace {

std::FILE* g_lines = stdout;
bool g_silent = false;

}  // namespace

void lines_to_stderr() { g_lines = stderr; }
void silence() { g_silent = true; }

void say_line(const std::string& line) {
  if (g_silent) return;
  std::fputs((line + "\n").c_str(), g_lines);
  std::fflush(g_lines);
}

std::string duration_text(double seconds) {
  const auto total = static_cast<long>(std::max(0.0, seconds) + 0.5);
  if (total >= 3600) return fmt::format("{} h {:02} min", total / 3600, total / 60 % 60);
  if (total >= 60) return fmt::format("{} min {:02} s", total / 60, total % 60);
  return fmt::format("{} s", total);
}

Progress::Progress(std::string label, std::int64_t total, std::int64_t start)
    : label_(std::move(label)), total_(std::max<std::int64_t>(1, total)), start_(start), begun_(Clock::now()), drawn_(begun_), terminal_(isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() { finish(); }

void Progress::update(std::int64_t done, const std::string& note) {
  const auto now = Clock::now();
  const double since = std::chrono::duration<double>(now - drawn_).count();
  if (g_silent || since < (terminal_ ? 0.2 : 30.0)) return;
  drawn_ = now;
  const double elapsed = std::chrono::duration<double>(now - begun_).count();
  const double rate = static_cast<double>(done - start_) / std::max(elapsed, 1e-9);
  const double left = rate > 0.0 ? static_cast<double>(total_ - done) / rate : 0.0;
  const double share = static_cast<double>(done) / static_cast<double>(total_);
  if (terminal_) {
    constexpr int kWidth = 24;
    const int full = std::clamp(static_cast<int>(share * kWidth), 0, kWidth);
    std::fputs(fmt::format("\r\033[K{} [{}{}] {:3.0f} %  {:.0f}/s  {} left  {}", label_, std::string(static_cast<std::size_t>(full), '#'),
                           std::string(static_cast<std::size_t>(kWidth - full), '.'), 100.0 * share, rate, duration_text(left), note)
                   .c_str(),
               stderr);
  } else {
    std::fputs(fmt::format("{} {:.0f} %  {:.0f}/s  {} left  {}\n", label_, 100.0 * share, rate, duration_text(left), note).c_str(), stderr);
  }
  std::fflush(stderr);
  shown_ = true;
}

void Progress::finish() {
  if (terminal_ && shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
}

}  // namespace hinge::cli
