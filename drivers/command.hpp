#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/parallel/virtual_ranks.hpp>
#include <equipoise/solve/instance.hpp>
#include <equipoise/solve/run.hpp>
#include <equipoise/state/config.hpp>

#include <nlohmann/json_fwd.hpp>

#include <memory>
#include <string>
#include <vector>

/// The subcommands of `equipoise`, one file each. Every function is **Collective** and returns an
/// exit code.
namespace equipoise::drivers {

/// The arguments of `solve`, and of each run of `compare`.
struct RunArguments {
  std::vector<std::string> words;  ///< CASE.toml files and key=value overrides, the last wins
  std::string out, json, checkpoint, resume;
  double max_time = 0.0;
  bool overwrite = false;
  bool quiet = false;
};

/// `run.virtual_ranks`: counts what so many ranks would move, whatever the number that runs.
struct SimulationOptions {
  std::int64_t virtual_ranks = 0;
  void describe(state::OptionVisitor& visit);
};

/// A case set up: the configuration read so far, the problem, its name.
struct Case {
  state::Config config;
  std::string family, name, method;
  std::unique_ptr<parallel::VirtualRanks> virtual_ranks;  ///< null without the option
  std::unique_ptr<solve::Instance> instance;
};

/// What a run gave.
struct Outcome {
  solve::Summary summary;
  solve::Certificate certificate;
  std::vector<parallel::Traffic> virtual_traffic;  ///< of every virtual rank, or empty
  state::RunRecord record;
};

/// What `/solution` of a run file and certificates read from a method.
class MethodSolution final : public state::Stateful {
 public:
  explicit MethodSolution(solve::Method& method) : method_(method) {}
  void fields(state::FieldVisitor& visit) override { method_.solution(visit); }

 private:
  solve::Method& method_;
};

/// Reads TOML files, then overrides. **Collective.**
state::Config read_words(const parallel::Comm& comm, const std::vector<std::string>& words);
/// Finds and makes the problem. **Collective.**
Case open_case(const parallel::Comm& comm, state::Config config);
/// Makes problem and method of a case and lets them go: throws what is wrong with its options.
/// **Collective.**
void try_case(const parallel::Comm& comm, const RunArguments& arguments);
/// Solves a case and writes its run file if `out` names one. **Collective.**
Outcome run_case(const parallel::Comm& comm, const RunArguments& arguments);
/// The directory of the plotting scripts.
std::string scripts_directory();

int solve_command(const parallel::Comm& comm, const RunArguments& arguments);
int compare_command(const parallel::Comm& comm, const RunArguments& arguments,
                    const std::string& picture);
int check_command(const parallel::Comm& comm, const std::vector<std::string>& words);
int list_command(const parallel::Comm& comm, const std::string& topic, bool markdown);
int inspect_command(const parallel::Comm& comm, const std::string& file);
int verify_command(const parallel::Comm& comm, const std::string& file);
/// Writes CSV into `csv` and XDMF into `xdmf`; at least one is a directory.
int export_command(const parallel::Comm& comm, const std::string& file, const std::string& csv,
                   const std::string& xdmf, bool overwrite);
/// One point of a stored front: the knee, or the one preferred by weights around an aspiration
/// point (both in objectives scaled by the front's range; see pareto/indicators.hpp).
int choose_command(const parallel::Comm& comm, const std::string& file,
                   const std::vector<double>& weights, const std::vector<double>& aspiration);
/// What `plot` draws of run files: histories, fronts in the plane, in space, in parallel
/// coordinates, or the functions of one solution.
struct PlotKind {
  bool history = false, parallel = false, fields = false;
};
int plot_command(const parallel::Comm& comm, const std::vector<std::string>& files,
                 const std::string& picture, PlotKind kind);
int report_command(const parallel::Comm& comm, const std::string& file, const std::string& page,
                   bool overwrite);
/// Rank 0 reads side traces; the others end at once.
int top_command(const parallel::Comm& comm, const std::vector<std::string>& directories, bool once);

/// `equipoise bench NAME`: arguments after the name.
int bench_command(const parallel::Comm& comm, const std::string& name,
                  const std::vector<std::string>& words);

}  // namespace equipoise::drivers
