#include <equipoise/control/heat.hpp>

#include <algorithm>

namespace equipoise::control {

using linalg::check;

void Heat::validate() const {
  if (!(beta > 0.0))
    throw ConfigurationError("the control cost beta must be positive, not {}", beta);
  if (steps < 1)
    throw ConfigurationError("the heat equation needs at least one time step, not {}", steps);
  if (!(end_time > 0.0))
    throw ConfigurationError("the end time must be positive, not {}", end_time);
}

SpaceTime::SpaceTime(std::shared_ptr<const Heat> problem)
    : problem_(std::move(problem)),
      slice_(problem_->grid().vector()),
      image_(problem_->grid().vector()) {
  problem_->validate();
  const Grid& grid = problem_->grid();
  std::vector<std::int64_t> offsets(grid.partition().offsets().begin(),
                                    grid.partition().offsets().end());
  for (auto& offset : offsets) offset *= problem_->steps;
  partition_ = partition::Partition::from_offsets(std::move(offsets));
  check(VecCreateMPI(grid.comm().handle(),
                     static_cast<PetscInt>(grid.owned().size() * problem_->steps), PETSC_DETERMINE,
                     layout_.put()));
}

void SpaceTime::read(Vec function, std::int64_t step, Vec slice) const {
  const linalg::ConstEntries from(function);
  linalg::Entries to(slice);
  for (std::int64_t i = 0; i < to.size(); ++i) to[i] = from[i * problem_->steps + step];
}

void SpaceTime::write(Vec slice, std::int64_t step, Vec function) const {
  const linalg::ConstEntries from(slice);
  linalg::Entries to(function);
  for (std::int64_t i = 0; i < from.size(); ++i) to[i * problem_->steps + step] = from[i];
}

void SpaceTime::to_dual(const Primal& v, Dual& out) const {
  for (std::int64_t step = 0; step < problem_->steps; ++step) {
    read(v.values, step, slice_);
    check(MatMult(problem_->grid().mass(), slice_, image_));
    check(VecScale(image_, problem_->dt()));
    write(image_, step, out.values);
  }
}

void SpaceTime::to_primal(const Dual& f, Primal& out) const {
  for (std::int64_t step = 0; step < problem_->steps; ++step) {
    read(f.values, step, slice_);
    problem_->grid().solve_mass(slice_, slice_);
    check(VecScale(slice_, 1.0 / problem_->dt()));
    write(slice_, step, out.values);
  }
}

HeatFunctional::HeatFunctional(std::shared_ptr<const Heat> problem, std::int64_t snapshots)
    : problem_(std::move(problem)),
      space_(problem_),
      snapshot_count_(snapshots),
      state_(problem_->grid().vector()),
      adjoint_(problem_->grid().vector()),
      load_(problem_->grid().vector()),
      slice_(problem_->grid().vector()) {
  if (snapshots < 1) {
    throw ConfigurationError("a reversal needs at least one snapshot, the initial state; got {}",
                             snapshots);
  }
  control_ = linalg::like(space_.primal().values);
  for (std::int64_t i = 0; i < std::min(snapshots, problem_->steps); ++i) {
    snapshots_.push_back(problem_->grid().vector());
  }
  if (problem_->grid().nodes() <= 10000) {
    matrix_ = problem_->grid().assemble(problem_->dt(), 1.0);
    direct_ = linalg::direct_solver(matrix_, "state_");
  } else {
    multigrid_ = std::make_unique<Multigrid>(problem_->hierarchy, problem_->dt(), 1.0, "state_");
  }
}

HeatFunctional::~HeatFunctional() = default;

void HeatFunctional::solve(Vec b, Vec x) {
  if (multigrid_) {
    multigrid_->solve(b, x, 1e-13);
  } else {
    linalg::solve(direct_, b, x);
  }
}

void HeatFunctional::forward(Vec control, std::int64_t step) {
  space_.read(control, step, slice_);
  check(VecAXPY(state_, problem_->dt(), slice_));
  check(MatMult(problem_->grid().mass(), state_, load_));
  solve(load_, state_);
  ++state_steps_;
}

void HeatFunctional::subtract_target(std::int64_t step, Vec misfit) const {
  linalg::Entries values(misfit);
  const Grid& grid = problem_->grid();
  const double time = problem_->dt() * static_cast<double>(step + 1);
  for (std::int64_t i = 0; i < values.size(); ++i) {
    values[i] -= problem_->target(grid.point(grid.owned().begin + i), time);
  }
}

double HeatFunctional::value(const Primal& u) {
  check(VecCopy(u.values, control_));
  check(VecSet(state_, 0.0));
  double cost = 0.0;
  linalg::Vector misfit = problem_->grid().vector();
  for (std::int64_t step = 0; step < problem_->steps; ++step) {
    forward(control_, step);
    check(VecCopy(state_, misfit));
    subtract_target(step, misfit);
    cost += 0.5 * problem_->dt() * problem_->grid().inner(misfit, misfit);
  }
  return cost + 0.5 * problem_->beta * space_.inner(u, u);
}

/// The backward sweep as steps that revolve can reverse.
class HeatFunctional::Sweep : public ReversibleSteps {
 public:
  Sweep(HeatFunctional& owner, Vec control, bool with_target, Vec out)
      : owner_(&owner), control_(control), with_target_(with_target), out_(out) {}
  void advance(std::int64_t from, std::int64_t to) override {
    for (std::int64_t step = from; step < to; ++step) owner_->forward(control_, step);
  }
  void save(std::int64_t snapshot) override {
    check(VecCopy(owner_->state_, owner_->snapshots_[static_cast<std::size_t>(snapshot)]));
  }
  void load(std::int64_t snapshot) override {
    check(VecCopy(owner_->snapshots_[static_cast<std::size_t>(snapshot)], owner_->state_));
  }
  /// (M + dt K) p_k = M p_{k+1} + dt M (y_k - yd_k); the derivative is dt M (beta u_k + p_k).
  void adjoint(std::int64_t step) override {
    HeatFunctional& o = *owner_;
    const double dt = o.problem_->dt();
    o.forward(control_, step);
    check(VecCopy(o.state_, o.slice_));
    if (with_target_) o.subtract_target(step, o.slice_);
    check(VecAXPY(o.adjoint_, dt, o.slice_));
    check(MatMult(o.problem_->grid().mass(), o.adjoint_, o.load_));
    o.solve(o.load_, o.adjoint_);
    ++o.adjoint_steps_;
    o.space_.read(control_, step, o.slice_);
    check(VecAXPBY(o.slice_, 1.0, o.problem_->beta, o.adjoint_));
    check(MatMult(o.problem_->grid().mass(), o.slice_, o.load_));
    check(VecScale(o.load_, dt));
    o.space_.write(o.load_, step, out_);
  }

 private:
  HeatFunctional* owner_;
  Vec control_;
  bool with_target_;
  Vec out_;
};

void HeatFunctional::backward(Vec control, bool with_target, Dual& out) {
  check(VecSet(state_, 0.0));
  check(VecSet(adjoint_, 0.0));
  Sweep sweep(*this, control, with_target, out.values);
  last_ = reverse(problem_->steps, snapshot_count_, sweep);
}

void HeatFunctional::derivative(Dual& out) { backward(control_, true, out); }

void HeatFunctional::hessian(const Primal& d, Dual& out, Curvature) {
  backward(d.values, false, out);
}

solve::Counters HeatFunctional::counters() const {
  return {{"state_steps", state_steps_}, {"adjoint_steps", adjoint_steps_}};
}

}  // namespace equipoise::control
