#include "command.hpp"

#include <equipoise/parallel/agree.hpp>
#include <equipoise/problems/registry.hpp>
#include <equipoise/solve/checked.hpp>
#include <equipoise/solve/progress.hpp>
#include <equipoise/state/field_map.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

namespace equipoise::drivers {
namespace {

using nlohmann::json;

/// JSON knows no NaN and no infinity: null stands for both.
json number(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }

json facts_json(const solve::Facts& facts) {
  json object = json::object();
  for (const auto& [key, value] : facts) object[key] = value;
  return object;
}

/// The `method.` and `run.` lines that shape a method's state; a checkpoint of others is refused.
std::string method_identity(const Case& c) {
  std::string identity = c.method;
  for (const auto& [key, value] : c.config.values()) {
    const bool shapes = key.starts_with("method.")
                            ? key != "method.name"
                            : key == "run.seed" || key == "run.chunks" || key == "run.reduction" ||
                                  key == "run.classes";
    if (shapes) identity += fmt::format(" {}={}", key, value);
  }
  return identity;
}

/// What virtual ranks would have moved: the largest over them, and each of them.
json virtual_json(const std::vector<parallel::Traffic>& ranks) {
  std::vector<std::int64_t> sent, received;
  std::int64_t headers = 0;
  for (const parallel::Traffic& t : ranks) {
    sent.push_back(t.sent);
    received.push_back(t.received);
    headers = std::max({headers, t.header_sent, t.header_received});
  }
  return {{"ranks", ranks.size()},
          {"sent_max", *std::max_element(sent.begin(), sent.end())},
          {"received_max", *std::max_element(received.begin(), received.end())},
          {"header_bytes", headers},
          {"sent", std::move(sent)},
          {"received", std::move(received)}};
}

json summary_json(const Case& c, const Outcome& outcome) {
  const solve::Summary& s = outcome.summary;
  json out;
  out["schema"] = 1;
  out["problem"] = facts_json(c.instance->facts());
  out["problem"]["family"] = c.family;
  out["problem"]["name"] = c.name;
  out["problem"]["fingerprint"] = c.instance->fingerprint();
  out["method"] = {{"name", c.method}};
  for (const auto& [key, value] : c.config.values()) {
    if (key.starts_with("method.") && key != "method.name") out["method"][key.substr(7)] = value;
  }
  out["stop"] = solve::name(s.stop);
  out["iterations"] = s.iterations;
  out["residual"] = number(s.residual);
  out["objective"] = number(s.objective);
  out["certificate"] = json::object();
  for (const auto& [key, value] : outcome.certificate.values)
    out["certificate"][key] = number(value);
  out["traffic"] = {{"uplink_per_agent", s.traffic.uplink_per_agent},
                    {"downlink_per_agent", s.traffic.downlink_per_agent},
                    {"sent_max", s.traffic.sent},
                    {"received_max", s.traffic.received},
                    {"header_bytes", std::max(s.traffic.header_sent, s.traffic.header_received)},
                    {"rounds", s.traffic.rounds}};
  if (!outcome.virtual_traffic.empty()) out["virtual"] = virtual_json(outcome.virtual_traffic);
  out["oracle_calls"] = json::object();
  for (const auto& [kind, count] : s.counters) out["oracle_calls"][kind] = count;
  out["seconds"] = {{"total", s.seconds}};
  if (!s.checkpoint.empty()) out["checkpoint"] = s.checkpoint;
  if (!s.message.empty()) out["message"] = s.message;
  return out;
}

void print_header(const parallel::Comm& comm, const Case& c) {
  fmt::print("{} / {}", c.family, c.name);
  for (const auto& [key, value] : c.instance->facts()) fmt::print("   {} {}", key, value);
  fmt::print("\nmethod {}   {} rank{}\n", c.method, comm.size(), comm.size() == 1 ? "" : "s");
  std::fflush(stdout);
}

void print_summary(const Outcome& outcome) {
  const solve::Summary& s = outcome.summary;
  const auto line = [](const std::string& key, const std::string& value) {
    fmt::print("  {:<34} {}\n", key, value);
  };
  fmt::print("\n");
  line("stop", solve::name(s.stop) + (s.message.empty() ? "" : " (" + s.message + ")"));
  line("iterations", fmt::format("{}", s.iterations));
  line("time", solve::human_seconds(s.seconds));
  if (std::isfinite(s.residual)) line("measure", fmt::format("{:.3e}", s.residual));
  if (std::isfinite(s.objective)) line("objective", fmt::format("{:.12g}", s.objective));
  for (const auto& [key, value] : outcome.certificate.values)
    line("certificate " + key, fmt::format("{:.4e}", value));
  if (s.traffic.rounds > 0) {
    line("uplink per agent", solve::human_bytes(static_cast<double>(s.traffic.uplink_per_agent)));
    line("max(sent, received) per rank",
         solve::human_bytes(static_cast<double>(std::max(s.traffic.sent, s.traffic.received))));
    line("exchanges", fmt::format("{}", s.traffic.rounds));
  }
  if (!outcome.virtual_traffic.empty()) {
    std::int64_t most = 0;
    for (const auto& t : outcome.virtual_traffic) most = std::max({most, t.sent, t.received});
    line(fmt::format("the same with {} ranks", outcome.virtual_traffic.size()),
         solve::human_bytes(static_cast<double>(most)));
  }
  for (const auto& [kind, count] : s.counters) line(kind + " calls", fmt::format("{}", count));
  if (!s.checkpoint.empty()) line("checkpoint", s.checkpoint);
}

std::string versions_line() {
  char library[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(library, &length);
  return std::string(library, static_cast<std::size_t>(length));
}

state::RunRecord make_record(const Case& c, const Outcome& outcome, int ranks) {
  state::RunRecord record;
  record.config_toml = c.config.toml();
  record.versions = {{"equipoise", EQUIPOISE_VERSION},
                     {"compiler", __VERSION__},
                     {"mpi", versions_line()},
                     {"ranks", std::to_string(ranks)}};
  record.problem = c.instance->facts();
  record.problem.emplace_back("family", c.family);
  record.problem.emplace_back("name", c.name);
  record.identity_problem = c.instance->fingerprint();
  record.identity_method = method_identity(c);
  record.summary_json = summary_json(c, outcome).dump();
  record.certificate = outcome.certificate.values;
  const parallel::Traffic& t = outcome.summary.traffic;
  record.traffic = {{"uplink_bytes_per_agent", static_cast<double>(t.uplink_per_agent)},
                    {"downlink_bytes_per_agent", static_cast<double>(t.downlink_per_agent)},
                    {"sent_bytes_max", static_cast<double>(t.sent)},
                    {"received_bytes_max", static_cast<double>(t.received)},
                    {"header_bytes_max", static_cast<double>(t.header_sent + t.header_received)},
                    {"rounds", static_cast<double>(t.rounds)}};
  record.trace = outcome.summary.trace;
  return record;
}

void write_json(const parallel::Comm& comm, const std::string& where, const std::string& text) {
  parallel::agree(comm, [&] {
    if (comm.rank() != 0) return;
    if (where == "-") {
      fmt::print("{}\n", text);
      return;
    }
    std::ofstream file(where);
    file << text << '\n';
    if (!file.flush())
      throw CheckpointError("{}: the JSON summary cannot be written; check the directory", where);
  });
}

/// The configuration of a run that continues: the checkpoint's own, then what the user gives now.
state::Config initial_config(const parallel::Comm& comm, const RunArguments& arguments) {
  state::Config now = read_words(comm, arguments.words);
  if (arguments.resume.empty()) return now;
  parallel::agree(comm, [&] {
    if (!std::filesystem::is_directory(arguments.resume)) {
      throw CheckpointError(
          "--resume {}: no such directory; give the directory of an earlier --checkpoint",
          arguments.resume);
    }
  });
  const state::CheckpointStore store(comm, arguments.resume);
  state::Config config = state::Config::parse(store.stored_config(), arguments.resume);
  // Options of another problem or method mean nothing here; the checkpoint itself will say what it
  // belongs to.
  for (const std::string part : {"problem", "method"}) {
    const std::string key = part + ".name";
    if (now.has(key) && now.text(key) != config.text(key)) config.drop(part);
  }
  // What was measured when the run began is not measured again.
  for (const std::string key : {"method.codec", "method.server_codec"}) {
    if (now.has(key) && now.text(key) == "auto" && config.has(key)) {
      now.set(key, config.text(key));
    }
  }
  config.merge(now);
  return config;
}

}  // namespace

state::Config read_words(const parallel::Comm& comm, const std::vector<std::string>& words) {
  return parallel::agree(comm, [&] {
    state::Config config;
    for (const std::string& word : words) {
      if (word.find('=') == std::string::npos) config.merge(state::Config::load(word));
    }
    for (const std::string& word : words) {
      if (word.find('=') != std::string::npos) config.assign(word);
    }
    return config;
  });
}

void SimulationOptions::describe(state::OptionVisitor& visit) {
  visit.option(
      "virtual_ranks", virtual_ranks,
      "also count what each of so many ranks would send and receive, from the same messages "
      "(families vi and bilevel); 0 for none",
      state::Limits{0.0, 1e6});
}

namespace {

std::unique_ptr<parallel::VirtualRanks> virtual_ranks_of(const parallel::Comm& comm, Case& c) {
  const std::string key = "run.virtual_ranks";
  if (!c.config.has(key)) return nullptr;
  if (c.family != "vi" && c.family != "bilevel") {
    throw ConfigurationError(
        "{} counts means over agents, which the families vi and bilevel have; leave it out for {}",
        key, c.family);
  }
  SimulationOptions options;
  c.config.read("run", options);
  if (options.virtual_ranks == 0) return nullptr;
  return std::make_unique<parallel::VirtualRanks>(comm, static_cast<int>(options.virtual_ranks));
}

}  // namespace

Case open_case(const parallel::Comm& comm, state::Config config) {
  Case c;
  c.config = std::move(config);
  const std::string family = c.config.text("problem.family");
  const std::string name = c.config.text("problem.name");
  const solve::ProblemEntry& entry = problems::find_problem(family, name);
  c.family = entry.family;
  c.name = entry.name;
  c.config.set("problem.family", c.family);
  c.config.set("problem.name", c.name);
  c.config.text("problem.family");
  c.config.text("problem.name");
  c.virtual_ranks = virtual_ranks_of(comm, c);
  c.instance = entry.make(comm, c.config);
  c.method = c.config.text("method.name", c.instance->methods().front());
  return c;
}

namespace {

/// Everything a run needs, all options read and none left over.
struct Prepared {
  Case c;
  solve::StopOptions stop;
  solve::SaveOptions save;
  std::unique_ptr<solve::Method> method;
};

Prepared prepare(const parallel::Comm& comm, state::Config config) {
  Prepared p{open_case(comm, std::move(config)), {}, {}, nullptr};
  p.c.config.read("stop", p.stop);
  p.c.config.read("run", p.save);
  p.method = p.c.instance->make_method(p.c.method, p.c.config);
  p.c.config.reject_unused();
  if (p.c.virtual_ranks && !p.c.virtual_ranks->in_use()) {
    throw ConfigurationError(
        "run.virtual_ranks counts means over agents, and method {} of problem {} has none; leave "
        "it "
        "out",
        p.c.method, p.c.name);
  }
  return p;
}

}  // namespace

void try_case(const parallel::Comm& comm, const RunArguments& arguments) {
  (void)prepare(comm, initial_config(comm, arguments));
}

Outcome run_case(const parallel::Comm& comm, const RunArguments& arguments) {
  if (!arguments.out.empty()) state::check_output(comm, arguments.out, arguments.overwrite);
  if (!arguments.json.empty() && arguments.json != "-") {
    state::check_output(comm, arguments.json, arguments.overwrite);
  }
  state::Config config = initial_config(comm, arguments);
  if (arguments.max_time > 0.0)
    config.set("stop.max_seconds", fmt::format("{}", arguments.max_time));
  auto [c, stop, save, method] = prepare(comm, std::move(config));
  if (c.virtual_ranks && !arguments.resume.empty()) {
    throw ConfigurationError(
        "run.virtual_ranks counts from the first iteration on: leave out --resume, or give "
        "run.virtual_ranks=0");
  }
  const bool speaks = comm.rank() == 0 && !arguments.quiet && arguments.json != "-";
  if (speaks) print_header(comm, c);
  solve::Saving saving;
  saving.directory = arguments.checkpoint.empty() ? arguments.resume : arguments.checkpoint;
  saving.resume_from = arguments.resume;
  saving.identity = {c.instance->fingerprint(), method_identity(c)};
  saving.config_toml = c.config.toml();
  solve::Watch watch;
  watch.quiet = arguments.quiet || arguments.json == "-";
  watch.note = [](const std::string& line) {
    fmt::print("{}\n", line);
    std::fflush(stdout);
  };

  Outcome outcome;
  outcome.summary = solve::run(comm, *method, stop, save, saving, watch);
  if (c.virtual_ranks) outcome.virtual_traffic = c.virtual_ranks->total(comm);
  // The run is over: what it found goes, without a copy, to where a certificate or a run file can
  // see it.
  const std::unique_ptr<state::Stateful> solution = c.instance->solution_storage();
  MethodSolution found(*method);
  state::move_fields(found, *solution);
  const bool sound = outcome.summary.stop != solve::Stop::diverged &&
                     outcome.summary.stop != solve::Stop::not_finite;
  if (sound) outcome.certificate = c.instance->certify(*solution);
  outcome.record = make_record(c, outcome, comm.size());
  if (!arguments.out.empty()) {
    state::write_run_file(comm, arguments.out, outcome.record, *solution, arguments.overwrite);
  }
  if (!arguments.json.empty()) write_json(comm, arguments.json, outcome.record.summary_json);
  if (speaks) print_summary(outcome);
  return outcome;
}

int solve_command(const parallel::Comm& comm, const RunArguments& arguments) {
  return static_cast<int>(run_case(comm, arguments).summary.exit_code());
}

int check_command(const parallel::Comm& comm, const std::vector<std::string>& words) {
  const auto [c, stop, save, method] = prepare(comm, read_words(comm, words));
  auto* const checked = dynamic_cast<solve::Checked*>(c.instance.get());
  const solve::Facts findings = checked ? checked->check() : solve::Facts{};
  const bool holds = std::none_of(findings.begin(), findings.end(),
                                  [](const auto& f) { return f.second.starts_with("FAILED"); });
  if (comm.rank() == 0) {
    print_header(comm, c);
    for (const auto& [property, finding] : findings) fmt::print("{:<50} {}\n", property, finding);
    for (const auto& [key, value] : method->notes()) fmt::print("{}: {}\n", key, value);
    fmt::print("input: {}\nmethods that fit: {}\n\n# the complete configuration\n{}",
               c.instance->fingerprint(), fmt::join(c.instance->methods(), ", "), c.config.toml());
  }
  return static_cast<int>(holds ? Exit::ok : Exit::input);
}

}  // namespace equipoise::drivers
