#include <equipoise/bilevel/implicit.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/exact_sum.hpp>
#include <equipoise/parallel/random.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace equipoise::bilevel {
namespace {

using Vector = std::vector<double>;
constexpr double largest_kept = 1e9;  // bytes a rank
constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

Vector direction(std::size_t n, std::int64_t block, double length) {
  const parallel::Draw draw(0, parallel::Purpose::probe, 1, block);
  Vector out(n);
  for (std::size_t k = 0; k < n; ++k) out[k] = draw.normal(k);
  const double scale = length / norm(out);
  for (double& entry : out) entry *= scale;
  return out;
}

double distance(In a, In b) {
  double sum = 0.0;
  for (std::size_t k = 0; k < a.size(); ++k) sum += (a[k] - b[k]) * (a[k] - b[k]);
  return std::sqrt(sum);
}

}  // namespace

void ImplicitOptions::describe(state::OptionVisitor& visit) {
  visit.choice("linear", linear, {"auto", "cg", "mfac", "minres", "gmres", "neumann", "direct"},
               "solver of Hyy q = grad_y f");
  visit.option("newton_limit", newton_limit, "most Newton steps of a lower solve",
               state::at_least_one);
  visit.option("linear_limit", linear_limit, "most iterations of a linear solve",
               state::at_least_one);
  visit.option("lag", lag, "steps that a factor of Hyy serves at most (small dense blocks)",
               state::at_least_one);
}

LowerReport solve_lower(CountedOracle& oracle, std::int64_t block, In x, Out y, double tolerance,
                        std::int64_t limit, LinearSolver solver, Out kept) {
  const std::size_t n = y.size();
  Vector gradient(n), step(n), trial(n), right(n);
  LowerReport report;
  const auto measure = [&](In point, Out out) {
    oracle.grad_y_g(block, {}, x, point, out);
    const double length = norm(out);
    if (!std::isfinite(length)) {
      throw NotFiniteError(
          "block {}: the gradient of the lower objective is not finite; look at the data of "
          "this block, or take a smaller step",
          block);
    }
    return length;
  };
  // Without convexity a step must lower g, and negative curvature ends the inner iteration.
  const bool convex = oracle.view().lower_convex() || !oracle.view().has("g");
  if (!oracle.view().lower_convex()) solver = LinearSolver::truncated;
  double value = convex ? 0.0 : oracle.g(block, {}, x, y);
  report.gradient = measure(y, gradient);
  while (report.gradient > tolerance && report.newton < limit) {
    const BlockHessian hessian{oracle, block, {}, x, y};
    for (std::size_t k = 0; k < n; ++k) right[k] = -gradient[k];
    std::fill(step.begin(), step.end(), 0.0);
    const double forcing =
        std::max(0.3 * tolerance, std::min(0.1, report.gradient) * report.gradient);
    const auto most = std::max<std::int64_t>(20, 2 * static_cast<std::int64_t>(n));
    report.linear +=
        solve_linear(solver, hessian, right, step, forcing, most, 0.0, kept).iterations;
    double length = 1.0, next = report.gradient;
    bool accepted = false;
    for (int halving = 0; halving < 40 && !accepted; ++halving, length *= 0.5) {
      for (std::size_t k = 0; k < n; ++k) trial[k] = y[k] + length * step[k];
      if (convex) {
        next = measure(trial, right);
        accepted = next <= (1.0 - 1e-4 * length) * report.gradient;
        continue;
      }
      const double there = oracle.g(block, {}, x, trial);
      const double fall = 1e-4 * length * dot(gradient, step);
      accepted = there <= value + fall + 1e-15 * std::abs(value);
      if (!accepted) continue;
      value = there;
      next = measure(trial, right);
    }
    if (!accepted) return report;
    std::copy(trial.begin(), trial.end(), y.begin());
    gradient.swap(right);
    report.gradient = next;
    ++report.newton;
  }
  report.converged = report.gradient <= tolerance;
  return report;
}

