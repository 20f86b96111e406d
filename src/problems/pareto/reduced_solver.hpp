#pragma once

#include "pde_fields.hpp"

#include <equipoise/problems/pareto/rom_solver.hpp>

#include <Eigen/Dense>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

/// What both reduced problems share: local values of functions, and when to ask the full solver.
class ReducedSolver : public RomSolver {
 public:
  using Vector = Eigen::VectorXd;
  using Matrix = Eigen::MatrixXd;
  using Index = Eigen::Index;
  using Local = std::vector<double>;

  ReducedSolver(std::shared_ptr<const PdeObjectives> problem,
                std::unique_ptr<pareto::WeightedSolver> full, const RomOptions& options)
      : problem_(std::move(problem)), full_(std::move(full)), options_(options) {
    const linalg::ConstEntries weight(grid().lumped_mass());
    weight_.assign(weight.span().begin(), weight.span().end());
    for (const auto& objective : problem_->objectives) targets_.push_back(values(objective.target));
  }
  [[nodiscard]] std::size_t objectives() const override { return full_->objectives(); }
  [[nodiscard]] std::string fingerprint() const override { return full_->fingerprint(); }
  [[nodiscard]] const partition::Partition& rows() const override { return full_->rows(); }
  [[nodiscard]] std::vector<std::string> fields() const override { return full_->fields(); }
  [[nodiscard]] solve::Counters counters() const override {
    solve::Counters all{{"full_solve", full_solves_}, {"bound_cycle", cycles_}};
    for (auto& counter : full_->counters()) all.push_back(counter);
    return all;
  }
  [[nodiscard]] std::int64_t full_solves() const override { return full_solves_; }
  [[nodiscard]] const std::vector<RomAcceptance>& record() const override { return record_; }

  pareto::WeightedAnswer solve(std::span<const double> weights, std::vector<double>& x) override {
    weights_.assign(weights.begin(), weights.end());
    sum_ = problem_->weighted(weights);
    target_ = values(sum_.target);
    RomAcceptance accepted{weights_, 0.0, INFINITY, INFINITY, false};
    bool reduced = basis_size() > 0 && minimize(x);
    if (reduced) judge(accepted);
    if (!reduced || !(accepted.bound <= options_.accuracy * accepted.value)) {
      if (basis_size() >= options_.max_basis)
        return {pareto::ScalarStatus::iteration_limit,
                {},
                0.0,
                0,
                fmt::format("the reduced basis has reached {} functions and the bound {:.2e} is "
                            "still above method.accuracy",
                            basis_size(), accepted.bound)};
      std::vector<double> start = reduced ? packet() : x;
      pareto::WeightedAnswer exact = full_->solve(weights, start);
      ++full_solves_;
      if (exact.status != pareto::ScalarStatus::converged) return exact;
      enrich(start);
      x = std::move(start);
      accepted.enriched = true;
      accepted.gradient = accepted.bound = 0.0;
      accepted.value = 0.0;
      for (std::size_t i = 0; i < objectives(); ++i) accepted.value += weights_[i] * exact.f[i];
      record_.push_back(accepted);
      (void)minimize(x);  // the sensitivity is taken in the space
      return exact;
    }
    record_.push_back(accepted);
    x = packet();
    return {pareto::ScalarStatus::converged, f_, std::sqrt(accepted.bound / accepted.value), 0, {}};
  }

  [[nodiscard]] std::vector<double> sensitivity() override {
    // S = -R^T H^-1 R with the reduced gradients as columns of R.
    const Matrix s = -gradients_.transpose() * hessian_.ldlt().solve(gradients_);
    std::vector<double> rows;
    for (Index i = 0; i < s.rows(); ++i) {
      for (Index j = 0; j < s.cols(); ++j) rows.push_back(s(i, j));
    }
    return rows;
  }

 protected:
  [[nodiscard]] const control::Grid& grid() const { return problem_->grid(); }
  [[nodiscard]] std::size_t local() const { return weight_.size(); }
  [[nodiscard]] Local values(Vec v) const {
    const linalg::ConstEntries entries(v);
    return {entries.span().begin(), entries.span().end()};
  }
  [[nodiscard]] linalg::Vector vector(const Local& v) const {
    linalg::Vector result = grid().vector();
    linalg::Entries entries(result);
    std::copy(v.begin(), v.end(), entries.span().begin());
    return result;
  }
  [[nodiscard]] Local part(const std::vector<double>& x, std::size_t field) const {
    const auto at = x.begin() + static_cast<std::ptrdiff_t>(field * local());
    return {at, at + static_cast<std::ptrdiff_t>(local())};
  }
  /// sum_j c_j v_j
  [[nodiscard]] Local combine(const std::vector<Local>& v, const Vector& c) const {
    Local sum(local(), 0.0);
    for (std::size_t j = 0; j < v.size(); ++j) {
      for (std::size_t i = 0; i < local(); ++i) sum[i] += c(static_cast<Index>(j)) * v[j][i];
    }
    return sum;
  }
  /// Sums over all ranks of numbers of this rank.
  void add_up(std::span<double> numbers) const {
    MPI_Allreduce(MPI_IN_PLACE, numbers.data(), static_cast<int>(numbers.size()), MPI_DOUBLE,
                  MPI_SUM, grid().comm().handle());
  }
  [[nodiscard]] double inner(const Local& a, const Local& b) const {
    return grid().inner(vector(a), vector(b));
  }

  /// The reduced minimizer at weights_; sets f_, gradients_ and hessian_. `x` is a start.
  virtual bool minimize(const std::vector<double>& x) = 0;
  /// value, gradient and bound at that minimizer.
  virtual void judge(RomAcceptance& accepted) = 0;
  [[nodiscard]] virtual std::vector<double> packet() const = 0;
  /// A full solution joins the space.
  virtual void enrich(const std::vector<double>& x) = 0;

  std::shared_ptr<const PdeObjectives> problem_;
  std::unique_ptr<pareto::WeightedSolver> full_;
  RomOptions options_;
  Local weight_;
  std::vector<Local> targets_;
  std::vector<double> weights_, f_;
  PdeObjectives::Sum sum_;
  Local target_;  ///< of the weighted sum
  Matrix gradients_, hessian_;
  std::int64_t full_solves_ = 0, cycles_ = 0;
  std::vector<RomAcceptance> record_;
};

/// kappa = 0: controls in the span of full solutions.
[[nodiscard]] std::unique_ptr<RomSolver> linear_rom(std::shared_ptr<const PdeObjectives> problem,
                                                    std::unique_ptr<pareto::WeightedSolver> full,
                                                    const RomOptions& options);
/// kappa > 0: states in the span of full solutions.
[[nodiscard]] std::unique_ptr<RomSolver> semilinear_rom(
    std::shared_ptr<const PdeObjectives> problem, std::unique_ptr<pareto::WeightedSolver> full,
    const RomOptions& options);

}  // namespace equipoise::problems
