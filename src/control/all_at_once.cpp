#include <equipoise/control/all_at_once.hpp>

#include <array>
#include <cmath>
#include <numeric>

namespace equipoise::control {

using linalg::check;

void AllAtOnceOptions::describe(state::OptionVisitor& visit) {
  visit.choice("preconditioner", preconditioner, {"pearson-wathen", "rees-dollar-wathen"},
               "approximation of the Schur complement");
  visit.option("cycles", cycles, "V-cycles per Poisson-like block; 0 solves it to 1e-13",
               state::non_negative);
  visit.option("eliminate_control", eliminate_control,
               "iterate on state and adjoint, u = -adjoint/beta");
  visit.option("nested", nested, "start from the solution on coarser grids; false starts at zero");
}

double AllAtOnceOptions::shift(double beta) const {
  return preconditioner == "pearson-wathen" ? 1.0 / std::sqrt(beta) : 0.0;
}

AllAtOnce::AllAtOnce(std::shared_ptr<const Tracking> problem, const AllAtOnceOptions& options)
    : AllAtOnce(std::make_unique<GridOptimality>(problem, options.shift(problem->beta)), options) {}

AllAtOnce::AllAtOnce(std::unique_ptr<OptimalitySystem> system, const AllAtOnceOptions& options)
    : system_(std::move(system)),
      options_(options),
      x_(blocks()),
      v_(blocks()),
      v_old_(blocks()),
      z_(blocks()),
      z_next_(blocks()),
      w_(blocks()),
      w_old_(blocks()),
      image_(blocks()),
      mass_control_(system_->vector()),
      work_(system_->vector()),
      stiffness_image_(system_->vector()) {}

AllAtOnce::Blocks AllAtOnce::blocks() const {
  Blocks result;
  for (int i = 0; i < (options_.eliminate_control ? 2 : 3); ++i) {
    result.push_back(system_->vector());
  }
  return result;
}

/// The pairing of residual blocks a with blocks b; that of the control is held by its M^-1 image,
/// and b by `mass_image` = M b.
double AllAtOnce::dot(const Blocks& a, const Blocks& b, Vec mass_image) {
  std::vector<double> values(a.size());
  const auto factor = [&](std::size_t i) -> Vec {
    return a.size() == 3 && i == 1 ? mass_image : b[i].get();
  };
  for (std::size_t i = 0; i < a.size(); ++i) check(VecDotBegin(a[i], factor(i), &values[i]));
  for (std::size_t i = 0; i < a.size(); ++i) check(VecDotEnd(a[i], factor(i), &values[i]));
  return std::accumulate(values.begin(), values.end(), 0.0);
}

void AllAtOnce::apply(const Blocks& x, Blocks& out) {
  system_->apply(x.front(), out.back(), out.front());  // K y and M y in one pass
  if (options_.eliminate_control) {
    system_->apply(x.back(), stiffness_image_, work_);
    check(VecAXPY(out.back(), -1.0 / system_->beta(), work_));
  } else {
    system_->apply(x.back(), stiffness_image_, nullptr);
    check(VecAXPY(out.back(), -1.0, mass_control_));
    check(VecWAXPY(out[1], -system_->beta(), x[1], x.back()));
    check(VecScale(out[1], -1.0));
  }
  check(VecAXPY(out.front(), 1.0, stiffness_image_));
}

void AllAtOnce::schur_inverse(Vec r, Vec z) {
  const int count = static_cast<int>(options_.cycles);
  system_->solve_block(r, z, count);
  system_->apply(z, nullptr, work_);
  system_->solve_block(work_, z, count);
  cycles_ += 2 * count;
}

/// z = P^-1 r, and M z of the control.
void AllAtOnce::precondition(const Blocks& r, Blocks& z) {
  system_->solve_mass(r.front(), z.front());
  ++mass_solves_;
  if (!options_.eliminate_control) {
    check(VecAXPBY(z[1], 1.0 / system_->beta(), 0.0, r[1]));
    system_->apply(z[1], nullptr, mass_control_);
  }
  schur_inverse(r.back(), z.back());
}

void AllAtOnce::start() {
  start_at_zero();
  start_residual_ = gamma_;
  if (options_.nested && gamma_ > 0.0 && start_from_coarser() && !(gamma_ < start_residual_)) {
    start_at_zero();
  }
  residual_ = gamma_;
  iteration_ = 0;
}

void AllAtOnce::start_at_zero() {
  for (auto& block : x_) check(VecSet(block, 0.0));
  for (auto& block : v_) check(VecSet(block, 0.0));
  system_->loads(v_.front(), v_.back());
  precondition(v_, z_);
  gamma_ = std::sqrt(dot(v_, z_, mass_control_));
}

/// Solves the problem on the next coarser grid and starts from its solution; false if there is no
/// such grid. Needs the right-hand side in v_.
bool AllAtOnce::start_from_coarser() {
  auto coarse = system_->coarser(v_.front(), v_.back());
  if (!coarse) return false;
  AllAtOnce below(std::move(coarse), options_);
  below.solve_for_a_start();
  coarse_cycles_ += below.cycles_ + below.coarse_cycles_;

  system_->interpolate(below.x_.front(), x_.front());
  system_->interpolate(below.x_.back(), x_.back());
  sharpen_multiplier();
  if (!options_.eliminate_control) {
    check(VecAXPBY(x_[1], 1.0 / system_->beta(), 0.0, x_.back()));
    system_->apply(x_[1], nullptr, mass_control_);
  }
  apply(x_, image_);  // the row of the control is exact
  check(VecAXPY(v_.front(), -1.0, image_.front()));
  check(VecAXPY(v_.back(), -1.0, image_.back()));
  precondition(v_, z_);
  gamma_ = std::sqrt(dot(v_, z_, mass_control_));
  return true;
}

/// Two corrections q += B^-1 (M (yd - y) - K q), B the block of the preconditioner: interpolation
/// misses what is finer than the coarser grid, above all the layer beside the boundary where a
/// target that does not vanish there is cut off, and the norm of the residual sees it. Needs the
/// right-hand side in v_.
void AllAtOnce::sharpen_multiplier() {
  const int count = static_cast<int>(options_.cycles);
  Vec residual = image_.front(), correction = z_.front();
  system_->apply(x_.front(), nullptr, stiffness_image_);
  system_->apply(x_.back(), residual, nullptr);
  check(VecAXPBYPCZ(residual, 1.0, -1.0, -1.0, v_.front(), stiffness_image_));
  for (int sweep = 0; sweep < 2; ++sweep) {
    system_->solve_block(residual, correction, count);
    cycles_ += count;
    check(VecAXPY(x_.back(), 1.0, correction));
    system_->apply(correction, stiffness_image_, nullptr);
    check(VecAXPY(residual, -1.0, stiffness_image_));
  }
}

/// To far below the error of interpolation, of which the next finer grid sees a quarter; from zero,
/// on the coarsest grid, further.
void AllAtOnce::solve_for_a_start() {
  start();
  const bool from_zero = std::abs(residual_) == start_residual_;
  const double target = (from_zero ? 1e-8 : 0.05) * std::abs(residual_);
  for (int k = 0; k < 100 && std::abs(residual_) > target; ++k) step();
}

namespace {

/// w_old := (z/gamma - a2 w - a3 w_old)/a1 and x += length w_old in one pass over memory.
void update_solution(Vec z, Vec w, Vec w_old, Vec x, std::array<double, 3> factors, double length) {
  const linalg::ConstEntries zs(z), ws(w);
  linalg::Entries olds(w_old), xs(x);
  const auto [fz, fw, fo] = factors;
  const double *zp = zs.span().data(), *wp = ws.span().data();
  double *op = olds.span().data(), *xp = xs.span().data();
  for (std::int64_t i = 0, n = xs.size(); i < n; ++i) {
    const double next = fz * zp[i] + fw * wp[i] + fo * op[i];
    op[i] = next;
    xp[i] += length * next;
  }
}

}  // namespace

/// The Lanczos vectors are v/gamma and z/gamma; neither is scaled in memory.
void AllAtOnce::step() {
  if (iteration_ < 0) start();
  if (gamma_ == 0.0) return;
  apply(z_, image_);
  const double delta = dot(image_, z_, mass_control_) / (gamma_ * gamma_);
  for (std::size_t i = 0; i < v_.size();
       ++i) {  // v_old := A z/gamma - delta/gamma v - gamma/gamma_old v_old
    check(VecAXPBYPCZ(v_old_[i], 1.0 / gamma_, -delta / gamma_, -gamma_ / gamma_old_, image_[i],
                      v_[i]));
  }
  std::swap(v_, v_old_);
  precondition(v_, z_next_);
  const double next = std::sqrt(std::max(0.0, dot(v_, z_next_, mass_control_)));
  const double a0 = c_ * delta - c_old_ * s_ * gamma_;
  const double a1 = std::hypot(a0, next);
  const double a2 = s_ * delta + c_old_ * c_ * gamma_;
  const double a3 = s_old_ * gamma_;
  c_old_ = std::exchange(c_, a0 / a1);
  s_old_ = std::exchange(s_, next / a1);
  for (std::size_t i = 0; i < x_.size(); ++i) {
    update_solution(z_[i], w_[i], w_old_[i], x_[i], {1.0 / (gamma_ * a1), -a2 / a1, -a3 / a1},
                    c_ * residual_);
  }
  std::swap(w_, w_old_);
  std::swap(z_, z_next_);
  residual_ *= -s_;
  gamma_old_ = std::exchange(gamma_, next);
  ++iteration_;
}

solve::Report AllAtOnce::report() const {
  solve::Report report;
  if (iteration_ >= 0) {
    report.residual = start_residual_ > 0.0 ? std::abs(residual_) / start_residual_ : 0.0;
    report.fresh = true;
  }
  report.failed = !std::isfinite(residual_) || !std::isfinite(gamma_);
  if (report.failed) report.message = "the residual of the optimality system is not finite";
  return report;
}

solve::Counters AllAtOnce::counters() const {
  return count_once(system_->comm(), {{"multigrid_cycles", cycles_},
                                      {"coarse_multigrid_cycles", coarse_cycles_},
                                      {"mass_solves", mass_solves_}});
}

void AllAtOnce::fields(state::FieldVisitor& visit) {
  const auto& rows = system_->partition();
  const int part = system_->comm().rank();
  const auto all = [&](const std::string& name, Blocks& blocks) {
    const std::vector<std::string> names =
        blocks.size() == 2 ? std::vector<std::string>{"state", "multiplier"}
                           : std::vector<std::string>{"state", "control", "multiplier"};
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      visit_vector(visit, name + "/" + names[i], rows, part, blocks[i]);
    }
  };
  all("x", x_);
  all("v", v_);
  all("v_old", v_old_);
  all("z", z_);
  all("w", w_);
  all("w_old", w_old_);
  visit_vector(visit, "mass_control", rows, part, mass_control_);
  visit.scalar("gamma", gamma_);
  visit.scalar("gamma_old", gamma_old_);
  visit.scalar("c", c_);
  visit.scalar("c_old", c_old_);
  visit.scalar("s", s_);
  visit.scalar("s_old", s_old_);
  visit.scalar("residual", residual_);
  visit.scalar("start_residual", start_residual_);
  visit.scalar("iteration", iteration_);
}

AllAtOnce::Point AllAtOnce::point() const {
  Point point{linalg::copy(x_.front()), linalg::copy(x_.back()), linalg::copy(x_.back())};
  check(VecScale(point.adjoint, -1.0));
  if (options_.eliminate_control) {
    check(VecScale(point.control, 1.0 / system_->beta()));
  } else {
    check(VecCopy(x_[1], point.control));
  }
  return point;
}

void AllAtOnce::solution(state::FieldVisitor& visit) {
  const auto& rows = system_->partition();
  const int part = system_->comm().rank();
  Point at = point();
  visit_vector(visit, "control", rows, part, at.control);
  visit_vector(visit, "state", rows, part, at.state);
  visit_vector(visit, "adjoint", rows, part, at.adjoint);
}

}  // namespace equipoise::control
