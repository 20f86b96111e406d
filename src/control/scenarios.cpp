#include <equipoise/control/scenarios.hpp>
#include <equipoise/parallel/agree.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace equipoise::control {

using linalg::check;

namespace {

int group_count(int ranks, std::int64_t most) {
  int groups = static_cast<int>(std::clamp<std::int64_t>(most, 1, ranks));
  while (ranks % groups != 0) --groups;
  return groups;
}

}  // namespace

TwoLevels::TwoLevels(const parallel::Comm& all, std::int64_t most)
    : world(all), groups(group_count(all.size(), most)) {
  const int size = world.size() / groups;
  mesh = world.split(world.rank() / size, world.rank());
  column = world.split(world.rank() % size, world.rank());
}

void Scenarios::validate() const {
  if (!(beta > 0.0))
    throw ConfigurationError("the control cost beta must be positive, not {}", beta);
  if (coefficients.empty()) throw ConfigurationError("there must be at least one scenario");
  if (!(tail >= 0.0 && tail < 1.0))
    throw ConfigurationError("the tail of a risk must lie in [0, 1), not {}", tail);
  if (!(smoothing > 0.0))
    throw ConfigurationError("the smoothing must be positive, not {}", smoothing);
}

linalg::Matrix assemble_diffusion(const Grid& grid, const std::function<double(const Point&)>& a) {
  const auto dim = static_cast<std::size_t>(grid.shape().dimension);
  const unsigned corners = 1U << dim;
  const bool lumped = grid.shape().element == Element::fd;
  const auto& x = grid.coordinates();
  const std::int64_t line = grid.line();
  linalg::Matrix matrix;
  const auto local = static_cast<PetscInt>(grid.owned().size());
  const PetscInt width = dim == 1 ? 3 : dim == 2 ? 9 : 27;
  check(MatCreateAIJ(grid.comm().handle(), local, local, PETSC_DETERMINE, PETSC_DETERMINE, width,
                     nullptr, width, nullptr, matrix.put()));
  parallel::agree(grid.comm(), [&] {  // `a` is the user's
    for (auto node = grid.owned().begin; node < grid.owned().end; ++node) {
      std::array<std::int64_t, 3> at{};  // position counted with the boundary
      for (auto [d, rest] = std::pair(std::size_t{0}, node); d < dim; ++d, rest /= line) {
        at[d] = rest % line + 1;
      }
      for (unsigned side = 0; side < corners; ++side) {  // the cells around the node
        Point middle{};
        std::array<double, 3> h{};
        for (std::size_t d = 0; d < dim; ++d) {
          const auto left = static_cast<std::size_t>(at[d] - ((side >> d & 1U) != 0U ? 0 : 1));
          h[d] = x[left + 1] - x[left];
          middle[d] = 0.5 * (x[left + 1] + x[left]);
        }
        const double factor = a(middle);
        if (!(factor > 0.0)) {
          throw ConfigurationError("a coefficient must be positive, it is {} at ({}, {}, {})",
                                   factor, middle[0], middle[1], middle[2]);
        }
        for (unsigned moved = 0; moved < corners; ++moved) {  // to the other corners of the cell
          std::int64_t column = 0;
          bool inside = true;
          for (std::size_t d = dim; d-- > 0;) {
            const std::int64_t step = (moved >> d & 1U) == 0U ? 0 : (side >> d & 1U) != 0U ? 1 : -1;
            const std::int64_t i = at[d] + step - 1;
            inside = inside && i >= 0 && i < line;
            column = column * line + i;
          }
          if (!inside) continue;
          double value = 0.0;
          for (std::size_t d = 0; d < dim; ++d) {
            double term = ((moved >> d & 1U) != 0U ? -1.0 : 1.0) / h[d];
            for (std::size_t e = 0; e < dim; ++e) {
              if (e == d) continue;
              const bool other = (moved >> e & 1U) != 0U;
              term *= h[e] * (lumped ? (other ? 0.0 : 0.5) : (other ? 1.0 / 6.0 : 1.0 / 3.0));
            }
            value += factor * term;
          }
          const auto row = static_cast<PetscInt>(node);
          const auto col = static_cast<PetscInt>(column);
          check(MatSetValues(matrix, 1, &row, 1, &col, &value, ADD_VALUES));
        }
      }
    }
  });
  check(MatAssemblyBegin(matrix, MAT_FINAL_ASSEMBLY));
  check(MatAssemblyEnd(matrix, MAT_FINAL_ASSEMBLY));
  check(MatSetOption(matrix, MAT_SYMMETRIC, PETSC_TRUE));
  return matrix;
}

