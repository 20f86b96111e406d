#include "program_halpern.hpp"
#include "program_spread.hpp"

#include <equipoise/parallel/agree.hpp>

namespace equipoise::problems {
namespace {

/// A polish may cost so many operations at once, and so many times those spent on products.
constexpr double polish_at_once = 1e10, polish_share = 2.0;
constexpr double polish_factorizations = 30.0;  ///< expected

}  // namespace

/// Rank 0 counts the operations of a factorisation, once, and compares them with those of the
/// products so far.
bool HalpernPdhg::worth_polishing() {
  const double entries = static_cast<double>(program_->nonzeros + program_->quadratic_nonzeros);
  const double allowed =
      polish_at_once + polish_share * 2.0 * entries * static_cast<double>(scaled_.products());
  if (polish_cost_ < 0.0) {
    const LocalProgram local = gather_program();
    polish_cost_ = polish_factorizations * comm_.max(parallel::agree(comm_, [&] {
      return comm_.rank() == 0 ? factorization_cost(local) : 0.0;
    }));
  }
  return polish_cost_ <= allowed;
}

/// The whole program on rank 0. **Collective.**
LocalProgram HalpernPdhg::gather_program() {
  const DistributedProgram& p = *program_;
  LocalProgram local;
  local.cost = gather(comm_, p.columns, p.cost);
  local.lower = gather(comm_, p.columns, p.lower);
  local.upper = gather(comm_, p.columns, p.upper);
  local.row_lower = gather(comm_, p.rows, p.row_lower);
  local.row_upper = gather(comm_, p.rows, p.row_upper);
  local.matrix = gather(comm_, p.entries(comm_.rank()));
  local.quadratic = gather(comm_, p.quadratic);
  local.constant = p.constant;
  local.largest_bound = p.largest_bound;
  local.largest_cost = p.largest_cost;
  return local;
}

bool HalpernPdhg::polish() {
  const DistributedProgram& p = *program_;
  LocalProgram local = gather_program();
  Vector x = gather(comm_, p.columns, best_.x);
  Vector y = gather(comm_, p.rows, best_.y);
  Vector dual_ray, primal_ray;
  NewtonResult result;
  parallel::agree(comm_, [&] {
    if (comm_.rank() != 0) return;
    equilibrate(local);
    for (std::size_t j = 0; j < x.size(); ++j) x[j] /= local.column_scale[j];
    for (std::size_t i = 0; i < y.size(); ++i) y[i] /= local.row_scale[i];
    result = newton_polish(local, 1e-2 * tolerance_, x, y);
    if (!(result.kkt.largest() <= tolerance_)) {
      dual_ray = infeasibility_ray(local, result);
      primal_ray = recession_ray(local, result);
    }
    for (std::size_t j = 0; j < x.size(); ++j) x[j] *= local.column_scale[j];
    for (std::size_t i = 0; i < y.size(); ++i) y[i] *= local.row_scale[i];
  });
  factorizations_ += result.factorizations;
  Vector x_found = scatter(comm_, p.columns, x);
  Vector y_found = scatter(comm_, p.rows, y);
  for (std::size_t j = 0; j < x_found.size(); ++j)
    x_work_[j] = x_found[j] / scaled_.column_scale[j];
  for (std::size_t i = 0; i < y_found.size(); ++i) y_work_[i] = y_found[i] / scaled_.row_scale[i];
  const RelativeKkt now = scaled_.kkt(x_work_, y_work_);
  const bool better = now.largest() < report_.residual;
  if (better) {
    best_.x = std::move(x_found);
    best_.y = std::move(y_found);
    take(now);
    x_new_ = x_work_;
    y_new_ = y_work_;
    restart();
  }
  if (!comm_.any(!dual_ray.empty() || !primal_ray.empty())) return better;
  return prove_infeasible(scatter(comm_, p.rows, dual_ray)) ||
         prove_unbounded(scatter(comm_, p.columns, primal_ray)) || better;
}

}  // namespace equipoise::problems
