#pragma once

#include <equipoise/pareto/groups.hpp>
#include <equipoise/problems/pareto/pde_objectives.hpp>
#include <equipoise/solve/instance.hpp>
#include <equipoise/state/options.hpp>

#include <memory>
#include <string>
#include <vector>

namespace equipoise::problems {

struct PdeFrontOptions {
  std::string objectives = "sine";
  std::int64_t cells = 32;
  std::string element = "auto";
  double kappa = 0.0;
  void describe(state::OptionVisitor& visit);
};

/// The objectives of one of the ready problems, on the ranks of a group. **Collective.**
///
/// `sine`: |y - sin pi x sin pi y|^2/2 and |u|^2/2; the front is known exactly (specs 9.1, 9.2).
/// `two_sines`: |y - sin pi x sin pi y|^2/2, |y - sin pi x sin 2 pi y|^2/2 and |u|^2/2 (9.3).
/// `corner`: |y - yd|^2/2 with yd = (2x-1)^2 (2y-1)^2 on [0,1/2]^2, and |u|^2/2 (target of Rees,
/// Dollar, Wathen). `opposed`: |y - sin 2 pi x sin 2 pi y|^2/2 + 1e-3/2 |u|^2 and |y + 1/2|^2/2 +
/// 1e-2/2 |u|^2 (9.4, where kappa = 10).
[[nodiscard]] std::shared_ptr<const PdeObjectives> make_pde_objectives(
    const parallel::Comm& group, const PdeFrontOptions& options);

/// Largest distance of a point from the exact discrete front, relative to its values; negative
/// where no exact front is known (anything but `sine` and `two_sines` with the element `fd`).
[[nodiscard]] double distance_from_exact_front(const PdeFrontOptions& options,
                                               std::span<const double> f,
                                               std::span<const double> weights);

/// The solver of weighted sums that fits: linear or semilinear.
[[nodiscard]] std::unique_ptr<pareto::WeightedSolver> make_pde_solver(
    std::shared_ptr<const PdeObjectives> problem, double tolerance, std::int64_t max_iterations);

[[nodiscard]] solve::ProblemEntry pde_front_entry();
[[nodiscard]] std::vector<solve::MethodEntry> pde_front_methods();

}  // namespace equipoise::problems
