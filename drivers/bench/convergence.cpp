#include "../command.hpp"

#include <equipoise/parallel/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace equipoise::drivers {
namespace {

/// The words "over=KEY=A,B,C" and everything else.
struct Sweep {
  std::string key = "problem.cells";
  std::vector<std::string> values = {"8", "16", "32", "64"};
  std::vector<std::string> words;
};

Sweep read_sweep(const std::vector<std::string>& words) {
  Sweep sweep;
  for (const std::string& word : words) {
    if (!word.starts_with("over=")) {
      sweep.words.push_back(word);
      continue;
    }
    const std::size_t equals = word.find('=', 5);
    if (equals == std::string::npos || equals + 1 == word.size()) {
      throw ConfigurationError("bench convergence: {} should read over=KEY=A,B,C", word);
    }
    sweep.key = word.substr(5, equals - 5);
    sweep.values.clear();
    for (std::size_t at = equals + 1; at <= word.size();) {
      const std::size_t comma = std::min(word.find(',', at), word.size());
      sweep.values.push_back(word.substr(at, comma - at));
      at = comma + 1;
    }
  }
  return sweep;
}

}  // namespace

/// Runs a case for several values of one key and prints iterations, cost and every figure of the
/// certificate whose name holds "error", with the order observed from one row to the next: log2 of
/// the ratio of the errors (over that of the values, where the key is a number of cells).
int bench_convergence(const parallel::Comm& comm, const std::vector<std::string>& words) {
  const Sweep sweep = read_sweep(words);
  std::vector<double> before;
  double parameter_before = 0.0;
  int worst = 0;
  for (const std::string& value : sweep.values) {
    RunArguments arguments;
    arguments.words = sweep.words;
    arguments.words.push_back(sweep.key + "=" + value);
    arguments.quiet = true;
    const Outcome outcome = run_case(comm, arguments);
    worst = std::max(worst, static_cast<int>(outcome.summary.exit_code()));
    std::vector<double> errors;
    std::string head = fmt::format("{:>16} {:>6} {:>18}", sweep.key, "steps", "cost");
    std::string line = fmt::format("{:>16} {:>6} {:>18.10e}", value, outcome.summary.iterations,
                                   outcome.summary.objective);
    const double parameter = std::atof(value.c_str());
    const double refinement = sweep.key.ends_with("refine") || !(parameter_before > 0.0)
                                  ? 1.0
                                  : std::log2(parameter / parameter_before);
    for (const auto& [name, figure] : outcome.certificate.values) {
      if (name.find("error") == std::string::npos) continue;
      head += fmt::format(" {:>20} {:>6}", name, "order");
      const std::size_t k = errors.size();
      line += fmt::format(" {:>20.6e}", figure);
      line += k < before.size()
                  ? fmt::format(" {:>6.2f}", std::log2(before[k] / figure) / refinement)
                  : fmt::format(" {:>6}", "");
      errors.push_back(figure);
    }
    if (comm.rank() == 0) {
      if (before.empty() && parameter_before == 0.0) fmt::print("{}\n", head);
      fmt::print("{}\n", line);
      std::fflush(stdout);
    }
    before = errors;
    parameter_before = std::max(parameter, 1e-300);
  }
  return worst;
}

}  // namespace equipoise::drivers
