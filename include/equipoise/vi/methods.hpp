#pragma once

#include <equipoise/solve/instance.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/config.hpp>
#include <equipoise/vi/evaluation.hpp>
#include <equipoise/vi/problem.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace equipoise::vi {

/// A method of the family: its name, options, and how it is made.
struct MethodSpec {
  std::string name, help;
  std::function<void(state::OptionVisitor&)> describe;
  /// Why the method cannot solve this problem, or "".
  std::function<std::string(const ProblemView&)> refuse;
  /// Reads `method.*` and evaluates the start. **Collective.** The problem must outlive the method.
  std::function<std::unique_ptr<solve::Method>(const Setting&, const ProblemView&, state::Config&)>
      make;
};

/// Every method of the family, in the order of `equipoise list`.
[[nodiscard]] const std::vector<MethodSpec>& methods();

/// Makes a method by name. Throws ConfigurationError for an unknown one (with the nearest name) and
/// for one that does not fit the problem (with the reason). **Collective.**
std::unique_ptr<solve::Method> make_method(const std::string& name, const Setting& setting,
                                           const ProblemView& problem, state::Config& config);

}  // namespace equipoise::vi