/// The L2 space of a group's mesh for methods that speak to all ranks: group 0 owns the entries of
/// stored vectors, and the others take theirs from it.
class ScenarioFunctional::ReplicatedSpace : public GridSpace {
 public:
  explicit ReplicatedSpace(const Scenarios& problem)
      : GridSpace(problem.hierarchy, Riesz::mass), levels_(problem.levels) {
    std::vector<std::int64_t> offsets(static_cast<std::size_t>(levels_->world.size()) + 1,
                                      problem.grid().nodes());
    const auto own = problem.grid().partition().offsets();
    std::copy(own.begin(), own.end(), offsets.begin());
    partition_ = partition::Partition::from_offsets(std::move(offsets));
  }
  [[nodiscard]] const partition::Partition& partition() const override { return partition_; }
  [[nodiscard]] const parallel::Comm& comm() const override { return levels_->world; }
  void visit(state::FieldVisitor& visitor, std::string_view name, Vec vector) const override {
    linalg::Entries entries(vector);
    std::vector<double> data;
    if (levels_->group() == 0) data.assign(entries.span().begin(), entries.span().end());
    visitor.partitioned(name, partition_, levels_->world.rank(), 1, data);
    if (levels_->group() == 0) std::copy(data.begin(), data.end(), entries.span().begin());
    levels_->column.broadcast(entries.span(), 0);
  }

 private:
  std::shared_ptr<const TwoLevels> levels_;
  partition::Partition partition_;
};

struct ScenarioFunctional::One {
  One(const Scenarios& problem, std::int64_t number)
      : solver(problem.hierarchy,
               assemble_diffusion(problem.grid(),
                                  problem.coefficients[static_cast<std::size_t>(number)]),
               problem.grid().jacobi_bound(1.0, 0.0), "state_"),
        state(problem.grid().vector()),
        slope(problem.grid().vector()),
        work(problem.grid().vector()) {}
  Multigrid solver;
  linalg::Vector state, slope, work;  // slope = M p, the derivative of the misfit
};

ScenarioFunctional::ScenarioFunctional(std::shared_ptr<const Scenarios> problem, double tolerance)
    : problem_(std::move(problem)), tolerance_(tolerance) {
  problem_->validate();
  space_ = std::make_unique<ReplicatedSpace>(*problem_);
  const Grid& grid = problem_->grid();
  width_ = problem_->smoothing * 0.5 * grid.inner(problem_->target, problem_->target);
  const auto count = static_cast<std::int64_t>(problem_->coefficients.size());
  const auto range = partition::Partition::uniform(count, problem_->levels->groups)
                         .range(problem_->levels->group());
  first_ = range.begin;
  parallel::agree(problem_->levels->world, [&] {  // a group that fails must not leave the others
    for (auto m = range.begin; m < range.end; ++m) {
      own_.push_back(std::make_unique<One>(*problem_, m));
    }
  });
  misfits_.assign(static_cast<std::size_t>(count), 0.0);
  weights_.assign(misfits_.size(), 1.0 / static_cast<double>(count));
  bends_.assign(misfits_.size(), 0.0);
  for (auto* v : {&control_, &load_, &work_}) *v = grid.vector();
}

ScenarioFunctional::~ScenarioFunctional() = default;
const Space& ScenarioFunctional::space() const { return *space_; }

void ScenarioFunctional::sum_over_groups(Vec v) const {
  linalg::Entries entries(v);
  MPI_Allreduce(MPI_IN_PLACE, entries.span().data(), static_cast<int>(entries.size()), MPI_DOUBLE,
                MPI_SUM, problem_->levels->column.handle());
}

/// The risk of the misfits, with its derivative `weights_` and, on the diagonal, `bends_`.
double ScenarioFunctional::risk() {
  const auto count = static_cast<double>(misfits_.size());
  if (problem_->tail == 0.0) {
    return std::accumulate(misfits_.begin(), misfits_.end(), 0.0) / count;
  }
  const double scale = 1.0 / (count * (1.0 - problem_->tail));
  const auto slope = [&](double x) { return std::clamp(x / width_ + 0.5, 0.0, 1.0); };
  // t: the sum of the weights is 1, and decreases with t.
  auto [low, high] = std::minmax_element(misfits_.begin(), misfits_.end());
  double left = *low - width_, right = *high + width_;
  for (int halving = 0; halving < 200 && right - left > 1e-16 * std::abs(right); ++halving) {
    const double middle = 0.5 * (left + right);
    double sum = 0.0;
    for (const double q : misfits_) sum += scale * slope(q - middle);
    (sum > 1.0 ? left : right) = middle;
  }
  const double t = 0.5 * (left + right);
  double risk = t;
  for (std::size_t m = 0; m < misfits_.size(); ++m) {
    const double x = misfits_[m] - t, s = slope(x);
    weights_[m] = scale * s;
    bends_[m] = s > 0.0 && s < 1.0 ? scale / width_ : 0.0;
    risk += scale * (s < 1.0 ? 0.5 * width_ * s * s : x);
  }
  return risk;
}

