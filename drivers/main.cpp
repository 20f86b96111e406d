#include "bench/bench.hpp"
#include "command.hpp"
#include "plan.hpp"

#include <equipoise/parallel/session.hpp>

#include <CLI/CLI.hpp>

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

namespace equipoise::drivers {
namespace {

void add_run_options(CLI::App& app, RunArguments& a) {
  app.add_option("words", a.words,
                 "CASE.toml and key=value overrides, in any order; the last wins");
  app.add_option("--checkpoint", a.checkpoint, "save checkpoints into this directory");
  app.add_option("--max-time", a.max_time, "stop with a checkpoint after this many seconds")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--overwrite", a.overwrite, "replace existing output files");
  app.add_flag("--quiet", a.quiet, "print nothing but errors");
}

/// Builds the whole command line; parsing it leaves what is to be done in `todo`.
class CommandLine {
 public:
  CommandLine() {
    app_.require_subcommand(1);
    app_.set_version_flag("--version", "equipoise " EQUIPOISE_VERSION);
    app_.footer(
        "Exit codes: 0 reached the tolerance, 2 bad configuration, 3 bad input data, 4 stopped "
        "before the "
        "tolerance,\n5 diverged or not finite, 6 checkpoint or run file unusable, 75 interrupted "
        "with a "
        "checkpoint (requeue), 1 a defect.");
    add_solve();
    add_compare();
    add_files();
    add_watching();
    add_plan();
    add_others();
  }
  CLI::App& app() { return app_; }
  /// Throws ConfigurationError for a first word that is no subcommand, naming the nearest.
  void check_subcommand(const std::string& word) {
    std::vector<std::string> names;
    for (const auto* subcommand : app_.get_subcommands(nullptr)) {
      names.push_back(subcommand->get_name());
      if (names.back() == word) return;
    }
    const std::string near = state::nearest(word, names);
    throw ConfigurationError("unknown command `{}`{} There are {}", word,
                             near.empty() ? "." : ", did you mean " + near + "?",
                             fmt::join(names, ", "));
  }
  std::function<int(const parallel::Comm&)> todo;

