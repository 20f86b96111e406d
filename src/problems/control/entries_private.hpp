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

}  // namespace equipoise::problems
