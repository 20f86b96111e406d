#include <equipoise/bilevel/maid.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace equipoise::bilevel {
namespace {

constexpr std::string_view needed[] = {"hvp_yy_g", "jvp_xy_g", "f"};
constexpr double accuracy_floor = 1e-16;
/// Below this share of |F| a decrease is not looked for in values of F.
constexpr double rounding_share = 1e-11;

}  // namespace

void MaidOptions::describe(state::OptionVisitor& visit) {
  visit.option("accuracy", accuracy, "first accuracy of lower and linear solves", state::positive);
  visit.option("step", step, "first trial step", state::positive);
  visit.option("shrink_step", shrink_step, "factor of a rejected step", {0.0, 0.99, true});
  visit.option("grow_step", grow_step, "factor of the first trial after an accepted step",
               state::at_least_one);
  visit.option("tighten", tighten, "factor of the accuracies when they are too coarse",
               {0.0, 0.99, true});
  visit.option("relax", relax, "factor of the accuracies after an accepted step",
               state::at_least_one);
  visit.option("slack", slack, "share of the hypergradient that must exceed its error bound",
               {0.0, 0.5, true});
  visit.choice("direction", direction, {"auto", "gradient", "quasi-newton", "gauss-newton"},
               "direction of a step");
  visit.option("products", products, "most conjugate gradients of a Gauss-Newton direction",
               state::at_least_one);
  visit.option("memory", memory, "pairs of the quasi-Newton direction, 0 for plain descent",
               {0.0, 100.0});
  visit.option("longest", longest, "largest entry of a quasi-Newton or Gauss-Newton step",
               state::positive);
  visit.option("trials", trials, "most trial steps and refinements in one step",
               state::at_least_one);
  implicit.describe(visit);
  exchange.describe(visit);
}

Maid::Maid(const Setup& setup, MaidOptions options)
    : MethodBase(setup, options.exchange.setting(setup.seed), "maid", needed),
      options_(std::move(options)),
      implicit_(blocks_, oracle_, exchange_, options_.implicit),
      p_(x_.size()),
      q_(blocks_.zeros()),
      eps_(options_.accuracy),
      delta_(options_.accuracy),
      step_(options_.step) {
  if (options_.direction == "gauss-newton") {
    const std::string_view calls[] = {"jvp_yx_g"};
    oracle_.view().need("with direction = \"gauss-newton\"", calls);
  }
}

/// Tightens the accuracies until the bound is below the hypergradient, or to the floor of the
/// arithmetic.
void Maid::refine() {
  for (std::int64_t round = 0; round < options_.trials; ++round) {
    state_ = implicit_.gradient(x_, y_, q_, eps_, delta_, p_, round == 0);
    if (state_.bound <= (1.0 - options_.slack) * state_.norm || eps_ < accuracy_floor) return;
    // The bound is nearly linear in the accuracies: aim at half of what is allowed.
    const double wanted = 0.5 * state_.norm / state_.bound;
    const double factor = std::clamp(wanted, 1e-4, options_.tighten);
    eps_ *= factor;
    delta_ *= factor;
  }
}

/// True if F is curved only through few lower variables: see the class comment.
bool Maid::flat_but_for_y() {
  const OracleView& view = oracle_.view();
  if (!view.has("jvp_yx_g") || view.dim_outer() <= blocks_.largest_dim()) return false;
  double largest = 0.0;
  blocks_.work([&] {
    for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i) {
      oracle_.grad_x_f(i, {}, x_, blocks_.of(std::as_const(y_), i), next_p_);
      largest = std::max(largest, norm(next_p_));
    }
  });
  return blocks_.comm().max(largest) == 0.0;
}

void Maid::hold(std::span<double> v) const {
  for (std::size_t k = 0; k < v.size(); ++k) v[k] = held_[k] ? 0.0 : v[k];
}

/// Sets along_, a direction of ascent like p, to p itself where the Newton-like one gives none.
void Maid::aim() {
  const std::size_t n = x_.size();
  held_.assign(n, 0);
  if (oracle_.view().table().proj_x) {
    trial(1.0, p_, next_x_);
    for (std::size_t k = 0; k < n; ++k) held_[k] = next_x_[k] == x_[k] ? 1 : 0;
  }
  along_ = p_;
  hold(along_);
  newton_ = gauss_newton_ || !moves_.empty();
  if (gauss_newton_) aim_gauss_newton();
  if (!gauss_newton_ && newton_) aim_quasi_newton();
  if (newton_ && dot(along_, p_) > 1e-8 * norm(along_) * norm(p_)) return;
  newton_ = false;
  along_ = p_;
  moves_.clear();
  turns_.clear();
}

