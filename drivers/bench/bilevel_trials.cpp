#include "bench.hpp"
#include "command.hpp"

#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/bilevel/instance.hpp>
#include <equipoise/problems/registry.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <set>
#include <string>

namespace equipoise::drivers {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct TrialOptions {
  std::string trials, out;
  double seconds = 0.0;
  void describe(state::OptionVisitor& visit) {
    visit.option("trials", trials, "file of trials, a JSON object a line");
    visit.option("out", out, "file of results, a JSON object a line; trials found there are done");
    visit.option("seconds", seconds, "start no further trial after this time, 0 for no limit",
                 state::non_negative);
  }
};

/// One line of the file of trials.
struct Trial {
  std::string id;
  std::vector<std::string> words;  ///< as `equipoise solve` takes them
  std::int64_t iterations = 0;     ///< most iterations
  double calls = 0.0;              ///< most oracle calls of all kinds and ranks, 0 for no limit
  std::int64_t points = 0;         ///< records at equal distances of calls, with the figures
  double residual = 0.0;           ///< ends the trial once the measure falls to this
  double objective = 0.0;          ///< likewise, where `has_objective`
  bool has_objective = false;
};

/// The lines of a file that parse, for ids done and trials to do; a last line cut short by a kill
/// is left out.
std::vector<json> read_lines(const std::string& path, bool must) {
  std::vector<json> out;
  std::ifstream file(path);
  if (!file && must) throw InputError("{}: no such file; write one JSON object a line", path);
  std::int64_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.empty()) continue;
    json parsed = json::parse(line, nullptr, false);
    if (!parsed.is_discarded()) {
      out.push_back(std::move(parsed));
    } else if (must) {
      throw InputError("{}:{}: not a JSON object", path, number);
    }
  }
  return out;
}

Trial trial_of(const json& line) {
  Trial out;
  try {
    out.id = line.at("id").get<std::string>();
    out.words = line.at("words").get<std::vector<std::string>>();
    out.iterations = line.at("iterations").get<std::int64_t>();
    out.calls = line.value("calls", 0.0);
    out.points = line.value("points", std::int64_t{0});
    out.residual = line.value("residual", 0.0);
    out.has_objective = line.contains("objective");
    out.objective = line.value("objective", 0.0);
  } catch (const json::exception& error) {
    throw InputError("a trial needs id, words and iterations: {} in {}", error.what(), line.dump());
  }
  return out;
}

json finite_or_null(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }

/// The curve of a trial: what was known at some iterations.
class Curve {
 public:
  void add(const std::string& column, double value) {
    columns_[column].push_back(finite_or_null(value));
  }
  [[nodiscard]] const json& columns() const { return columns_; }

 private:
  json columns_ = json::object();
};

class Runner {
 public:
  explicit Runner(parallel::Comm comm) : comm_(std::move(comm)) {}

  json run(const Trial& trial) {
    json out = {{"id", trial.id}, {"words", trial.words}};
    const auto start = Clock::now();
    try {
      follow(trial, out);
    } catch (const Error& error) {
      out["stop"] = "failed";
      out["message"] = error.what();
    }
    out["seconds"] = seconds_since(start);
    return out;
  }

 private:
  /// Opens the problem of the trial; a following trial on the same one finds it open.
  solve::Instance& open(const Trial& trial) {
    std::string key;
    for (const auto& word : trial.words) {
      if (!word.starts_with("method.")) key += word + "\n";
    }
    config_ = read_words(comm_, trial.words);
    if (key != key_ || !case_.instance) {
      case_ = {};
      key_ = key;
      case_ = open_case(comm_, config_);
      config_ = case_.config;
    } else {
      // The open problem has read its options; read them again so that they count as used.
      const auto& entry =
          problems::find_problem(config_.text("problem.family"), config_.text("problem.name"));
      config_.read("problem", entry.describe);
      problems::BilevelRun run;
      config_.read("run", run);
    }
    return *case_.instance;
  }

  [[nodiscard]] double calls(const solve::Method& method) const {
    std::int64_t sum = 0;
    for (const auto& [kind, count] : method.counters()) sum += count;
    return static_cast<double>(comm_.sum(sum));
  }

