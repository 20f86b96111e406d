#include "obstacle_active_set.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/partition/grid.hpp>
#include <equipoise/problems/vi/instance.hpp>
#include <equipoise/problems/vi/obstacle.hpp>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>

namespace equipoise::problems {
namespace {

// Where the membrane leaves the obstacle: the slopes of psi and of the logarithm match
// (specification 10.4).
constexpr double contact = 0.697965148223374;
constexpr double slope = 0.680259411891719;
constexpr double level = 0.471519893402112;
constexpr double rim = 0.9;  // where the obstacle turns into its tangent

std::int64_t checked(std::int64_t n) {
  if (n < 3 || n > 30000) {
    throw ConfigurationError("problem.n = {}: an obstacle grid has 3 to 30000 points a side", n);
  }
  return n;
}

/// One grid row of the stencil: out = (4 u - left - right - above - below) / h^2.
void stencil_row(std::span<const double> row, const double* above, const double* below, double west,
                 double east, double scale, double* out) {
  const double* u = row.data();
  const std::size_t last = row.size() - 1;
  if (last == 0) {
    out[0] = scale * (4.0 * u[0] - ((west + east) + (above[0] + below[0])));
    return;
  }
  out[0] = scale * (4.0 * u[0] - ((west + u[1]) + (above[0] + below[0])));
  for (std::size_t j = 1; j < last; ++j) {
    out[j] = scale * (4.0 * u[j] - ((u[j - 1] + u[j + 1]) + (above[j] + below[j])));
  }
  out[last] = scale * (4.0 * u[last] - ((u[last - 1] + east) + (above[last] + below[last])));
}

}  // namespace

double Obstacle::psi(double r) {
  if (r <= rim) return std::sqrt(1.0 - r * r);
  const double height = std::sqrt(1.0 - rim * rim);
  return height - rim / height * (r - rim);
}

double Obstacle::exact(double r) { return r < contact ? psi(r) : level - slope * std::log(r); }

Obstacle::Obstacle(std::int64_t n, int ranks, int rank)
    : n_(checked(n)),
      m_(n - 2),
      layout_(partition::grid(m_, m_, ranks)),
      owned_(layout_.owned(rank)) {
  psi_.resize(static_cast<std::size_t>(owned_.size()));
  fill(owned_, psi_, [](double r) { return psi(r); });
  for (std::int64_t i = 0; i < m_; ++i) edge_.push_back(exact(std::hypot(2.0, at(i))));
}

std::vector<std::int64_t> Obstacle::ghosts(int rank) const {
  const auto owned = layout_.owned(rank);
  std::vector<std::int64_t> result;
  if (owned.size() == 0) return result;
  for (std::int64_t i = std::max<std::int64_t>(owned.begin - m_, 0); i < owned.begin; ++i)
    result.push_back(i);
  for (std::int64_t i = owned.end; i < std::min(owned.end + m_, m_ * m_); ++i) result.push_back(i);
  return result;
}

void Obstacle::apply_partitioned(partition::Range owned, std::span<const double> u,
                                 std::span<const double> ghost_values,
                                 std::span<double> out) const {
  if (owned.size() == 0) return;
  const auto row_size = static_cast<std::size_t>(m_);
  const std::int64_t first = owned.begin / m_;
  const std::int64_t rows = owned.size() / m_;
  const double* before = first == 0 ? edge_.data() : ghost_values.data();
  const double* after =
      first + rows == m_ ? edge_.data() : ghost_values.data() + (first == 0 ? 0 : m_);
  const double scale = 1.0 / (width() * width());
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto row = u.subspan(static_cast<std::size_t>(i) * row_size, row_size);
    const double* above = i == 0 ? before : row.data() - m_;
    const double* below = i + 1 == rows ? after : row.data() + m_;
    const double side = edge_[static_cast<std::size_t>(first + i)];
    stencil_row(row, above, below, side, side, scale, out.data() + i * m_);
  }
}

void Obstacle::prox(double, partition::Range owned, std::span<double> u) const {
  assert(owned.begin >= owned_.begin && owned.end <= owned_.end);
  const double* bound = psi_.data() + (owned.begin - owned_.begin);
  for (std::size_t i = 0; i < u.size(); ++i) u[i] = std::max(u[i], bound[i]);
}