/// The two-loop recursion.
void Maid::aim_quasi_newton() {
  const std::size_t n = x_.size(), pairs = moves_.size() / n;
  std::vector<double> factors(pairs);
  for (std::size_t j = pairs; j-- > 0;) {
    const In s = In(moves_).subspan(j * n, n), t = In(turns_).subspan(j * n, n);
    factors[j] = dot(s, along_) / dot(s, t);
    axpy(-factors[j], t, along_);
  }
  const In s = In(moves_).last(n), t = In(turns_).last(n);
  for (double& entry : along_) entry *= dot(s, t) / dot(t, t);
  for (std::size_t j = 0; j < pairs; ++j) {
    const In sj = In(moves_).subspan(j * n, n), tj = In(turns_).subspan(j * n, n);
    axpy(factors[j] - dot(tj, along_) / dot(sj, tj), sj, along_);
  }
  hold(along_);
}

/// Conjugate gradients on B along = p, B as Implicit::curvature has it; to a hundredth of p,
/// `products`, or a direction of negative curvature. The line search alone judges the result.
void Maid::aim_gauss_newton() {
  const std::size_t n = x_.size();
  std::vector<double> residual = along_, search = along_, product(n);
  std::fill(along_.begin(), along_.end(), 0.0);
  double rho = dot(residual, residual);
  const double enough = 1e-4 * rho;
  implicit_.linearise(x_, y_, q_);
  for (std::int64_t k = 0; k < options_.products && rho > enough; ++k) {
    implicit_.curvature(search, product);
    hold(product);
    const double curvature = dot(search, product);
    if (!(curvature > 0.0) && k == 0) {
      // F is concave along p: as far as a step may go.
      double largest = 0.0;
      for (const double entry : search) largest = std::max(largest, std::abs(entry));
      axpy(options_.longest / largest, search, along_);
    }
    if (!(curvature > 0.0)) break;
    const double step = rho / curvature;
    axpy(step, search, along_);
    axpy(-step, product, residual);
    const double next = dot(residual, residual);
    for (std::size_t j = 0; j < n; ++j) search[j] = residual[j] + next / rho * search[j];
    rho = next;
  }
  // Entry by entry: one entry that the model moves far must not shorten the others.
  for (double& entry : along_) entry = std::clamp(entry, -options_.longest, options_.longest);
}

/// Keeps the pair of the accepted step if its curvature is positive beyond the errors of the
/// hypergradients.
void Maid::remember() {
  if (gauss_newton_ || options_.direction == "gradient" || options_.memory == 0) return;
  const std::size_t n = x_.size();
  std::vector<double> move(n), turn(n);
  for (std::size_t k = 0; k < n; ++k) {
    move[k] = x_[k] - last_x_[k];
    turn[k] = p_[k] - last_p_[k];
  }
  if (!(dot(move, turn) > 1e-10 * norm(move) * norm(turn))) return;
  if (std::ssize(moves_) >= options_.memory * static_cast<std::int64_t>(n)) {
    moves_.erase(moves_.begin(), moves_.begin() + static_cast<std::ptrdiff_t>(n));
    turns_.erase(turns_.begin(), turns_.begin() + static_cast<std::ptrdiff_t>(n));
  }
  moves_.insert(moves_.end(), move.begin(), move.end());
  turns_.insert(turns_.end(), turn.begin(), turn.end());
}

double Maid::trial(double length, In along, std::vector<double>& out) const {
  for (std::size_t k = 0; k < x_.size(); ++k) out[k] = x_[k] - length * along[k];
  oracle_.view().proj_x(out);
  double sum = 0.0;
  for (std::size_t k = 0; k < x_.size(); ++k) sum += p_[k] * (x_[k] - out[k]);
  return sum;
}

/// Up to `most` trial steps at the present accuracies; on success x and y move. A Newton-like
/// direction that fails is forgotten, and the hypergradient tried from the longest step down.
bool Maid::search(std::int64_t most) {
  aim();
  if (!newton_) return search_along(most, false);
  if (search_along(most, true)) return true;
  moves_.clear();
  turns_.clear();
  along_ = p_;
  double largest = 0.0;
  for (const double entry : p_) largest = std::max(largest, std::abs(entry));
  const double usual = step_;
  step_ = std::max(step_, options_.longest / largest);
  if (search_along(most + 30, false)) return true;
  step_ = usual;
  return false;
}

