#include "command.hpp"

#include <equipoise/parallel/agree.hpp>
#include <equipoise/pareto/indicators.hpp>
#include <equipoise/state/field_map.hpp>
#include <equipoise/state/inspect.hpp>

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

namespace equipoise::drivers {
namespace {

/// The problem of a run file, set up again, and its solution.
struct Reopened {
  state::RunRecord record;
  Case problem;
  std::unique_ptr<state::Stateful> solution;
};

Reopened reopen(const parallel::Comm& comm, const std::string& file) {
  Reopened again;
  again.record = state::read_run_record(comm, file);
  again.problem = open_case(comm, state::Config::parse(again.record.config_toml, file));
  const std::string now = again.problem.instance->fingerprint();
  if (now != again.record.identity_problem) {
    throw CheckpointError("{} was made from another input\n  stored: {}\n  now:    {}", file,
                          again.record.identity_problem, now);
  }
  again.solution = again.problem.instance->solution_storage();
  state::read_solution(comm, file, *again.solution);
  return again;
}

bool agrees(double stored, double now) {
  if (std::isnan(stored) || std::isnan(now)) return std::isnan(stored) == std::isnan(now);
  return std::fabs(stored - now) <= 1e-9 + 1e-3 * std::fabs(stored);
}

/// Runs a program without a shell, so that any file name is safe; returns its exit status.
int run_program(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace

int inspect_command(const parallel::Comm& comm, const std::string& file) {
  const std::string text = state::describe_file(comm, file);
  if (comm.rank() == 0) fmt::print("{}", text);
  return 0;
}

int verify_command(const parallel::Comm& comm, const std::string& file) {
  Reopened again = reopen(comm, file);
  const solve::Certificate certificate = again.problem.instance->certify(*again.solution);
  bool all = true;
  std::string table;
  for (const auto& [key, value] : certificate.values) {
    double stored = std::nan("");
    for (const auto& [name, figure] : again.record.certificate) {
      if (name == key) stored = figure;
    }
    const bool same = agrees(stored, value);
    all = all && same;
    table += fmt::format("  {:<42} stored {:<14.6e} now {:<14.6e} {}\n", key, stored, value,
                         same ? "agrees" : "DIFFERS");
  }
  solve::StopOptions stop;
  again.problem.config.read("stop", stop);
  const bool reached = certificate.measure <= stop.tolerance * (1.0 + 1e-6);
  if (comm.rank() == 0) {
    fmt::print("{}\n{}  measure {:.6e}, tolerance {:.1e}: {}\n", file, table, certificate.measure,
               stop.tolerance, reached ? "reached" : "not reached");
  }
  if (!all)
    throw CheckpointError("{}: the stored certificate does not hold for the stored solution", file);
  return static_cast<int>(reached ? Exit::ok : Exit::limit);
}

namespace {

/// Makes an output directory, or refuses one with content. **Collective.**
void make_directory(const parallel::Comm& comm, const std::string& directory, bool overwrite) {
  parallel::agree(comm, [&] {
    if (comm.rank() != 0) return;
    std::error_code error;
    if (!overwrite && std::filesystem::is_directory(directory, error) &&
        !std::filesystem::is_empty(directory, error)) {
      throw ConfigurationError("{}: the directory is not empty; choose another, or add --overwrite",
                               directory);
    }
    std::filesystem::create_directories(directory, error);
    if (error) throw CheckpointError("{}: cannot be made ({})", directory, error.message());
  });
}

}  // namespace

int export_command(const parallel::Comm& comm, const std::string& file, const std::string& csv,
                   const std::string& xdmf, bool overwrite) {
  if (csv.empty() && xdmf.empty())
    throw ConfigurationError("export: name a directory with --csv DIR or --xdmf DIR");
  Reopened again = reopen(comm, file);
  std::vector<std::string> paths;
  if (!csv.empty()) {
    make_directory(comm, csv, overwrite);
    paths = again.problem.instance->export_csv(*again.solution, csv);
  }
  if (!xdmf.empty()) {
    make_directory(comm, xdmf, overwrite || xdmf == csv);
    for (auto& path : again.problem.instance->export_xdmf(*again.solution, xdmf))
      paths.push_back(std::move(path));
  }
  for (const std::string& path : paths) {
    if (comm.rank() == 0) fmt::print("{}\n", path);
  }
  return 0;
}

int choose_command(const parallel::Comm& comm, const std::string& file,
                   const std::vector<double>& weights, const std::vector<double>& aspiration) {
  Reopened again = reopen(comm, file);
  state::FieldMap map;
  again.solution->fields(map);
  if (!map.has("front_objectives"))
    throw ConfigurationError("{} holds no front to choose from", file);
  const auto k = static_cast<std::size_t>(map.number("front_objective_count"));
  const pareto::PointView front{map.doubles("front_objectives"), k};
  if (front.size() == 0) throw ConfigurationError("{}: the front has no point", file);
  const bool knee = weights.empty() && aspiration.empty();
  // The ideal point and equal weights where nothing else is said.
  const auto point =
      knee ? pareto::knee(front)
           : pareto::preferred(front,
                               aspiration.empty() ? pareto::range_of(front).ideal : aspiration,
                               weights.empty() ? std::vector<double>(k, 1.0) : weights);
  if (comm.rank() != 0) return 0;
  fmt::print("point {} of {}, {}\n", point + 1, front.size(), knee ? "the knee" : "preferred");
  for (std::size_t i = 0; i < k; ++i) fmt::print("  f{} {:.10g}\n", i + 1, front[point][i]);
  if (!map.has("front_points")) return 0;
  const auto n = static_cast<std::size_t>(map.number("front_variables"));
  const auto x = map.doubles("front_points").subspan(point * n, n);
  for (std::size_t j = 0; j < n; ++j) fmt::print("  x{} {:.10g}\n", j + 1, x[j]);
  return 0;
}

std::string scripts_directory() {
  return std::filesystem::is_directory(EQUIPOISE_SCRIPTS_INSTALL) ? EQUIPOISE_SCRIPTS_INSTALL
                                                                  : EQUIPOISE_SCRIPTS_BUILD;
}

namespace {

/// Runs a script of ours by Python on rank 0; its exit status on every rank. **Collective.**
int run_script(const parallel::Comm& comm, const std::string& script,
               const std::vector<std::string>& arguments) {
  std::int64_t status = 0;
  if (comm.rank() == 0) {
    const char* python = std::getenv("EQUIPOISE_PYTHON");
    std::vector<std::string> words = {python ? python : "/usr/bin/python3",
                                      scripts_directory() + "/" + script};
    words.insert(words.end(), arguments.begin(), arguments.end());
    status = run_program(words);
    if (status == 127) {
      fmt::print(stderr,
                 "equipoise: error: {} not found; install python3 with h5py and matplotlib, or set "
                 "EQUIPOISE_PYTHON\n",
                 words[0]);
    }
  }
  return static_cast<int>(comm.max(status));
}

}  // namespace

int plot_command(const parallel::Comm& comm, const std::vector<std::string>& files,
                 const std::string& picture, PlotKind kind) {
  if (!kind.fields) {
    std::vector<std::string> arguments = files;
    if (kind.parallel) arguments.emplace_back("--parallel");
    if (kind.history) arguments.emplace_back("--history");
    arguments.insert(arguments.end(), {"-o", picture});
    return run_script(comm, kind.parallel ? "plot_front.py" : "plot.py", arguments);
  }
  if (files.size() != 1) throw ConfigurationError("plot --fields draws one run file at a time");
  Reopened again = reopen(comm, files[0]);
  const std::string directory = comm.broadcast(
      (std::filesystem::temp_directory_path() / fmt::format("equipoise-fields-{}", getpid()))
          .string());
  make_directory(comm, directory, true);
  again.problem.instance->export_xdmf(*again.solution, directory);
  const int status = run_script(comm, "plot_fields.py", {directory, "-o", picture});
  std::error_code ignored;
  if (comm.rank() == 0) std::filesystem::remove_all(directory, ignored);
  return status;
}

int report_command(const parallel::Comm& comm, const std::string& file, const std::string& page,
                   bool overwrite) {
  state::check_output(comm, page, overwrite);
  return run_script(comm, "report.py", {file, "-o", page});
}

}  // namespace equipoise::drivers
