#include "entries_private.hpp"

#include <equipoise/problems/control/entries.hpp>

namespace equipoise::problems {

std::vector<solve::ProblemEntry> control_problems() {
  return {poisson_control_entry(), bounded_control_entry(), semilinear_entry(),
          obstacle_entry(),        heat_control_entry(),    coefficient_entry(),
          scenario_control_entry()};
}

std::vector<solve::MethodEntry> control_methods() {
  std::vector<solve::MethodEntry> all;
  for (auto methods : {poisson_control_methods(), bounded_control_methods(), semilinear_methods(),
                       obstacle_methods(), coefficient_methods()}) {
    for (auto& method : methods) all.push_back(std::move(method));
  }
  return all;
}

}  // namespace equipoise::problems
