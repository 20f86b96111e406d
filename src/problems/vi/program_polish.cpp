#include "program_halpern.hpp"
#include "program_spread.hpp"

#include <equipoise/parallel/agree.hpp>

namespace equipoise::problems {
namespace {

/// Parts that are solved one after another.
constexpr int most_parts = 10;
/// A part is small with at most one in so many coefficients of the whole.
constexpr std::int64_t small_part = 4;
/// A polish may cost so many operations at once, and so many times those spent on products.
constexpr double polish_at_once = 1e10, polish_share = 2.0;
constexpr double polish_factorizations = 30.0;  ///< expected

}  // namespace

/// Operations of a polish, by rank 0's count of those of a factorisation, which ends soon after it
/// exceeds what is allowed. **Collective.**
double HalpernPdhg::polish_cost(const LocalProgram& local, double allowed) {
  return polish_factorizations * comm_.max(parallel::agree(comm_, [&] {
    return comm_.rank() == 0 ? factorization_cost(local, allowed / polish_factorizations) : 0.0;
  }));
}

/// What the pair leaves open, while it has at most `most` coefficients and its factorisation is
/// cheap enough: solved and chosen anew until nothing outside is violated.
void HalpernPdhg::solve_parts(std::int64_t most, double& allowed, Vector& x, Vector& y) {
  most = std::min(options_.polish_nonzeros, most);
  for (int k = 0; k < most_parts && report_.residual > tolerance_; ++k) {
    const ProgramPart part = open_part(comm_, scaled_, eta_ / weight_, eta_ * weight_, x, y);
    // A file has been whole on rank 0 before.
    if (best_.program->generator && traveling_nonzeros(comm_, *program_, part) > most) return;
    GatheredPart local = gather_part(comm_, scaled_, part, x, y);
    if (local.nonzeros > most) return;
    const double cost = polish_cost(local.program, allowed);
    if (cost > allowed) return;
    allowed -= cost;
    if (!solve_part(part, local, x, y)) return;
  }
}

/// Small parts; then the whole program, where its factorisation is cheap; then any part whose
/// factorisation is, because it lacks the rows that fill the whole's.
bool HalpernPdhg::polish() {
  const DistributedProgram& p = *program_;
  const std::int64_t all = p.nonzeros + p.quadratic_nonzeros;
  double allowed = polish_at_once + polish_share * 2.0 * static_cast<double>(all) *
                                        static_cast<double>(scaled_.products());
  Vector x, y;
  const auto from_best = [&] {
    x = best_.x;
    y = best_.y;
    order_.columns_from_file(x);
    order_.rows_from_file(y);
    for (std::size_t j = 0; j < x.size(); ++j) x[j] /= scaled_.column_scale[j];
    for (std::size_t i = 0; i < y.size(); ++i) y[i] /= scaled_.row_scale[i];
  };
  const double before = report_.residual;
  from_best();
  if (!quadratic()) solve_parts(all / small_part, allowed, x, y);
  bool dear = all > options_.polish_nonzeros || whole_polish_cost_ > allowed;
  if (report_.residual > tolerance_ && !dear) {
    from_best();
    const ProgramPart whole = whole_program(p, comm_.rank());
    GatheredPart local = gather_part(comm_, scaled_, whole, x, y);
    whole_polish_cost_ = polish_cost(local.program, allowed);
    dear = whole_polish_cost_ > allowed;
    if (!dear) (void)solve_part(whole, local, x, y);
  }
  if (report_.residual > tolerance_ && dear && !quadratic()) {
    from_best();
    solve_parts(all, allowed, x, y);
  }
  if (report_.finished) return true;
  const bool better = report_.residual < before;
  if (better) restart();
  return better;
}

/// Newton's method on the part; says whether it solved it. Where the pair of the whole program
/// became better it is taken; a ray of the whole program that proves that there is none ends the
/// run.
bool HalpernPdhg::solve_part(const ProgramPart& part, GatheredPart& local, Vector& x, Vector& y) {
  Vector dual_ray, primal_ray;
  NewtonResult result;
  parallel::agree(comm_, [&] {
    if (comm_.rank() != 0) return;
    LocalProgram& program = local.program;
    equilibrate(program);
    for (std::size_t j = 0; j < local.x.size(); ++j) local.x[j] /= program.column_scale[j];
    for (std::size_t i = 0; i < local.y.size(); ++i) local.y[i] /= program.row_scale[i];
    result = newton_polish(program, 1e-2 * tolerance_, local.x, local.y);
    if (part.whole && !(result.kkt.largest() <= tolerance_)) {
      dual_ray = infeasibility_ray(program, result);
      primal_ray = recession_ray(program, result);
    }
    for (std::size_t j = 0; j < local.x.size(); ++j) local.x[j] *= program.column_scale[j];
    for (std::size_t i = 0; i < local.y.size(); ++i) local.y[i] *= program.row_scale[i];
  });
  factorizations_ += result.factorizations;
  Vector found_x(x.size()), found_y(y.size());
  scatter_part(comm_, part.columns, local.x, found_x);
  scatter_part(comm_, part.rows, local.y, found_y);
  for (std::size_t j = 0; j < x.size(); ++j) {
    if (part.columns[j]) x[j] = found_x[j] / scaled_.column_scale[j];
  }
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = found_y[i] / scaled_.row_scale[i];
  const RelativeKkt now = scaled_.kkt(x, y);
  if (now.largest() < report_.residual) {
    keep(x, y, now);
    x_new_ = x;
    y_new_ = y;
  }
  if (comm_.any(!dual_ray.empty() || !primal_ray.empty()) &&
      !prove_infeasible(scatter(comm_, dual_ray, y.size()))) {
    (void)prove_unbounded(scatter(comm_, primal_ray, x.size()));
  }
  return comm_.any(result.kkt.largest() <= tolerance_ && comm_.rank() == 0);
}

}  // namespace equipoise::problems
