#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/bilevel/entries.hpp>
#include <equipoise/problems/control/entries.hpp>
#include <equipoise/problems/pareto/entries.hpp>
#include <equipoise/problems/registry.hpp>
#include <equipoise/problems/vi/adversarial_digits.hpp>
#include <equipoise/problems/vi/complementarity.hpp>
#include <equipoise/problems/vi/game.hpp>
#include <equipoise/problems/vi/linear_program.hpp>
#include <equipoise/problems/vi/matching.hpp>
#include <equipoise/problems/vi/matrix_game.hpp>
#include <equipoise/problems/vi/obstacle.hpp>
#include <equipoise/problems/vi/robust_classification.hpp>
#include <equipoise/problems/vi/robust_regression.hpp>
#include <equipoise/problems/vi/traffic.hpp>
#include <equipoise/state/config.hpp>
#include <equipoise/vi/methods.hpp>

#include <algorithm>
#include <utility>

namespace equipoise::problems {
namespace {

template <class Entry>
void append(std::vector<Entry>& list, std::vector<Entry> more) {
  for (Entry& entry : more) list.push_back(std::move(entry));
}

}  // namespace

const std::vector<solve::ProblemEntry>& problems() {
  static const std::vector<solve::ProblemEntry> all = [] {
    std::vector<solve::ProblemEntry> list = {
        game_problem(),
        robust_regression_problem(),
        robust_classification_problem(),
        matching_problem(),
        adversarial_digits_problem(),
        obstacle_problem(),
        traffic_problem(),
        lp_problem(),
        mcp_problem(),
        matrix_game_problem(),
    };
    append(list, bilevel_problems());
    append(list, control_problems());
    append(list, pareto_problems());
    return list;
  }();
  return all;
}

const std::vector<solve::MethodEntry>& methods() {
  static const std::vector<solve::MethodEntry> all = [] {
    std::vector<solve::MethodEntry> list;
    for (const auto& spec : vi::methods())
      list.push_back({"vi", spec.name, spec.help, spec.describe});
    list.push_back(path_projection_method());
    list.push_back(logit_averaging_method());
    list.push_back(halpern_pdhg_method());
    list.push_back(semismooth_newton_method());
    list.push_back(nested_active_set_method());
    append(list, bilevel_methods());
    append(list, control_methods());
    append(list, pareto_methods());
    return list;
  }();
  return all;
}

const solve::ProblemEntry& find_problem(const std::string& family, const std::string& name) {
  std::vector<std::string> families;
  std::vector<std::string> names;
  for (const auto& entry : problems()) {
    if ((family.empty() || entry.family == family) && (name.empty() || entry.name == name))
      return entry;
    if (family.empty() || entry.family == family) names.push_back(entry.name);
    if (std::find(families.begin(), families.end(), entry.family) == families.end()) {
      families.push_back(entry.family);
    }
  }
  if (names.empty()) {
    throw ConfigurationError("problem.family = {}: no such family; there are {}", family,
                             fmt::join(families, ", "));
  }
  const std::string near = state::nearest(name, names);
  throw ConfigurationError("problem.name = {}: no such problem{}{}; there are {}", name,
                           family.empty() ? "" : " of family " + family,
                           near.empty() ? "" : ", did you mean " + near + "?",
                           fmt::join(names, ", "));
}

}  // namespace equipoise::problems
