#pragma once

#include <equipoise/solve/instance.hpp>

#include <vector>

namespace equipoise::problems {

/// Problems and methods of the family `pareto`, for the registry.
[[nodiscard]] std::vector<solve::ProblemEntry> pareto_problems();
[[nodiscard]] std::vector<solve::MethodEntry> pareto_methods();

}  // namespace equipoise::problems