void Obstacle::start(partition::Range owned, std::span<double> u) const {
  std::fill(u.begin(), u.end(), 0.0);
  prox(1.0, owned, u);
}

bool Obstacle::solution(partition::Range owned, std::span<double> u) const {
  fill(owned, u, [](double r) { return exact(r); });
  return true;
}

template <class Value>
void Obstacle::fill(partition::Range owned, std::span<double> out, Value value) const {
  for (std::int64_t i = owned.begin; i < owned.end; ++i) {
    out[static_cast<std::size_t>(i - owned.begin)] = value(std::hypot(at(i % m_), at(i / m_)));
  }
}

equipoise::vi::Constants Obstacle::constants() const {
  const double angle = std::numbers::pi / (2.0 * static_cast<double>(n_ - 1));
  const double scale = 8.0 / (width() * width());
  const double largest = scale * std::cos(angle) * std::cos(angle);
  return {.lipschitz = largest,
          .lipschitz_rms = largest,
          .strong_monotonicity = scale * std::sin(angle) * std::sin(angle)};
}

equipoise::vi::Facts Obstacle::facts() const {
  const auto c = constants();
  return {{"grid", fmt::format("{} x {}", n_, n_)},
          {"dimension", fmt::format("{}", m_ * m_)},
          {"condition number", fmt::format("{:.4g}", c.lipschitz / c.strong_monotonicity)}};
}

std::string Obstacle::fingerprint() const { return fmt::format("obstacle n={}", n_); }

namespace {

struct ObstacleOptions {
  std::int64_t n = 129;
  void describe(state::OptionVisitor& visit) {
    visit.option("n", n, "grid points per side, boundary included", {3.0, 30000.0});
  }
};

/// The methods of the family, and the multigrid where the grid can be halved (the default there).
class ObstacleInstance : public VariationalInstance {
 public:
  ObstacleInstance(const parallel::Comm& comm, state::Config& config,
                   std::shared_ptr<const Obstacle> problem, std::int64_t n)
      : VariationalInstance(comm, config, problem, vi::ProblemView(*problem)),
        comm_(comm),
        problem_(std::move(problem)),
        n_(n),
        by_residual_(config.text("stop.measure", "residual") == "residual") {}

  [[nodiscard]] std::vector<std::string> methods() const override {
    std::vector<std::string> names = VariationalInstance::methods();
    if (by_residual_ && ObstacleActiveSet::fits(n_))
      names.insert(names.begin(), "nested-active-set");
    return names;
  }
  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override {
    if (name != "nested-active-set") return VariationalInstance::make_method(name, config);
    if (!by_residual_ || !ObstacleActiveSet::fits(n_)) {
      throw ConfigurationError(
          "method.name = {}: it measures the residual, on grids of c 2^k + 1 points a side with c "
          "at most 64, not {}; use accelerated-gradient",
          name, n_);
    }
    ObstacleActiveSetOptions options;
    config.read("method", options);
    return std::make_unique<ObstacleActiveSet>(comm_, problem_, n_, options);
  }

 private:
  parallel::Comm comm_;
  std::shared_ptr<const Obstacle> problem_;
  std::int64_t n_;
  bool by_residual_;
};

}  // namespace

solve::MethodEntry nested_active_set_method() {
  return {"vi", "nested-active-set",
          "obstacle problems: active sets from grid to grid, multigrid for the free points",
          [](state::OptionVisitor& visit) { ObstacleActiveSetOptions{}.describe(visit); }};
}

solve::ProblemEntry obstacle_problem() {
  return {
      "vi", "obstacle", "membrane over an obstacle on an n x n grid, its z partitioned over ranks",
      [](state::OptionVisitor& visit) { ObstacleOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        ObstacleOptions options;
        config.read("problem", options);
        return std::make_unique<ObstacleInstance>(
            comm, config, std::make_shared<const Obstacle>(options.n, comm.size(), comm.rank()),
            options.n);
      }};
}

}  // namespace equipoise::problems
