#include <equipoise/control/moreau_yosida.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace equipoise::control {

using linalg::check;

void PathOptions::describe(state::OptionVisitor& visit) {
  visit.option("first_weight", first_weight, "penalty weight gamma at the start", state::positive);
  visit.option("factor", factor, "from one weight to the next", {1.5, 1e6});
  visit.option("last_weight", last_weight, "largest weight", state::positive);
  visit.option("max_steps", max_steps, "Newton steps for one weight", state::at_least_one);
}

PenaltyPath::PenaltyPath(const parallel::Comm& comm, const partition::Partition& rows,
                         linalg::Vector bound, double sign, const PathOptions& options)
    : comm_(comm),
      rows_(rows),
      bound_(std::move(bound)),
      sign_(sign),
      options_(options),
      weight_(options.first_weight),
      active_(static_cast<std::size_t>(rows.range(comm.rank()).size()), 0),
      y_(active_.size(), 0.0) {
  if (options.last_weight < options.first_weight) {
    throw ConfigurationError("method.last_weight = {:g} lies below method.first_weight = {:g}",
                             options.last_weight, options.first_weight);
  }
  double largest = 0.0;
  check(VecNorm(bound_, NORM_INFINITY, &largest));
  if (!std::isfinite(largest)) throw ConfigurationError("the bound of the state is not finite");
  if (largest > 0.0) scale_ = largest;
}

void PenaltyPath::step() {
  if (finished_ != 0 || !trouble_.empty()) return;
  if (settled_ != 0) {
    if (weight_ * options_.factor > options_.last_weight * (1.0 + 1e-9)) {
      finished_ = 1;
      return;
    }
    weight_ *= options_.factor;
    steps_.push_back(0);
    settled_ = 0;
  }
  solve();
  ++steps_.back();
  std::int64_t changes = 0;
  double violation = 0.0;
  bool finite = true;
  {
    const linalg::ConstEntries bound(bound_);
    for (std::size_t i = 0; i < active_.size(); ++i) {
      const double excess = sign_ * (y_[i] - bound[static_cast<std::int64_t>(i)]);
      finite = finite && std::isfinite(excess);
      const std::int64_t next = excess > 0.0 ? 1 : 0;
      changes += next != active_[i] ? 1 : 0;
      active_[i] = next;
      violation = std::max(violation, excess);
    }
  }
  changes = comm_.sum(changes);
  violation = comm_.max(violation);
  cost_ = cost();
  if (comm_.any(!finite)) {
    trouble_ = "the state is not finite";
  } else if (changes == 0) {
    settled_ = 1;
    violations_.push_back(violation);
    residual_ = violation / scale_;
  } else if (steps_.back() >= options_.max_steps) {
    trouble_ = fmt::format(
        "at weight {:.0e} the active set still changes at {} nodes after {} steps; try a smaller "
        "method.factor",
        weight_, changes, steps_.back());
  }
}

solve::Report PenaltyPath::report() const {
  solve::Report report;
  report.residual = residual_;
  report.objective = cost_;
  report.fresh = settled_ != 0;
  report.finished = finished_ != 0;
  report.failed = !trouble_.empty();
  report.message = trouble_;
  if (finished_ != 0) report.message = fmt::format("the weight has reached {:.0e}", weight_);
  return report;
}

solve::Counters PenaltyPath::counters() const {
  return count_once(
      comm_, {{"linear_solves", std::accumulate(steps_.begin(), steps_.end(), std::int64_t{0})},
              {"weights", static_cast<std::int64_t>(steps_.size())},
              {"linear_solves_for_one_weight", *std::max_element(steps_.begin(), steps_.end())}});
}

void PenaltyPath::visit_array(state::FieldVisitor& visit, const char* name,
                              std::vector<double>& values) const {
  visit.partitioned(name, rows_, comm_.rank(), 1, values);
}

void PenaltyPath::fields(state::FieldVisitor& visit) {
  visit.partitioned("active", rows_, comm_.rank(), 1, active_);
  visit_array(visit, "state", y_);
  visit.replicated("steps", steps_);
  visit.replicated("violations", violations_);
  visit.scalar("weight", weight_);
  visit.scalar("residual", residual_);
  visit.scalar("cost", cost_);
  visit.scalar("settled", settled_);
  visit.scalar("finished", finished_);
  more(visit);
}

