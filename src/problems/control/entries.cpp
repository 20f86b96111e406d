#include "poisson_control.hpp"

#include <equipoise/problems/control/entries.hpp>

namespace equipoise::problems {

std::vector<solve::ProblemEntry> control_problems() { return {poisson_control_entry()}; }

std::vector<solve::MethodEntry> control_methods() { return poisson_control_methods(); }

}  // namespace equipoise::problems
