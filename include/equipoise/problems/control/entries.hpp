#pragma once

#include <equipoise/solve/instance.hpp>

#include <vector>

namespace equipoise::problems {

/// The ready problems of the family `control`, for the registry.
[[nodiscard]] std::vector<solve::ProblemEntry> control_problems();
/// Its methods, with their options, for lists.
[[nodiscard]] std::vector<solve::MethodEntry> control_methods();

}  // namespace equipoise::problems
