#include "reduced_solver.hpp"

namespace equipoise::problems {

std::unique_ptr<RomSolver> rom_solver(std::shared_ptr<const PdeObjectives> problem,
                                      std::unique_ptr<pareto::WeightedSolver> full,
                                      const RomOptions& options) {
  return problem->kappa > 0.0 ? semilinear_rom(std::move(problem), std::move(full), options)
                              : linear_rom(std::move(problem), std::move(full), options);
}

}  // namespace equipoise::problems