/// Sums over the owned blocks, kept exactly so that their grouping does not matter.
struct Implicit::Terms {
  enum { value, low, high, bound, count };
  parallel::ExactSum sums[count];
  double inner = 0.0, linear = 0.0;
  bool certified = true, reached = true;
};

Implicit::Implicit(const Blocks& blocks, CountedOracle& oracle, Exchange& exchange,
                   ImplicitOptions options)
    : blocks_(&blocks),
      oracle_(&oracle),
      exchange_(&exchange),
      options_(std::move(options)),
      solver_(linear_solver(
          oracle.view().lower_convex() || options_.linear != "auto" ? options_.linear : "minres")),
      newton_(solver_ == LinearSolver::automatic || solver_ == LinearSolver::direct ||
                      solver_ == LinearSolver::mfac
                  ? solver_
                  : LinearSolver::cg),
      constants_(static_cast<std::size_t>(blocks.owned().size() * width)) {
  if (solver_ == LinearSolver::direct) {
    const std::string_view calls[] = {"hess_yy_g"};
    oracle.view().need("with linear = \"direct\"", calls);
  }
  const std::int64_t most = blocks.largest_dim();
  const bool small = oracle.view().has("hess_yy_g") && most <= dense_limit;
  if (solver_ == LinearSolver::direct || (solver_ == LinearSolver::automatic && small)) {
    const auto each = static_cast<std::int64_t>(kept_header) + most * most;
    std::int64_t owned = 0;
    for (int rank = 0; rank < blocks.comm().size(); ++rank)
      owned = std::max(owned, blocks.over_ranks().range(rank).size());
    if (8.0 * static_cast<double>(each * owned) <= largest_kept) {
      kept_width_ = each;
      kept_.resize(static_cast<std::size_t>(each * blocks.owned().size()));
    }
  }
}

/// The kept factor of an owned block; empty where none are kept.
Out Implicit::kept_of(std::int64_t block) {
  if (kept_width_ == 0) return {};
  const auto each = static_cast<std::size_t>(kept_width_);
  return Out(kept_).subspan(static_cast<std::size_t>(block - blocks_->owned().begin) * each, each);
}

/// What the oracle states at (x, y), and for the rest what was estimated last.
Bounds Implicit::stored(std::int64_t block, In x, In y) const {
  const double* c = constants_.data() + (block - blocks_->owned().begin) * width;
  Bounds bounds = oracle_->view().bounds(block, x, y);
  bounds.certified = bounds.certified && bounds.strong_convexity > 0.0;
  double* const fields[] = {
      &bounds.strong_convexity, &bounds.smoothness,       &bounds.hessian_lipschitz, &bounds.cross,
      &bounds.cross_lipschitz,  &bounds.upper_smoothness, &bounds.upper_cross};
  const std::size_t stated = oracle_->view().has("bounds") ? 2 : std::size(fields);
  for (std::size_t k = 0; k < stated; ++k) {
    if (*fields[k] == 0.0) *fields[k] = c[k];
  }
  return bounds;
}

void Implicit::store(std::int64_t block, const Bounds& b) {
  const double values[width] = {
      b.strong_convexity, b.smoothness,       b.hessian_lipschitz, b.cross,
      b.cross_lipschitz,  b.upper_smoothness, b.upper_cross,       b.certified ? 1.0 : 0.0};
  std::copy(values, values + width, constants_.data() + (block - blocks_->owned().begin) * width);
}

Bounds Implicit::complete(std::int64_t block, In x, In y) {
  Bounds bounds = oracle_->view().bounds(block, x, y);
  bounds.certified = bounds.certified && bounds.strong_convexity > 0.0;
  if (!bounds.certified) estimate(block, x, y, bounds);
  store(block, bounds);
  return bounds;
}

