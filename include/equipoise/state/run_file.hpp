#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/state/fields.hpp>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace equipoise::state {

/// Columns of equal length: the history of a run. Names carry units ("seconds", "bytes_sent_max").
struct Table {
  std::vector<std::string> names;
  std::vector<std::vector<double>> columns;
  void fields(FieldVisitor& visit);
};

/// What a run file holds besides the solution. Plain data, meaningful on rank 0.
struct RunRecord {
  std::string config_toml;                                    ///< /config
  std::vector<std::pair<std::string, std::string>> versions;  ///< attributes of /versions
  std::vector<std::pair<std::string, std::string>> problem;   ///< attributes of /problem
  std::string identity_problem, identity_method;              ///< attributes of /problem
  std::string summary_json;                                   ///< /summary: what --json prints
  std::vector<std::pair<std::string, double>> certificate;    ///< attributes of /certificate
  std::vector<std::pair<std::string, double>> traffic;        ///< attributes of /traffic
  Table trace;                                                ///< datasets of /trace
};

/// Refuses an output path that exists (unless `overwrite`), or whose directory is missing or not
/// writable.
/// **Collective.** Call it before the work starts.
void check_output(const parallel::Comm& comm, const std::string& path, bool overwrite);
/// Writes ONE run file: beside its name, then renamed. `solution` goes to /solution/*.
/// **Collective.**
void write_run_file(const parallel::Comm& comm, const std::string& path, const RunRecord& record,
                    Stateful& solution, bool overwrite);
/// Reads everything but the solution, on every rank. **Collective.** Throws CheckpointError for
/// what is no run file.
RunRecord read_run_record(const parallel::Comm& comm, const std::string& path);
/// Reads /solution/* into the fields of `solution`. **Collective.**
void read_solution(const parallel::Comm& comm, const std::string& path, Stateful& solution);

}  // namespace equipoise::state
