#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/pareto/field_solver.hpp>
#include <equipoise/pareto/problem.hpp>
#include <equipoise/partition/distributed_dataset.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

/// The regularisation path as a front: f_1 = |A x - b|^2/(2 rows), f_2 = |x|_1 for the rows of a
/// LIBSVM file (replicated on every rank). A weighted sum with lambda = w_2/w_1 is the lasso; the
/// front is its path, and asking for even spacing in (f_1, f_2) replaces guessing values of lambda.
struct RegularisationPath {
  partition::SparseRows rows;
  std::int64_t features = 0;
  std::vector<double> gram;   ///< A^T A / rows, [n n]
  std::vector<double> right;  ///< A^T b / rows
  double square = 0.0;        ///< |b|^2 / rows
  std::string name;

  [[nodiscard]] std::int64_t dimension() const { return features; }
  [[nodiscard]] std::int64_t objectives() const { return 2; }
  [[nodiscard]] double lower(std::int64_t) const;
  [[nodiscard]] double upper(std::int64_t i) const { return -lower(i); }
  /// From the rows, not from the Gram matrix.
  void evaluate(std::span<const double> x, std::span<double> f) const;
  /// One subgradient of |x|_1: 0 where x_j = 0.
  void gradients(std::span<const double> x, std::span<double> f, std::span<double> g) const;
  [[nodiscard]] bool smooth() const { return false; }
  [[nodiscard]] std::string fingerprint() const { return name; }
};
static_assert(pareto::DifferentiableProblem<RegularisationPath>);

struct RegularisationOptions {
  std::string data;
  std::string scale = "auto";
  void describe(state::OptionVisitor& visit);
};
/// Reads the file. **Collective.**
[[nodiscard]] RegularisationPath make_regularisation_path(const parallel::Comm& comm,
                                                          const RegularisationOptions& options);

/// The lasso by coordinate descent on the Gram matrix, finished on its active set by a
/// factorisation: d_j f_1 = -lambda sgn x_j there to rounding, |d_j f_1| <= lambda elsewhere. On a
/// fixed active set dx/dlambda = -H_AA^-1 sgn x, which gives the sensitivity. Cost: O(n^2) a sweep,
/// O(|A|^3) at the end. `problem` must outlive it.
[[nodiscard]] std::unique_ptr<pareto::WeightedSolver> lasso_solver(
    const RegularisationPath& problem);

}  // namespace equipoise::problems