double ScenarioFunctional::value(const Primal& u) {
  const Grid& grid = problem_->grid();
  check(VecCopy(u.values, control_));
  check(MatMult(grid.mass(), control_, load_));
  std::fill(misfits_.begin(), misfits_.end(), 0.0);
  parallel::agree(problem_->levels->world, [&] {
    for (std::size_t k = 0; k < own_.size(); ++k) {
      One& one = *own_[k];
      one.solver.solve(load_, one.state, tolerance_);
      check(VecWAXPY(one.work, -1.0, problem_->target, one.state));
      misfits_[static_cast<std::size_t>(first_) + k] = 0.5 * grid.inner(one.work, one.work);
    }
  });
  ++state_solves_;
  MPI_Allreduce(MPI_IN_PLACE, misfits_.data(), static_cast<int>(misfits_.size()), MPI_DOUBLE,
                MPI_SUM, problem_->levels->column.handle());
  return risk() + 0.5 * problem_->beta * grid.inner(control_, control_);
}

void ScenarioFunctional::derivative(Dual& out) {
  const Grid& grid = problem_->grid();
  check(VecSet(out.values, 0.0));
  parallel::agree(problem_->levels->world, [&] {
    for (std::size_t k = 0; k < own_.size(); ++k) {
      One& one = *own_[k];
      check(VecWAXPY(work_, -1.0, problem_->target, one.state));
      check(MatMult(grid.mass(), work_, one.work));
      one.solver.solve(one.work, work_, tolerance_);
      check(MatMult(grid.mass(), work_, one.slope));
      check(VecAXPY(out.values, weights_[static_cast<std::size_t>(first_) + k], one.slope));
    }
  });
  ++adjoint_solves_;
  sum_over_groups(out.values);
  check(MatMult(grid.mass(), control_, work_));
  check(VecAXPY(out.values, problem_->beta, work_));
}

/// sum_m w_m S_m* S_m d + beta d, and for a tail sum_m b_m g_m (<g_m, d> - t'), where t' is the
/// mean of the <g_m, d> with the weights b_m.
void ScenarioFunctional::hessian(const Primal& d, Dual& out, Curvature) {
  const Grid& grid = problem_->grid();
  std::vector<double> slopes(misfits_.size(), 0.0);
  const bool tail = problem_->tail > 0.0;
  if (tail) {
    for (std::size_t k = 0; k < own_.size(); ++k) {
      slopes[static_cast<std::size_t>(first_) + k] = linalg::dot(own_[k]->slope, d.values);
    }
    MPI_Allreduce(MPI_IN_PLACE, slopes.data(), static_cast<int>(slopes.size()), MPI_DOUBLE, MPI_SUM,
                  problem_->levels->column.handle());
  }
  const double total = std::accumulate(bends_.begin(), bends_.end(), 0.0);
  const double moved =
      total > 0.0 ? std::inner_product(bends_.begin(), bends_.end(), slopes.begin(), 0.0) / total
                  : 0.0;
  check(VecSet(out.values, 0.0));
  check(MatMult(grid.mass(), d.values, load_));
  parallel::agree(problem_->levels->world, [&] {
    for (std::size_t k = 0; k < own_.size(); ++k) {
      One& one = *own_[k];
      const auto m = static_cast<std::size_t>(first_) + k;
      if (bends_[m] > 0.0) {
        check(VecAXPY(out.values, bends_[m] * (slopes[m] - moved), one.slope));
      }
      if (weights_[m] == 0.0) continue;
      one.solver.solve(load_, one.work, tolerance_);
      check(MatMult(grid.mass(), one.work, work_));
      one.solver.solve(work_, one.work, tolerance_);
      check(MatMult(grid.mass(), one.work, work_));
      check(VecAXPY(out.values, weights_[m], work_));
    }
  });
  ++hessian_actions_;
  sum_over_groups(out.values);
  check(VecAXPY(out.values, problem_->beta, load_));
}

solve::Counters ScenarioFunctional::counters() const {
  return {{"state_solves_per_scenario", state_solves_},
          {"adjoint_solves_per_scenario", adjoint_solves_},
          {"hessian_actions", hessian_actions_}};
}

}  // namespace equipoise::control
