#pragma once

#include <equipoise/solve/instance.hpp>

namespace equipoise::problems {

solve::ProblemEntry poisson_control_entry();
std::vector<solve::MethodEntry> poisson_control_methods();

}  // namespace equipoise::problems
