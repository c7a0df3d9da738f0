// What a person sees: lines, and progress with rate and remaining time.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <string>

namespace hinge::cli {

// Where lines go: standard output, or standard error while standard output carries JSON.
void lines_to_stderr();
// No lines and no bars from now on: another rank of the same job says them.
void silence();
void say_line(const std::string& line);
template <class... Args>
void say(fmt::format_string<Args...> text, Args&&... args) {
  say_line(fmt::format(text, std::forward<Args>(args)...));
}

// "1 h 02 min", "3 min 20 s", "7 s"
std::string duration_text(double seconds);

// A bar with rate and ETA on a terminal (standard error, redrawn at most five times a second); on anything else a
// plain line every half minute.
class Progress {
 public:
  Progress(std::string label, std::int64_t total, std::int64_t start = 0);
  ~Progress();
  void update(std::int64_t done, const std::string& note);
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  std::string label_;
  std::int64_t total_, start_;
  Clock::time_point begun_, drawn_;
  bool terminal_, shown_ = false;
};

}  // namespace hinge::cli
