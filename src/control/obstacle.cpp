#include <equipoise/control/obstacle.hpp>
#include <equipoise/control/space.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::control {

using linalg::check;

void ObstacleOptions::describe(state::OptionVisitor& visit) {
  visit.option("nested", nested, "start each grid from the active set of the next coarser one");
}

ObstacleMethod::ObstacleMethod(Obstacle problem, const ObstacleOptions& options)
    : problem_(std::move(problem)),
      level_(options.nested ? static_cast<std::int64_t>(problem_.hierarchy->grids.size()) - 1 : 0),
      per_grid_(problem_.hierarchy->grids.size(), 0) {
  if (grid().shape().element != Element::fd) {
    throw ConfigurationError(
        "the obstacle problem is treated node by node: choose problem.element = \"fd\"");
  }
  active_.assign(static_cast<std::size_t>(grid().owned().size()), 0);
}

void add_boundary(const Grid& grid, const std::function<double(const Point&)>& data, Vec load) {
  const auto& x = grid.coordinates();
  const auto last = x.size() - 1;
  linalg::Entries out(load);
  const linalg::ConstEntries weight(grid.lumped_mass());
  for (std::int64_t i = 0; i < out.size(); ++i) {
    const std::int64_t node = grid.owned().begin + i;
    std::int64_t rest = node;
    const Point at = grid.point(node);
    for (std::size_t d = 0; d < static_cast<std::size_t>(grid.shape().dimension); ++d) {
      const auto k = static_cast<std::size_t>(rest % grid.line()) + 1;
      rest /= grid.line();
      const double width = 0.5 * (x[k + 1] - x[k - 1]);
      for (const auto& [neighbour, boundary] :
           {std::pair(k - 1, std::size_t{0}), std::pair(k + 1, last)}) {
        if (neighbour != boundary) continue;
        Point edge = at;
        edge[d] = x[neighbour];
        out[i] += weight[i] / (width * std::abs(x[k] - x[neighbour])) * data(edge);
      }
    }
  }
}

void ObstacleMethod::enter() {
  if (entered_ == level_) return;
  obstacle_ = grid().interpolate(problem_.obstacle);
  load_ = grid().interpolate(problem_.load);
  check(VecPointwiseMult(load_, load_, grid().lumped_mass()));
  add_boundary(grid(), problem_.boundary, load_);
  entered_ = level_;
}

void ObstacleMethod::solve() {
  linalg::Matrix matrix;
  check(MatDuplicate(grid().stiffness(), MAT_COPY_VALUES, matrix.put()));
  linalg::Vector state = linalg::copy(obstacle_);
  linalg::Vector right = linalg::copy(load_);
  std::vector<PetscInt> rows;
  for (std::size_t i = 0; i < active_.size(); ++i) {
    if (active_[i] != 0) {
      rows.push_back(static_cast<PetscInt>(grid().owned().begin + static_cast<std::int64_t>(i)));
    }
  }
  check(MatZeroRowsColumns(matrix, static_cast<PetscInt>(rows.size()), rows.data(), 1.0, state,
                           right));
  const linalg::Solver solver = linalg::direct_solver(matrix, "state_");
  linalg::solve(solver, right, state);
  ++solves_;
  ++per_grid_[static_cast<std::size_t>(level_)];

  linalg::Vector force = grid().vector();  // W lambda = K y - load
  check(MatMult(grid().stiffness(), state, force));
  check(VecAXPY(force, -1.0, load_));
  check(VecPointwiseDivide(force, force, grid().lumped_mass()));
  const linalg::ConstEntries y(state), lambda(force);
  y_.assign(y.span().begin(), y.span().end());
  lambda_.assign(lambda.span().begin(), lambda.span().end());
  for (std::size_t i = 0; i < active_.size(); ++i) {
    if (active_[i] == 0) lambda_[i] = 0.0;
  }
}

