#pragma once

#include <equipoise/solve/instance.hpp>

#include <vector>

namespace equipoise::problems {

/// The ready bilevel problems, the default first.
[[nodiscard]] std::vector<solve::ProblemEntry> bilevel_problems();
/// The methods of the family, the default first.
[[nodiscard]] std::vector<solve::MethodEntry> bilevel_methods();

}  // namespace equipoise::problems
