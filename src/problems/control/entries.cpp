#include "entries_private.hpp"

#include <equipoise/problems/control/entries.hpp>

namespace equipoise::problems {

std::vector<solve::ProblemEntry> control_problems() {
  std::vector<solve::ProblemEntry> all = {
      poisson_control_entry(), bounded_control_entry(),   semilinear_entry(),
      obstacle_entry(),        heat_control_entry(),      coefficient_entry(),
      mesh_control_entry(),    state_constrained_entry(), scenario_control_entry()};
  for (auto& entry : equality_entries()) all.push_back(std::move(entry));
  return all;
}

std::vector<solve::MethodEntry> control_methods() {
  std::vector<solve::MethodEntry> all;
  for (auto methods : {poisson_control_methods(), bounded_control_methods(), semilinear_methods(),
                       obstacle_methods(), coefficient_methods(), reduced_methods(),
                       state_constrained_methods(), equality_methods()}) {
    for (auto& method : methods) all.push_back(std::move(method));
  }
  return all;
}

}  // namespace equipoise::problems
