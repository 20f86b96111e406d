#pragma once

#include <equipoise/pareto/islands.hpp>
#include <equipoise/problems/pareto/regularisation.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <memory>
#include <vector>

namespace equipoise::problems {

struct LassoPathOptions {
  double spacing = 0.05;  ///< largest distance of neighbours, objectives scaled to [0, 1]
  void describe(state::OptionVisitor& visit);
};

/// The whole regularisation path by continuation across its kinks (Osborne, Presnell, Turlach 2000;
/// Bieker, Gebken, Peitz 2021): with A = {j : x_j != 0},
///
///     d_j f_1 = -lambda sgn x_j on A,   |d_j f_1| <= lambda elsewhere,   dx_A/dlambda = -H_AA^-1
///     sgn x_A,
///
/// so x is linear in lambda between events: x_j reaches 0 (j leaves A) or |d_j f_1| = lambda (j
/// joins). One event a step, from lambda_max = |A^T b|_inf / rows downwards; exact to rounding.
/// Between events the front gets the points that the spacing asks for.
///
/// The residual is lambda / lambda_max; finished at lambda = 0 or where H_AA becomes singular.
/// Every rank does the same: the same bits on any number of ranks. Cost: O(|A|^3 + n |A|) an event.
class LassoPath final : public solve::Method {
 public:
  /// The problem must outlive the method.
  LassoPath(const RegularisationPath& problem, const LassoPathOptions& options);
  void step() override;
  [[nodiscard]] solve::Report report() const override { return report_; }
  [[nodiscard]] solve::Counters counters() const override;
  void fields(state::FieldVisitor& visit) override;
  /// Names the front: the events, and points between them.
  void solution(state::FieldVisitor& visit) override;

  [[nodiscard]] std::size_t events() const { return lambdas_.size(); }
  [[nodiscard]] double lambda(std::size_t event) const { return lambdas_[event]; }
  /// [n] the solution at an event.
  [[nodiscard]] std::span<const double> point(std::size_t event) const;

 private:
  [[nodiscard]] double gram(std::size_t i, std::size_t j) const {
    return problem_.gram[i * n_ + j];
  }
  void report();
  void push(double lambda, const std::vector<double>& x);

  const RegularisationPath& problem_;
  LassoPathOptions options_;
  std::size_t n_;
  std::vector<std::int64_t> active_, signs_;
  std::int64_t last_ = -1;       ///< the variable of the last event
  bool ended_ = false;           ///< H_AA is singular from here on
  std::vector<double> lambdas_;  ///< [events], descending
  std::vector<double> x_;        ///< [events n]
  solve::Report report_;
  pareto::Front front_;
};

}  // namespace equipoise::problems