void PenaltyPath::solution(state::FieldVisitor& visit) {
  // Visitors may take the arrays away: what depends on them comes first.
  std::vector<double> multiplier(y_.size());
  {
    const linalg::ConstEntries bound(bound_);
    for (std::size_t i = 0; i < y_.size(); ++i) {
      multiplier[i] =
          weight_ * std::max(0.0, sign_ * (y_[i] - bound[static_cast<std::int64_t>(i)]));
    }
  }
  visit_array(visit, "state", y_);
  visit_array(visit, "multiplier", multiplier);
  more(visit);
}

namespace {

const Grid& nodal(const Grid& grid) {
  if (grid.shape().element != Element::fd) {
    throw ConfigurationError(
        "bounds on the state are treated node by node: choose problem.element = \"fd\"");
  }
  return grid;
}

/// Copies the entries of a vector.
std::vector<double> entries_of(Vec v) {
  const linalg::ConstEntries values(v);
  return {values.span().begin(), values.span().end()};
}

}  // namespace

StateConstrained::StateConstrained(std::shared_ptr<const Tracking> problem, linalg::Vector bound,
                                   const PathOptions& options)
    : PenaltyPath(nodal(problem->grid()).comm(), problem->grid().partition(), std::move(bound), 1.0,
                  options),
      problem_(std::move(problem)),
      solver_(problem_->grid()),
      p_(y_.size(), 0.0) {
  problem_->validate();
}

void StateConstrained::solve() {
  CoupledCoefficients c(static_cast<std::int64_t>(active_.size()));
  {
    const linalg::ConstEntries bound(bound_), target(problem_->target), source(problem_->source);
    for (std::size_t i = 0; i < active_.size(); ++i) {
      const auto k = static_cast<std::int64_t>(i);
      const double weight = active_[i] != 0 ? weight_ : 0.0;
      c.b[i] = 1.0 / problem_->beta;
      c.r[i] = source[k];
      c.d[i] = -(1.0 + weight);
      c.s[i] = -(target[k] + weight * bound[k]);
    }
  }
  solver_.solve(c, y_, p_, pinned_);
}

void StateConstrained::more(state::FieldVisitor& visit) {
  std::vector<double> u(p_.size());
  for (std::size_t i = 0; i < p_.size(); ++i) u[i] = -p_[i] / problem_->beta;
  visit_array(visit, "adjoint", p_);
  visit_array(visit, "control", u);
}

double StateConstrained::cost() const {
  linalg::Vector y = problem_->grid().vector(), u = problem_->grid().vector();
  {
    linalg::Entries state(y), control(u);
    for (std::size_t i = 0; i < p_.size(); ++i) {
      state[static_cast<std::int64_t>(i)] = y_[i];
      control[static_cast<std::int64_t>(i)] = -p_[i] / problem_->beta;
    }
  }
  return problem_->cost(y, u);
}

MeshStateConstrained::MeshStateConstrained(std::shared_ptr<const MeshSpace> space,
                                           linalg::Matrix stiffness, double beta,
                                           linalg::Vector target, linalg::Vector source,
                                           linalg::Vector bound, const PathOptions& options)
    : PenaltyPath(space->comm(), space->partition(), std::move(bound), 1.0, options),
      space_(std::move(space)),
      stiffness_(std::move(stiffness)),
      mass_(elements().assemble([](const Place&) { return Form{.reaction = 1.0}; }, true)),
      beta_(beta),
      target_(std::move(target)),
      source_load_(elements().vector()),
      target_load_(elements().vector()),
      lumped_(elements().vector()),
      p_(y_.size(), 0.0) {
  if (!(beta > 0.0))
    throw ConfigurationError("the control cost beta must be positive, not {}", beta);
  bool crossed = false;
  {
    const linalg::ConstEntries upper(bound_);
    for (std::size_t i = 0; i < p_.size(); ++i) {
      crossed =
          crossed || (elements().dirichlet()[i] != 0 && upper[static_cast<std::int64_t>(i)] < 0.0);
    }
  }
  if (comm_.any(crossed)) {
    throw ConfigurationError("no state keeps a bound below 0 where y = 0 on the boundary");
  }
  check(MatDuplicate(mass_, MAT_COPY_VALUES, coupling_.put()));
  check(MatScale(coupling_, 1.0 / beta));
  check(MatMult(space_->mass(), source, source_load_));
  check(MatMult(space_->mass(), target_, target_load_));
  elements().load([](const Place&) { return 1.0; }, {}, lumped_);
  for (Vec v : {source_load_.get(), target_load_.get(), lumped_.get()})
    elements().clear_dirichlet(v);
}

