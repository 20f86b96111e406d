#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace equipoise {

/// Exit codes of the command; every error carries one, so that the program's end needs no table.
enum class Exit : int {
  ok = 0,             ///< reached the stop tolerance
  defect = 1,         ///< anything else: a defect of ours
  configuration = 2,  ///< bad command line or configuration
  input = 3,          ///< bad input data (file:line)
  limit = 4,          ///< stopped at a limit, or stalled, before the tolerance
  diverged = 5,       ///< diverged or not finite
  checkpoint = 6,     ///< checkpoint or run file unusable
  requeue = 75,       ///< interrupted; a checkpoint was written
};

/// An error with a message for the user: what was wrong, where, and what to do.
class Error : public std::runtime_error {
 public:
  Error(Exit code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] Exit code() const { return code_; }

 private:
  Exit code_;
};

/// Bad command line, option or combination of options.
struct ConfigurationError : Error {
  template <class... Args>
  explicit ConfigurationError(fmt::format_string<Args...> text, Args&&... args)
      : Error(Exit::configuration, fmt::format(text, std::forward<Args>(args)...)) {}
};

/// Bad input data; the message starts with file:line (or file:line:column) where there is one.
struct InputError : Error {
  template <class... Args>
  explicit InputError(fmt::format_string<Args...> text, Args&&... args)
      : Error(Exit::input, fmt::format(text, std::forward<Args>(args)...)) {}
};

/// A checkpoint or run file that cannot be written, read or trusted.
struct CheckpointError : Error {
  template <class... Args>
  explicit CheckpointError(fmt::format_string<Args...> text, Args&&... args)
      : Error(Exit::checkpoint, fmt::format(text, std::forward<Args>(args)...)) {}
};

/// A computation that left the finite numbers.
struct NotFiniteError : Error {
  template <class... Args>
  explicit NotFiniteError(fmt::format_string<Args...> text, Args&&... args)
      : Error(Exit::diverged, fmt::format(text, std::forward<Args>(args)...)) {}
};

}  // namespace equipoise