  void follow(const Trial& trial, json& out) {
    solve::Instance& instance = open(trial);
    const std::string name = config_.text("method.name", instance.methods().front());
    const auto method = instance.make_method(name, config_);
    config_.reject_unused();
    auto* const bilevel = dynamic_cast<problems::BilevelInstance*>(&instance);
    if (!bilevel) throw ConfigurationError("trial {}: the problem is not bilevel", trial.id);
    Curve curve, points;
    double next = 0.0, used = 0.0;
    std::string stop = "budget";
    std::int64_t k = 0;
    double first = std::numeric_limits<double>::quiet_NaN();
    const auto mark = [&] {
      MethodSolution found(*method);
      points.add("iteration", static_cast<double>(k));
      points.add("calls", used);
      for (const auto& [figure, value] : bilevel->figures(found)) points.add(figure, value);
      next += trial.calls / static_cast<double>(trial.points);
    };
    while (k < trial.iterations && (trial.calls <= 0.0 || used < trial.calls)) {
      method->step();
      ++k;
      if (trial.calls > 0.0 || method->report().fresh) used = calls(*method);
      const solve::Report report = method->report();
      if (trial.points > 0 && used >= next) mark();
      if (report.fresh || report.failed || report.finished) {
        curve.add("iteration", static_cast<double>(k));
        curve.add("calls", used);
        curve.add("residual", report.residual);
        curve.add("objective", report.objective);
      }
      if (report.failed || report.finished) {
        stop = report.failed ? "failed" : "finished";
        out["message"] = report.message;
        break;
      }
      if (report.fresh && std::isnan(first)) first = report.residual;
      if (report.fresh && std::isfinite(first) && !(report.residual <= 1e6 * first)) {
        stop = "failed";
        out["message"] = "diverged: the measure is over a million times its first value";
        break;
      }
      if (report.fresh && (report.residual <= trial.residual ||
                           (trial.has_objective && report.objective <= trial.objective))) {
        stop = "target";
        break;
      }
    }
    if (trial.points > 0) mark();
    out["stop"] = stop;
    out["method"] = name;
    out["iterations"] = k;
    out["calls"] = calls(*method);
    for (const auto& [kind, count] : method->counters())
      out["calls_by_kind"][kind] = comm_.sum(count);
    out["curve"] = curve.columns();
    if (trial.points > 0) out["points"] = points.columns();
    for (const auto& [key, value] : method->notes()) out["notes"][key] = value;
    out["problem"] = instance.fingerprint();
  }

  parallel::Comm comm_;
  std::string key_;
  Case case_;
  state::Config config_;
};

}  // namespace

int bench_bilevel_trials(const parallel::Comm& comm, const std::vector<std::string>& words) {
  TrialOptions options;
  state::Config config;
  for (const auto& word : words) config.assign(word);
  config.read("bench", options);
  config.reject_unused();
  const auto start = Clock::now();
  std::vector<Trial> todo;
  parallel::agree(comm, [&] {
    if (options.trials.empty() || options.out.empty()) {
      throw ConfigurationError(
          "bench bilevel-trials needs bench.trials=FILE and bench.out=FILE: trials in, results "
          "out, a JSON object a line");
    }
    std::set<std::string> done;
    for (const auto& line : read_lines(options.out, false)) done.insert(line.value("id", ""));
    for (const auto& line : read_lines(options.trials, true)) {
      Trial trial = trial_of(line);
      if (!done.contains(trial.id)) todo.push_back(std::move(trial));
    }
  });
  std::ofstream file;
  parallel::agree(comm, [&] {
    if (comm.rank() != 0) return;
    // A line cut short by a kill is ended first.
    std::ifstream before(options.out);
    const std::string text((std::istreambuf_iterator<char>(before)), {});
    file.open(options.out, std::ios::app);
    if (!text.empty() && text.back() != '\n') file << '\n';
    if (!file) throw CheckpointError("{}: cannot be written", options.out);
  });
  Runner runner(comm);
  std::size_t number = 0;
  for (const Trial& trial : todo) {
    const bool late = options.seconds > 0.0 && seconds_since(start) > options.seconds;
    if (comm.any(late)) break;
    const json result = runner.run(trial);
    ++number;
    parallel::agree(comm, [&] {
      if (comm.rank() != 0) return;
      file << result.dump() << std::endl;
      if (!file) throw CheckpointError("{}: writing failed; is the disk full?", options.out);
      fmt::print("{:>5} of {}  {:<44} {:<8} {:>9} iterations {:>7.1f} s\n", number, todo.size(),
                 trial.id, result.value("stop", ""), result.value("iterations", std::int64_t{0}),
                 result.value("seconds", 0.0));
      std::fflush(stdout);
    });
  }
  if (number < todo.size() && comm.rank() == 0) {
    fmt::print("{} trials left; the same command continues\n", todo.size() - number);
  }
  return static_cast<int>(number < todo.size() ? Exit::limit : Exit::ok);
}

}  // namespace equipoise::drivers
