#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/pareto/external.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <thread>

extern char** environ;

namespace equipoise::problems {
namespace {

/// A fresh directory that disappears with its owner.
class Scratch {
 public:
  explicit Scratch(const std::string& parent) : path_(parent + "/evaluation-XXXXXX") {
    if (!mkdtemp(path_.data())) {
      throw InputError("{}: no directory for an evaluation can be made there: {}", parent,
                       std::strerror(errno));
    }
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] std::string file(const char* name) const { return path_ + "/" + name; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// The environment without what MPI launchers put there.
std::vector<char*> plain_environment() {
  std::vector<char*> result;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text(*entry);
    const bool launcher = text.starts_with("OMPI_COMM_") || text.starts_with("PMIX_") ||
                          text.starts_with("PMI_") || text.starts_with("OMPI_MCA_orte_") ||
                          text.starts_with("OMPI_MCA_ess");
    if (!launcher) result.push_back(*entry);
  }
  result.push_back(nullptr);
  return result;
}

/// Starts the shell in a process group of its own.
pid_t start(const std::string& script, const Scratch& scratch) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  const std::string log = scratch.file("standard-error");
  posix_spawn_file_actions_addopen(&files, 2, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  std::string text = script;
  std::string shell = "sh";
  std::string flag = "-c";
  char* arguments[] = {shell.data(), flag.data(), text.data(), nullptr};
  auto environment = plain_environment();
  pid_t child = 0;
  const int error =
      posix_spawn(&child, "/bin/sh", &files, &attributes, arguments, environment.data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) throw InputError("/bin/sh cannot be started: {}", std::strerror(error));
  return child;
}

/// Its status, or -1 where it ran out of time and was killed.
int wait_for(pid_t child, double seconds) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  auto pause = std::chrono::microseconds(200);
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (Clock::now() > end) {
      kill(-child, SIGKILL);
      waitpid(child, &status, 0);
      return -1;
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds(10000));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string last_line(const std::string& path) {
  std::ifstream in(path);
  std::string last;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty()) last = line.substr(0, 200);
  }
  return last.empty() ? "" : "; its last words: " + last;
}

std::vector<double> read_numbers(const std::string& path, std::size_t count) {
  std::ifstream in(path);
  if (!in) throw InputError("the program ended well but wrote no output file");
  std::vector<double> numbers;
  for (std::string word; in >> word;) {
    std::size_t used = 0;
    double value = 0.0;
    try {
      value = std::stod(word, &used);
    } catch (const std::exception&) {
      used = 0;
    }
    if (used != word.size()) {
      throw InputError("word {} of the program's output, `{}`, is no number", numbers.size() + 1,
                       word.substr(0, 40));
    }
    numbers.push_back(value);
  }
  if (numbers.size() != count) {
    throw InputError("the program wrote {} numbers, {} objectives and constraints were expected",
                     numbers.size(), count);
  }
  return numbers;
}

}  // namespace

void ExternalProgram::evaluate(std::span<const double> x, std::span<double> f,
                               std::span<double> c) const {
  const Scratch scratch(directory);
  const std::string input = scratch.file("input");
  const std::string output = scratch.file("output");
  {
    std::ofstream out(input);
    for (const double v : x) out << fmt::format("{:.17g}\n", v);
    if (!out.flush()) throw InputError("{}: cannot be written; is the disk full?", input);
  }
  const int status =
      wait_for(start(fmt::format("{} '{}' '{}'", command, input, output), scratch), timeout);
  const std::string words = last_line(scratch.file("standard-error"));
  if (status == -1) {
    throw InputError("the program ran longer than {} s (problem.timeout) and was ended{}", timeout,
                     words);
  }
  if (status != 0) throw InputError("the program ended with status {}{}", status, words);
  const auto numbers = read_numbers(output, f.size() + c.size());
  std::copy_n(numbers.begin(), f.size(), f.begin());
  std::copy_n(numbers.begin() + static_cast<std::ptrdiff_t>(f.size()), c.size(), c.begin());
}

std::string ExternalProgram::fingerprint() const {
  return fmt::format("program `{}`, {} objectives, {} constraints, {} variables", command,
                     objective_count, constraint_count, dimension());
}

}  // namespace equipoise::problems
