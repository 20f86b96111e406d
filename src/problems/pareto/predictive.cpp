#include <equipoise/parallel/agree.hpp>
#include <equipoise/problems/pareto/predictive.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace equipoise::problems {

std::array<double, 2> DoubleIntegrator::next(const std::array<double, 2>& x, double u) const {
  return {x[0] + dt * x[1] + 0.5 * dt * dt * u, x[1] + dt * u};
}

void DoubleIntegrator::evaluate(std::span<const double> u, std::span<double> f) const {
  f[0] = f[1] = 0.0;
  auto x = state;
  for (const double v : u) {
    x = next(x, v);
    f[0] += 0.5 * dt * (x[0] * x[0] + x[1] * x[1]);
    f[1] += 0.5 * dt * v * v;
  }
}

void DoubleIntegrator::gradients(std::span<const double> u, std::span<double> f,
                                 std::span<double> g) const {
  evaluate(u, f);
  std::vector<std::array<double, 2>> path{state};
  for (const double v : u) path.push_back(next(path.back(), v));
  const std::size_t n = u.size();
  std::array<double, 2> p{};
  for (std::size_t i = n; i-- > 0;) {
    p[0] += dt * path[i + 1][0];
    p[1] += dt * path[i + 1][1];
    g[i] = 0.5 * dt * dt * p[0] + dt * p[1];
    g[n + i] = dt * u[i];
    p[1] += dt * p[0];  // the transposed step
  }
}

void DoubleIntegrator::hessian_product(std::span<const double> weights, std::span<const double>,
                                       std::span<const double> v, std::span<double> out) const {
  // Both objectives are quadratic: the Hessian is the derivative from the state 0.
  DoubleIntegrator linear = *this;
  linear.state = {0.0, 0.0};
  std::vector<double> f(2);
  std::vector<double> g(2 * v.size());
  linear.gradients(v, f, g);
  for (std::size_t i = 0; i < v.size(); ++i)
    out[i] = weights[0] * g[i] + weights[1] * g[v.size() + i];
}

std::string DoubleIntegrator::fingerprint() const {
  return fmt::format("double_integrator steps={} dt={} limit={} state={},{}", steps, dt, limit,
                     state[0], state[1]);
}

/// Half of the grid: its mirror image follows by symmetry.
std::array<double, 2> FrontLibrary::grid_state(std::int64_t i) const {
  const double h = 2.0 * options_.radius / static_cast<double>(options_.side - 1);
  return {-options_.radius + h * static_cast<double>(i % options_.side),
          h * static_cast<double>(i / options_.side)};
}

FrontLibrary::FrontLibrary(const parallel::Comm& comm, const DoubleIntegrator& plant,
                           const FrontLibraryOptions& options)
    : plant_(plant), options_(options) {
  if (options.side < 3 || options.side % 2 == 0)
    throw ConfigurationError(
        "a library of fronts needs an odd number of states a side, at least 3; "
        "it is {}",
        options.side);
  if (options.weights.empty() || !(options.radius > 0.0))
    throw ConfigurationError("a library of fronts needs weights and a positive radius");
  states_ = options.side * (options.side / 2 + 1);
  const auto n = static_cast<std::size_t>(plant.steps);
  const std::size_t entry = options_.weights.size() * n;
  controls_.assign(static_cast<std::size_t>(states_) * entry,
                   -std::numeric_limits<double>::infinity());
  parallel::agree(comm, [&] {
    for (std::int64_t i = comm.rank(); i < states_; i += comm.size()) {
      DoubleIntegrator problem = plant_;
      problem.state = grid_state(i);
      pareto::SmoothSolver solver(problem);
      pareto::WarmPacket warm;
      for (std::size_t w = 0; w < options_.weights.size(); ++w) {
        const double a = options_.weights[w];
        const auto answer =
            solver.solve(pareto::weighted_sum({a, 1.0 - a}), w == 0 ? nullptr : &warm);
        if (answer.status != pareto::ScalarStatus::converged)
          throw NotFiniteError("the front from state ({}, {}) at weight {}: {}", problem.state[0],
                               problem.state[1], a, answer.message);
        std::copy(answer.packet.x.begin(), answer.packet.x.end(),
                  controls_.begin() +
                      static_cast<std::ptrdiff_t>(static_cast<std::size_t>(i) * entry + w * n));
        warm = answer.packet;
      }
    }
  });
  comm.max(controls_);
}

FrontLibrary::Choice FrontLibrary::choose(const std::array<double, 2>& state, double tracking,
                                          std::int64_t max_corrections) const {
  const double sign = state[1] < 0.0 ? -1.0 : 1.0;
  const double h = 2.0 * options_.radius / static_cast<double>(options_.side - 1);
  const auto index = [&](double at, std::int64_t most) {
    return std::clamp<std::int64_t>(std::llround(at / h), 0, most);
  };
  const std::int64_t column = index(sign * state[0] + options_.radius, options_.side - 1);
  const std::int64_t row = index(sign * state[1], options_.side / 2);
  std::size_t weight = 0;
  for (std::size_t w = 1; w < options_.weights.size(); ++w) {
    if (std::abs(options_.weights[w] - tracking) < std::abs(options_.weights[weight] - tracking))
      weight = w;
  }
  const auto n = static_cast<std::size_t>(plant_.steps);
  const auto at = static_cast<std::size_t>(row * options_.side + column);
  pareto::WarmPacket warm;
  for (std::size_t i = 0; i < n; ++i)
    warm.x.push_back(sign * controls_[(at * options_.weights.size() + weight) * n + i]);
  DoubleIntegrator problem = plant_;
  problem.state = state;
  const auto sum = pareto::weighted_sum({tracking, 1.0 - tracking});
  Choice choice;
  choice.looked_up = pareto::SmoothSolver(problem, {1e-10, 0}).solve(sum, &warm).residual;
  const auto answer = pareto::SmoothSolver(problem, {1e-10, max_corrections}).solve(sum, &warm);
  choice.controls = answer.packet.x;
  choice.f = answer.f;
  choice.residual = answer.residual;
  choice.corrections = answer.counters[1].second / 2;
  return choice;
}

std::vector<std::array<double, 2>> FrontLibrary::run(std::array<double, 2> state, double tracking,
                                                     std::int64_t moves) const {
  std::vector<std::array<double, 2>> path{state};
  for (std::int64_t i = 0; i < moves; ++i) {
    state = plant_.next(state, choose(state, tracking).controls.front());
    path.push_back(state);
  }
  return path;
}

}  // namespace equipoise::problems
