#pragma once

#include <equipoise/solve/instance.hpp>

#include <string>
#include <vector>

namespace equipoise::problems {

/// Every ready problem, family by family; the first of a family is its default.
[[nodiscard]] const std::vector<solve::ProblemEntry>& problems();
/// Every method of every family.
[[nodiscard]] const std::vector<solve::MethodEntry>& methods();
/// The problem `name` of `family` ("" for any). Throws ConfigurationError with the nearest name.
[[nodiscard]] const solve::ProblemEntry& find_problem(const std::string& family,
                                                      const std::string& name);

}  // namespace equipoise::problems