 private:
  void add_solve() {
    auto* solve = app_.add_subcommand("solve", "solve a problem");
    add_run_options(*solve, run_);
    solve->add_option("--out", run_.out, "write the run file here (.h5)");
    solve->add_option("--json", run_.json,
                      "write the summary as JSON to a file, or - for standard output");
    solve->add_option("--resume", run_.resume,
                      "continue from the newest checkpoint in this directory");
    solve->callback(
        [this] { todo = [this](const auto& comm) { return solve_command(comm, run_); }; });
  }
  void add_compare() {
    auto* compare = app_.add_subcommand(
        "compare",
        "several methods on one problem, one table: method.name=A,B/codec,C/codec/server_codec");
    add_run_options(*compare, compare_);
    compare->add_option("--out", compare_.out, "directory for the run files");
    compare->add_option("-o,--plot", picture_,
                        "picture of residual against bytes, iterations and seconds (.png)");
    compare->callback([this] {
      todo = [this](const auto& comm) { return compare_command(comm, compare_, picture_); };
    });
  }
  void add_files() {
    auto* inspect = app_.add_subcommand("inspect", "show what a run file or checkpoint holds");
    inspect->add_option("file", file_, "run file or checkpoint")->required();
    inspect->callback(
        [this] { todo = [this](const auto& comm) { return inspect_command(comm, file_); }; });
    auto* verify = app_.add_subcommand(
        "verify", "recompute the certificate of a run file on an independent path");
    verify->add_option("file", file_, "run file")->required();
    verify->callback(
        [this] { todo = [this](const auto& comm) { return verify_command(comm, file_); }; });
    auto* export_ =
        app_.add_subcommand("export", "write the solution of a run file as CSV or XDMF");
    export_->add_option("file", file_, "run file")->required();
    export_->add_option("--csv", directory_, "directory for the CSV files");
    export_->add_option("--xdmf", xdmf_, "directory for XDMF and HDF5, for ParaView");
    export_->add_flag("--overwrite", overwrite_, "replace existing files");
    export_->callback([this] {
      todo = [this](const auto& c) {
        return export_command(c, file_, directory_, xdmf_, overwrite_);
      };
    });
    auto* choose = app_.add_subcommand(
        "choose", "pick one point of a stored front: the knee, or what weights and goals prefer");
    choose->add_option("file", file_, "run file with a front")->required();
    choose->add_option("--weights", weights_, "importance of each objective: 2,1")->delimiter(',');
    choose->add_option("--goal", goal_, "values to come close to, one per objective")
        ->delimiter(',');
    choose->callback([this] {
      todo = [this](const auto& comm) { return choose_command(comm, file_, weights_, goal_); };
    });
    auto* plot = app_.add_subcommand(
        "plot",
        "draw run files: their fronts, or the residual against bytes, iterations and seconds");
    plot->add_option("files", words_, "run files")->required();
    plot->add_option("-o,--output", picture_, "picture (.png)")->required();
    plot->add_flag("--history", history_, "draw the residual, also of runs that found a front");
    plot->add_flag("--parallel", parallel_, "draw the fronts in parallel coordinates")
        ->excludes("--history");
    plot->add_flag("--fields", fields_, "draw the state and the control instead (one run file)");
    plot->callback([this] {
      todo = [this](const auto& comm) {
        return plot_command(comm, words_, picture_, {history_, parallel_, fields_});
      };
    });
  }
  void add_watching() {
    auto* top = app_.add_subcommand(
        "top", "show where running jobs stand, from their checkpoint directories");
    top->add_option("directories", words_, "checkpoint directories")->required();
    top->add_flag("--once", once_, "print once and end");
    top->callback(
        [this] { todo = [this](const auto& comm) { return top_command(comm, words_, once_); }; });
    auto* report = app_.add_subcommand("report", "write one page about a run, figures inside");
    report->add_option("file", file_, "run file")->required();
    report->add_option("-o,--output", picture_, "page (.html)")->required();
    report->add_flag("--overwrite", overwrite_, "replace an existing page");
    report->callback([this] {
      todo = [this](const auto& c) { return report_command(c, file_, picture_, overwrite_); };
    });
  }
  void add_plan() {
    auto* plan = app_.add_subcommand("plan", "what a case would take on more ranks");
    plan->add_option("words", plan_.words, "CASE.toml and key=value overrides")->required();
    plan->add_option("--ranks", plan_.ranks, "64..8192 (doublings) or 64,96,128");
    plan->add_option("--network", plan_.network, "bandwidth and latency, as 25Gbit,2us");
    plan->add_option("--codecs", plan_.codecs, "values of method.codec to choose from")
        ->delimiter(',');
    plan->add_option("--model", plan_.model, "what cluster/studies/model.py fitted (.json)");
    plan->add_option("--seconds", plan_.seconds, "length of each measuring run")
        ->check(CLI::PositiveNumber);
    plan->add_option("--price", plan_.price, "of one core hour")->check(CLI::PositiveNumber);
    plan->callback(
        [this] { todo = [this](const auto& comm) { return plan_command(comm, plan_); }; });
  }
  void add_others() {
    auto* list =
        app_.add_subcommand("list", "problems, methods and compressors, with their options");
    list->add_option("topic", topic_,
                     "vi, bilevel, control, pareto, compressors, or a problem or method");
    list->add_flag("--markdown", markdown_, "everything, as the reference in docs/");
    list->callback([this] {
      todo = [this](const auto& comm) { return list_command(comm, topic_, markdown_); };
    });
    auto* check = app_.add_subcommand(
        "check", "read a case and its data, report what would be solved and how");
    check->add_option("words", words_, "CASE.toml and key=value overrides");
    check->callback(
        [this] { todo = [this](const auto& comm) { return check_command(comm, words_); }; });
    std::string benches;
    for (const Bench& bench : drivers::benches())
      benches += fmt::format("\n  {:<16} {}", bench.name, bench.help);
    auto* bench = app_.add_subcommand("bench", "measure: what there is shows bench --help");
    bench->add_option("name", topic_, "one of" + benches)->required();
    bench->add_option("words", words_, "key=value, and files where a bench reads some");
    bench->callback([this] {
      todo = [this](const auto& comm) { return bench_command(comm, topic_, words_); };
    });
  }

  CLI::App app_{
      "Equipoise: equilibria, nested optima, optima under a PDE, and trade-offs, over MPI",
      "equipoise"};
  RunArguments run_, compare_;
  PlanArguments plan_;
  std::vector<std::string> words_;
  std::vector<double> weights_, goal_;
  std::string file_, directory_, xdmf_, picture_, topic_;
  bool markdown_ = false;
  bool overwrite_ = false;
  bool once_ = false;
  bool history_ = false, parallel_ = false;
  bool fields_ = false;
};

int run(const parallel::Comm& comm, int argc, char** argv) {
  CommandLine line;
  if (argc > 1 && argv[1][0] != '-') line.check_subcommand(argv[1]);
  try {
    line.app().parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = error.get_exit_code() == 0 ? 0 : static_cast<int>(Exit::configuration);
    if (comm.rank() == 0) line.app().exit(error);
    return code;
  }
  return line.todo(comm);
}

}  // namespace
}  // namespace equipoise::drivers

int main(int argc, char** argv) {
  return equipoise::parallel::run_session(argc, argv, [&](const equipoise::parallel::Comm& comm) {
    return equipoise::drivers::run(comm, argc, argv);
  });
}