void Implicit::estimate(std::int64_t block, In x, In y, Bounds& bounds) {
  const bool curvature = bounds.strong_convexity == 0.0 || bounds.smoothness == 0.0;
  if (curvature) {
    const BlockHessian hessian{*oracle_, block, {}, x, y};
    Spectrum spectrum;
    if (const Out kept = kept_of(block); kept.empty()) {
      spectrum = estimate_spectrum(hessian, 40);
    } else {
      if (kept[kept_uses] == 0.0 || kept[kept_uses] > static_cast<double>(options_.lag))
        factorise(hessian, kept);
      kept[kept_uses] += 1.0;
      spectrum = {kept[kept_smallest], kept[kept_largest]};
    }
    if (spectrum.largest <= 0.0) {
      throw InputError(
          "block {}: the lower problem is not strongly convex: its Hessian has no positive "
          "eigenvalue",
          block);
    }
    const double floor = (oracle_->view().lower_convex() ? 1e-12 : 1e-4) * spectrum.largest;
    if (bounds.strong_convexity == 0.0)
      bounds.strong_convexity = std::max(spectrum.smallest, floor);
    if (bounds.smoothness == 0.0) bounds.smoothness = spectrum.largest;
  }
}

/// Constants of an oracle that states none, by differences around (x, y) along a drawn direction
/// and along q.
void Implicit::estimate_coupling(std::int64_t block, In x, In y, In q, Bounds& bounds) {
  const std::size_t n = y.size();
  const double h = 1e-4 * (1.0 + norm(y));
  Vector moved = direction(n, block, h), a(n), b(n), j(x.size()), j_moved(x.size());
  axpy(1.0, y, moved);
  oracle_->grad_y_f(block, {}, x, y, a);
  oracle_->grad_y_f(block, {}, x, moved, b);
  bounds.upper_smoothness = 2.0 * distance(a, b) / h;
  oracle_->grad_x_f(block, {}, x, y, j);
  oracle_->grad_x_f(block, {}, x, moved, j_moved);
  bounds.upper_cross = 2.0 * distance(j, j_moved) / h;
  const double length = norm(q);
  if (length == 0.0) return;
  oracle_->hvp_yy_g(block, {}, x, y, q, a);
  oracle_->hvp_yy_g(block, {}, x, moved, q, b);
  bounds.hessian_lipschitz = 2.0 * distance(a, b) / (h * length);
  oracle_->jvp_xy_g(block, {}, x, y, q, j);
  oracle_->jvp_xy_g(block, {}, x, moved, q, j_moved);
  bounds.cross = 2.0 * norm(j) / length;
  bounds.cross_lipschitz = 2.0 * distance(j, j_moved) / (h * length);
}

double Implicit::improve(std::int64_t block, In x, Out y, double eps, const Bounds& bounds,
                         Terms& terms) {
  const auto report = solve_lower(*oracle_, block, x, y, eps * bounds.strong_convexity,
                                  options_.newton_limit, newton_, kept_of(block));
  const double error = report.gradient / bounds.strong_convexity;
  terms.reached = terms.reached && report.converged;
  terms.certified = terms.certified && bounds.certified;
  terms.inner = std::max(terms.inner, error);
  return error;
}

