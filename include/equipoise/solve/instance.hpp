#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/config.hpp>
#include <equipoise/state/fields.hpp>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace equipoise::solve {

using Facts = std::vector<std::pair<std::string, std::string>>;

/// What was proved about a stored solution, computed by a path that shares no code with the
/// methods.
struct Certificate {
  std::vector<std::pair<std::string, double>>
      values;            ///< name and figure, norms and units in the name
  double measure = 0.0;  ///< the figure that the stop tolerance is compared with
};

/// A configured problem of any family: all that the command needs to know of it.
class Instance {
 public:
  virtual ~Instance() = default;
  /// Size and content of the input in one line; a checkpoint of another one is refused.
  [[nodiscard]] virtual std::string fingerprint() const = 0;
  /// What a person wants to see of the problem ("dimension", "agents", "rows").
  [[nodiscard]] virtual Facts facts() const = 0;
  /// The method names that fit this problem, the default first.
  [[nodiscard]] virtual std::vector<std::string> methods() const = 0;
  /// Makes the method `name`, reading `method.*` and `stop.measure` from `config`. **Collective.**
  /// Throws ConfigurationError for a method that does not fit, with the reason.
  virtual std::unique_ptr<Method> make_method(const std::string& name, state::Config& config) = 0;
  /// Storage for a solution read back from a run file, with the fields that the methods name in
  /// `solution`.
  virtual std::unique_ptr<state::Stateful> solution_storage() = 0;
  /// Recomputes the certificate of a solution (its fields, by name). **Collective.**
  virtual Certificate certify(state::Stateful& solution) = 0;
  /// Writes the solution as CSV files into a directory. **Collective.** Returns the paths.
  virtual std::vector<std::string> export_csv(state::Stateful& solution,
                                              const std::string& directory) = 0;
  /// Writes the functions of a solution on their mesh as XDMF with HDF5 into a directory.
  /// **Collective.** Returns the paths. Throws ConfigurationError where there is no mesh.
  virtual std::vector<std::string> export_xdmf(state::Stateful& /*solution*/,
                                               const std::string& /*directory*/) {
    throw ConfigurationError(
        "the solution of this problem is no function on a mesh; use --csv instead");
  }
};

/// A problem as the registry knows it.
struct ProblemEntry {
  std::string family, name, help;
  /// Visits the options under `problem.` (and `run.agents`), for lists and for reading.
  std::function<void(state::OptionVisitor&)> describe;
  /// Reads `problem.*` and `run.*` from the configuration and sets the problem up. **Collective.**
  std::function<std::unique_ptr<Instance>(const parallel::Comm&, state::Config&)> make;
};

/// A method as the registry knows it, for lists; instances make methods themselves.
struct MethodEntry {
  std::string family, name, help;
  std::function<void(state::OptionVisitor&)> describe;
};

}  // namespace equipoise::solve