/// [K M/beta; -(M + gamma L) K] (y, p) = (M f, -(M yd + gamma L bound)), L the lumped mass of the
/// active nodes.
void MeshStateConstrained::solve() {
  linalg::Vector penalty = elements().vector(), right = linalg::copy(target_load_);
  {
    const linalg::ConstEntries lumped(lumped_), bound(bound_);
    linalg::Entries diagonal(penalty), load(right);
    for (std::int64_t i = 0; i < load.size(); ++i) {
      if (active_[static_cast<std::size_t>(i)] == 0) continue;
      diagonal[i] = weight_ * lumped[i];
      load[i] += diagonal[i] * bound[i];
    }
  }
  linalg::Matrix tracking, nest, matrix;
  check(MatDuplicate(mass_, MAT_COPY_VALUES, tracking.put()));
  check(MatDiagonalSet(tracking, penalty, ADD_VALUES));
  check(MatScale(tracking, -1.0));
  check(VecScale(right, -1.0));
  Mat blocks[4] = {stiffness_, coupling_, tracking, stiffness_};
  check(MatCreateNest(comm_.handle(), 2, nullptr, 2, nullptr, blocks, nest.put()));
  check(MatConvert(nest, MATAIJ, MAT_INITIAL_MATRIX, matrix.put()));
  linalg::Vector load, solution;
  check(MatCreateVecs(matrix, solution.put(), load.put()));
  {
    linalg::Entries all(load);
    const linalg::ConstEntries state(source_load_), adjoint(right);
    std::copy_n(state.span().begin(), state.size(), all.span().begin());
    std::copy_n(adjoint.span().begin(), adjoint.size(), all.span().begin() + state.size());
  }
  const linalg::Solver solver = linalg::direct_solver(matrix, "coupled_");
  linalg::solve(solver, load, solution);
  const std::vector<double> both = entries_of(solution);
  const auto middle = both.begin() + static_cast<std::ptrdiff_t>(y_.size());
  y_.assign(both.begin(), middle);
  p_.assign(middle, both.end());
}

void MeshStateConstrained::more(state::FieldVisitor& visit) {
  std::vector<double> u(p_.size());
  for (std::size_t i = 0; i < p_.size(); ++i) u[i] = -p_[i] / beta_;
  visit_array(visit, "adjoint", p_);
  visit_array(visit, "control", u);
}

double MeshStateConstrained::cost() const {
  linalg::Vector v = elements().vector(), image = elements().vector();
  const auto squared = [&](const auto& value) {
    {
      linalg::Entries entries(v);
      for (std::int64_t i = 0; i < entries.size(); ++i)
        entries[i] = value(static_cast<std::size_t>(i));
    }
    check(MatMult(space_->mass(), v, image));
    return linalg::dot(v, image);
  };
  const std::vector<double> target = entries_of(target_);
  return 0.5 * squared([&](std::size_t i) { return y_[i] - target[i]; }) +
         0.5 * beta_ * squared([&](std::size_t i) { return p_[i] / beta_; });
}

PenalisedObstacle::PenalisedObstacle(const Obstacle& problem, const PathOptions& options)
    : PenaltyPath(nodal(problem.hierarchy->finest()).comm(),
                  problem.hierarchy->finest().partition(),
                  problem.hierarchy->finest().interpolate(problem.obstacle), -1.0, options),
      hierarchy_(problem.hierarchy),
      grid_(&hierarchy_->finest()),
      load_(grid_->interpolate(problem.load)) {
  check(VecPointwiseMult(load_, load_, grid_->lumped_mass()));
  add_boundary(*grid_, problem.boundary, load_);
}

void PenalisedObstacle::solve() {
  linalg::Matrix matrix;
  check(MatDuplicate(grid_->stiffness(), MAT_COPY_VALUES, matrix.put()));
  linalg::Vector penalty = grid_->vector(), right = linalg::copy(load_), y = grid_->vector();
  {
    const linalg::ConstEntries mass(grid_->lumped_mass()), bound(bound_);
    linalg::Entries diagonal(penalty), b(right);
    for (std::int64_t i = 0; i < b.size(); ++i) {
      if (active_[static_cast<std::size_t>(i)] == 0) continue;
      diagonal[i] = weight_ * mass[i];
      b[i] += weight_ * mass[i] * bound[i];
    }
  }
  check(MatDiagonalSet(matrix, penalty, ADD_VALUES));
  const linalg::Solver solver = linalg::direct_solver(matrix, "state_");
  linalg::solve(solver, right, y);
  y_ = entries_of(y);
}

}  // namespace equipoise::control