void ObstacleMethod::step() {
  if (done_ != 0) return;
  enter();
  solve();
  std::int64_t changes = 0;
  std::int64_t active = 0;
  linalg::Vector defect = grid().vector();
  {
    const linalg::ConstEntries psi(obstacle_);
    linalg::Entries gap(defect);
    for (std::size_t i = 0; i < active_.size(); ++i) {
      const auto node = static_cast<std::int64_t>(i);
      const std::int64_t next = lambda_[i] + psi[node] - y_[i] > 0.0 ? 1 : 0;
      gap[node] = next == active_[i] ? 0.0 : std::min(lambda_[i], y_[i] - psi[node]);
      changes += next != active_[i] ? 1 : 0;
      active += next;
      active_[i] = next;
    }
  }
  changes = grid().comm().sum(changes);
  active_nodes_ = grid().comm().sum(active);
  if (level_ == 0) residual_ = grid().norm(defect) / std::max(grid().norm(obstacle_), 1e-300);
  if (changes > 0) return;
  if (level_ > 0) {
    refine();
  } else {
    done_ = 1;
  }
}

void ObstacleMethod::refine() {
  linalg::Vector coarse = grid().vector();
  {
    linalg::Entries indicator(coarse);
    for (std::size_t i = 0; i < active_.size(); ++i) {
      indicator[static_cast<std::int64_t>(i)] = static_cast<double>(active_[i]);
    }
  }
  --level_;
  linalg::Vector fine = grid().vector();
  check(
      MatMult(problem_.hierarchy->interpolations[static_cast<std::size_t>(level_)], coarse, fine));
  const linalg::ConstEntries indicator(fine);
  active_.assign(static_cast<std::size_t>(indicator.size()), 0);
  for (std::size_t i = 0; i < active_.size(); ++i) {
    active_[i] = indicator[static_cast<std::int64_t>(i)] >= 0.5 ? 1 : 0;
  }
}

solve::Report ObstacleMethod::report() const {
  solve::Report report;
  report.residual = residual_;
  report.fresh = level_ == 0 && per_grid_.front() > 0;
  report.failed = report.fresh && !std::isfinite(residual_);
  if (report.failed) report.message = "the state is not finite";
  return report;
}

solve::Counters ObstacleMethod::counters() const {
  solve::Counters counters = {{"linear_solves", solves_}};
  for (std::size_t i = per_grid_.size(); i-- > 0;) {
    const auto cells = problem_.hierarchy->grids[i]->shape().cells;
    counters.emplace_back(fmt::format("linear_solves_on_{}_cells", cells), per_grid_[i]);
  }
  return count_once(grid().comm(), std::move(counters));
}

void ObstacleMethod::fields(state::FieldVisitor& visit) {
  visit.scalar("level", level_);  // first: the arrays below live on this grid
  visit.partitioned("active", grid().partition(), grid().comm().rank(), 1, active_);
  visit.replicated("solves_per_grid", per_grid_);
  visit.scalar("residual", residual_);
  visit.scalar("solves", solves_);
  visit.scalar("active_nodes", active_nodes_);
  visit.scalar("done", done_);
  const auto size = static_cast<std::size_t>(grid().owned().size());
  y_.resize(size), lambda_.resize(size);
  visit.partitioned("state", grid().partition(), grid().comm().rank(), 1, y_);
  visit.partitioned("multiplier", grid().partition(), grid().comm().rank(), 1, lambda_);
}

void ObstacleMethod::solution(state::FieldVisitor& visit) {
  const Grid& finest = problem_.hierarchy->finest();
  const auto size = static_cast<std::size_t>(finest.owned().size());
  std::vector<double> state(size),
      multiplier(size);  // zero while only coarser grids have been solved
  if (level_ == 0 && per_grid_.front() > 0) state = y_, multiplier = lambda_;
  visit.partitioned("state", finest.partition(), finest.comm().rank(), 1, state);
  visit.partitioned("multiplier", finest.partition(), finest.comm().rank(), 1, multiplier);
}

}  // namespace equipoise::control
