#pragma once

#include <equipoise/solve/instance.hpp>

#include <vector>

namespace equipoise::problems {

solve::ProblemEntry poisson_control_entry();
std::vector<solve::MethodEntry> poisson_control_methods();
solve::ProblemEntry bounded_control_entry();
std::vector<solve::MethodEntry> bounded_control_methods();
solve::ProblemEntry semilinear_entry();
std::vector<solve::MethodEntry> semilinear_methods();
solve::ProblemEntry obstacle_entry();
std::vector<solve::MethodEntry> obstacle_methods();

solve::ProblemEntry heat_control_entry();
solve::ProblemEntry coefficient_entry();
solve::ProblemEntry scenario_control_entry();
std::vector<solve::MethodEntry> coefficient_methods();
solve::ProblemEntry mesh_control_entry();
solve::ProblemEntry state_constrained_entry();
std::vector<solve::MethodEntry> state_constrained_methods();
std::vector<solve::MethodEntry> reduced_methods();
std::vector<solve::ProblemEntry> equality_entries();
std::vector<solve::MethodEntry> equality_methods();

}  // namespace equipoise::problems