Hypergradient Implicit::gradient(In x, Vector& y, Vector& q, double eps, double delta, Out p,
                                 bool renew, std::int64_t coded) {
  Terms terms;
  exchange_->clear();
  blocks_->work([&] {
    Vector right(static_cast<std::size_t>(blocks_->largest_dim())), upper(x.size()),
        cross(x.size());
    for (std::int64_t i = blocks_->owned().begin; i < blocks_->owned().end; ++i) {
      const Out yi = blocks_->of(y, i), qi = blocks_->of(q, i);
      const Out b = Out(right).first(yi.size());
      // A solve to the accuracy that the oracle's own mu asks for comes before constants are
      // estimated there.
      const Bounds given = oracle_->view().bounds(i, x, yi);
      if (given.strong_convexity == 0.0) {
        const double mu =
            constants_[static_cast<std::size_t>((i - blocks_->owned().begin) * width)];
        solve_lower(*oracle_, i, x, yi, eps * std::max(mu, 1e-3), options_.newton_limit, newton_,
                    kept_of(i));
      }
      Bounds bounds = renew ? complete(i, x, yi) : stored(i, x, yi);
      const double error = improve(i, x, yi, eps, bounds, terms);
      oracle_->grad_y_f(i, {}, x, yi, b);
      const auto linear = solve_linear(solver_, {*oracle_, i, {}, x, yi}, b, qi, delta,
                                       options_.linear_limit, bounds.smoothness, kept_of(i));
      if (renew && !oracle_->view().has("bounds")) {
        estimate_coupling(i, x, yi, qi, bounds);
        store(i, bounds);
      }
      terms.reached = terms.reached && linear.converged;
      terms.linear = std::max(terms.linear, linear.residual);
      oracle_->grad_x_f(i, {}, x, yi, upper);
      oracle_->jvp_xy_g(i, {}, x, yi, qi, cross);
      axpy(-1.0, cross, upper);
      exchange_->add(i, 1.0, upper);
      const double mu = bounds.strong_convexity, slope = norm(b);
      const double cross_norm = oracle_->view().bounds(i, x, yi).cross;
      const double J = cross_norm > 0.0 ? cross_norm : bounds.cross;
      terms.sums[Terms::bound].add(
          error *
              (bounds.upper_smoothness * J / mu + bounds.hessian_lipschitz * J * slope / (mu * mu) +
               bounds.cross_lipschitz * slope / mu + bounds.upper_cross) +
          linear.residual * J / mu +
          error * error * bounds.upper_smoothness * bounds.cross_lipschitz / mu);
      const double f = oracle_->view().has("f") ? oracle_->f(i, {}, x, yi) : unknown;
      const double spread = slope * error + 0.5 * bounds.upper_smoothness * error * error;
      terms.sums[Terms::value].add(f);
      terms.sums[Terms::low].add(f - spread);
      terms.sums[Terms::high].add(f + spread);
    }
  });
  if (coded >= 0) {
    exchange_->mean(coded, p);
  } else {
    exchange_->dense(p);
  }
  Hypergradient result = join(terms);
  result.norm = norm(p);
  return result;
}

Hypergradient Implicit::value(In x, Vector& y, double eps) {
  Terms terms;
  blocks_->work([&] {
    Vector right(static_cast<std::size_t>(blocks_->largest_dim()));
    for (std::int64_t i = blocks_->owned().begin; i < blocks_->owned().end; ++i) {
      const Out yi = blocks_->of(y, i);
      const Out b = Out(right).first(yi.size());
      const Bounds bounds = stored(i, x, yi);
      const double error = improve(i, x, yi, eps, bounds, terms);
      oracle_->grad_y_f(i, {}, x, yi, b);
      const double f = oracle_->f(i, {}, x, yi);
      const double spread = norm(b) * error + 0.5 * bounds.upper_smoothness * error * error;
      terms.sums[Terms::value].add(f);
      terms.sums[Terms::low].add(f - spread);
      terms.sums[Terms::high].add(f + spread);
    }
  });
  return join(terms);
}

Hypergradient Implicit::join(Terms& terms) const {
  double totals[Terms::count];
  parallel::exact_sums(blocks_->comm(), terms.sums, totals);
  double extremes[4] = {terms.inner, terms.linear, terms.certified ? 0.0 : 1.0,
                        terms.reached ? 0.0 : 1.0};
  blocks_->comm().max(std::span(extremes));
  const double m = static_cast<double>(blocks_->count());
  Hypergradient result;
  result.value = totals[Terms::value] / m;
  result.low = totals[Terms::low] / m;
  result.high = totals[Terms::high] / m;
  result.bound = totals[Terms::bound] / m;
  result.inner = extremes[0];
  result.linear = extremes[1];
  result.certified = extremes[2] == 0.0;
  result.reached = extremes[3] == 0.0;
  return result;
}

}  // namespace equipoise::bilevel