bool Maid::search_along(std::int64_t most, bool newton) {
  double largest = 0.0;
  for (const double entry : along_) largest = std::max(largest, std::abs(entry));
  double length = newton ? std::min(1.0, options_.longest / largest) : step_;
  const bool rounding = trial(length, along_, next_x_) < rounding_share * std::abs(state_.value);
  for (std::int64_t k = 0; k < most; ++k, length *= options_.shrink_step) {
    next_y_ = y_;
    const double fall = trial(length, along_, next_x_);
    bool accepted = false;
    if (rounding) {
      next_q_ = q_;
      const auto there = implicit_.gradient(next_x_, next_y_, next_q_, eps_, delta_, next_p_);
      accepted = there.norm + there.bound < state_.norm;
    } else {
      const auto there = implicit_.value(next_x_, next_y_, eps_);
      accepted = there.high - state_.low <= -options_.slack * options_.slack * fall && fall > 0.0;
    }
    if (accepted) {
      last_x_ = x_;
      last_p_ = p_;
      x_.swap(next_x_);
      y_.swap(next_y_);
      if (!newton) step_ = options_.grow_step * length;
      return true;
    }
  }
  return false;
}

void Maid::step() {
  next_x_.resize(x_.size());
  next_p_.resize(x_.size());
  report_.fresh = true;
  if (!started_) {
    started_ = true;
    gauss_newton_ = options_.direction == "gauss-newton" ||
                    (options_.direction == "auto" && options_.memory > 0 && flat_but_for_y());
    refine();
  }
  // Where the bound cannot be brought below the hypergradient F may still fall for certain.
  bool moved = search(10);
  for (std::int64_t j = 1; j < 60 && !moved && eps_ >= accuracy_floor; ++j) {
    eps_ *= options_.tighten;
    delta_ *= options_.tighten;
    refine();
    moved = search(j + 10);
  }
  if (moved) {
    eps_ *= options_.relax;
    delta_ *= options_.relax;
    refine();
    remember();
  } else {
    report_.finished = true;
    report_.message =
        fmt::format("accuracy floor: no better step within rounding (eps {:.1e})", eps_);
  }
  ++iteration_;
  publish();
}

void Maid::publish() {
  trial(1.0, p_, next_x_);
  double mapping = 0.0;
  for (std::size_t k = 0; k < x_.size(); ++k)
    mapping += (x_[k] - next_x_[k]) * (x_[k] - next_x_[k]);
  const bool constrained = oracle_.view().table().proj_x != nullptr;
  report_.residual = (constrained ? std::sqrt(mapping) : state_.norm) + state_.bound;
  report_.objective = state_.value;
  report_.failed = !std::isfinite(report_.residual);
  if (report_.failed) report_.message = "the hypergradient left the finite numbers";
}

void Maid::fields(state::FieldVisitor& visit) {
  base_fields(visit);
  block_field(visit, "q", q_);
  visit.replicated("p", p_);
  visit.replicated("moves", moves_);
  visit.replicated("turns", turns_);
  row_field(visit, "constants", Implicit::width, implicit_.constants());
  if (implicit_.kept_width() > 0)
    row_field(visit, "kept", implicit_.kept_width(), implicit_.kept());
  visit.scalar("eps", eps_);
  visit.scalar("delta", delta_);
  visit.scalar("step", step_);
  visit.scalar("value", state_.value);
  visit.scalar("low", state_.low);
  visit.scalar("high", state_.high);
  visit.scalar("norm", state_.norm);
  visit.scalar("bound", state_.bound);
  std::int64_t flags = (started_ ? 1 : 0) + (report_.finished ? 2 : 0) +
                       (state_.certified ? 4 : 0) + (gauss_newton_ ? 8 : 0);
  visit.scalar("flags", flags);
  started_ = (flags & 1) != 0;
  report_.finished = (flags & 2) != 0;
  state_.certified = (flags & 4) != 0;
  gauss_newton_ = (flags & 8) != 0;
}

std::vector<std::pair<std::string, std::string>> Maid::notes() const {
  return {{"bound", state_.certified ? "certified" : "estimated"}};
}

}  // namespace equipoise::bilevel
