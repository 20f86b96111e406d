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
  if (!(theta >= 0.5 && theta <= 1.0))
    throw ConfigurationError("theta must lie in [1/2, 1], where the scheme is stable, not {}",
                             theta);
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

HeatFunctional::HeatFunctional(std::shared_ptr<const Heat> problem, const Snapshots& snapshots)
    : problem_(std::move(problem)),
      space_(problem_),
      where_(snapshots),
      state_(problem_->grid().vector()),
      adjoint_(problem_->grid().vector()),
      load_(problem_->grid().vector()),
      slice_(problem_->grid().vector()),
      stiffness_image_(problem_->grid().vector()) {
  if (where_.memory < 0 || where_.disk < 0 || where_.memory + where_.disk < 1) {
    throw ConfigurationError(
        "a reversal needs at least one snapshot, the initial state; got {} in memory and {} on "
        "disk",
        where_.memory, where_.disk);
  }
  if (where_.disk > 0 && where_.directory.empty()) {
    throw ConfigurationError("states on disk need a directory");
  }
  where_.disk = std::min(where_.disk, problem_->steps);
  if (where_.disk > 0) {
    file_ = std::make_unique<StateFile>(problem_->grid().comm(), where_.directory, where_.disk,
                                        problem_->grid().owned().size());
  }
  control_ = linalg::like(space_.primal().values);
  for (std::int64_t i = where_.disk; i < std::min(where_.disk + where_.memory, problem_->steps);
       ++i) {
    snapshots_.push_back(problem_->grid().vector());
  }
  if (problem_->grid().nodes() <= 10000) {
    matrix_ = problem_->grid().assemble(problem_->theta * problem_->dt(), 1.0);
    direct_ = linalg::direct_solver(matrix_, "state_");
  } else {
    multigrid_ = std::make_unique<Multigrid>(problem_->hierarchy, problem_->theta * problem_->dt(),
                                             1.0, "state_");
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

/// load_ := M (v + factor w) - (1 - theta) dt K v; v becomes v + factor w.
void HeatFunctional::explicit_part(Vec v, double factor, Vec w) {
  const double outside = (1.0 - problem_->theta) * problem_->dt();
  if (outside > 0.0) check(MatMult(problem_->grid().stiffness(), v, stiffness_image_));
  check(VecAXPY(v, factor, w));
  check(MatMult(problem_->grid().mass(), v, load_));
  if (outside > 0.0) check(VecAXPY(load_, -outside, stiffness_image_));
}

void HeatFunctional::forward(Vec control, std::int64_t step) {
  space_.read(control, step, slice_);
  explicit_part(state_, problem_->dt(), slice_);
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
    cost += 0.5 * problem_->weight(step) * problem_->grid().inner(misfit, misfit);
  }
  if (problem_->theta < 1.0) {  // the start, where y = 0, has its part in the trapezoidal rule
    check(VecSet(misfit, 0.0));
    subtract_target(-1, misfit);
    cost += 0.25 * problem_->dt() * problem_->grid().inner(misfit, misfit);
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
    if (snapshot < owner_->where_.disk) {
      owner_->file_->save(snapshot, linalg::ConstEntries(owner_->state_).span());
    } else {
      check(VecCopy(owner_->state_, memory(snapshot)));
    }
  }
  void load(std::int64_t snapshot) override {
    if (snapshot < owner_->where_.disk) {
      owner_->file_->load(snapshot, linalg::Entries(owner_->state_).span());
    } else {
      check(VecCopy(memory(snapshot), owner_->state_));
    }
  }
  /// (M + theta dt K) p_k = (M - (1 - theta) dt K) p_{k+1} + w_k M (y_k - yd_k) with the weight w_k
  /// of the misfit; the derivative is dt M (beta u_k + p_k).
  void adjoint(std::int64_t step) override {
    HeatFunctional& o = *owner_;
    const double dt = o.problem_->dt();
    o.forward(control_, step);
    check(VecCopy(o.state_, o.slice_));
    if (with_target_) o.subtract_target(step, o.slice_);
    o.explicit_part(o.adjoint_, o.problem_->weight(step), o.slice_);
    o.solve(o.load_, o.adjoint_);
    ++o.adjoint_steps_;
    o.space_.read(control_, step, o.slice_);
    check(VecAXPBY(o.slice_, 1.0, o.problem_->beta, o.adjoint_));
    check(MatMult(o.problem_->grid().mass(), o.slice_, o.load_));
    check(VecScale(o.load_, dt));
    o.space_.write(o.load_, step, out_);
  }

 private:
  [[nodiscard]] Vec memory(std::int64_t snapshot) const {
    return owner_->snapshots_[static_cast<std::size_t>(snapshot - owner_->where_.disk)];
  }
  HeatFunctional* owner_;
  Vec control_;
  bool with_target_;
  Vec out_;
};

void HeatFunctional::backward(Vec control, bool with_target, Dual& out) {
  check(VecSet(state_, 0.0));
  check(VecSet(adjoint_, 0.0));
  Sweep sweep(*this, control, with_target, out.values);
  last_ = reverse(problem_->steps, where_.disk + where_.memory, sweep);
}

void HeatFunctional::derivative(Dual& out) { backward(control_, true, out); }

void HeatFunctional::hessian(const Primal& d, Dual& out, Curvature) {
  backward(d.values, false, out);
}

solve::Counters HeatFunctional::counters() const {
  return {{"state_steps", state_steps_}, {"adjoint_steps", adjoint_steps_}};
}

}  // namespace equipoise::control
