#pragma once

#include <equipoise/control/reduced.hpp>
#include <equipoise/solve/instance.hpp>

#include <memory>
#include <string>
#include <vector>

namespace equipoise::problems {

/// The methods for any reduced functional: newton-cg, trust-region, lbfgs, and reduced-cg, which
/// needs a quadratic one.
[[nodiscard]] std::vector<std::string> reduced_method_names(bool quadratic);

/// Makes one of them, reading `method.*`. Throws ConfigurationError naming those that fit `problem`
/// for any other name.
[[nodiscard]] std::unique_ptr<solve::Method> make_reduced_method(
    const std::string& problem, const std::string& name,
    std::shared_ptr<control::ReducedFunctional> functional, control::Primal start, bool quadratic,
    state::Config& config);

}  // namespace equipoise::problems
