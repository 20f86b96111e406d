#pragma once

#include <equipoise/pareto/points.hpp>

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace equipoise::pareto {

using Facts = std::vector<std::pair<std::string, std::string>>;

/// How well a front can be judged: the reference point of the hypervolume, and its supremum over
/// the exact front where that is known (0 otherwise).
struct Yardstick {
  std::vector<double> reference;  ///< [k], in scaled objectives where `scale` is set
  double limit = 0.0;
  Range scale;  ///< ideal and nadir point that the objectives are scaled by; empty: none
};

/// min (f_1(x), ..., f_k(x)) over a box, with black-box or smooth objectives.
///
/// Required, all `const` and communication-free: `dimension()` is n, `objectives()` is k,
/// `lower(i)` and `upper(i)` bound variable i (infinite where there is no bound; population methods
/// need finite ones), and `evaluate(x, f)` computes f(x), [n] -> [k]. A failed evaluation throws or
/// leaves a value that is not finite: population methods rank it last and count it.
///
/// Members that may be added:
/// - `int constraints()` and `void evaluate(x, f, c)` instead of `evaluate(x, f)`: c_i(x) <= 0, [n]
/// -> [k], [c].
/// - `bool integer(i)`: variable i takes whole numbers only (it still travels as a double).
/// - `void gradients(x, f, g)`: values [k] and gradients [k n], row by row, Riesz representatives
/// in the
///   inner product of the problem; for a non-smooth objective one element of the Clarke
///   subdifferential.
/// - `void gradient(i, x, g)`: the gradient of objective i alone, where that is cheaper.
/// - `bool smooth()`: false where the gradients are mere subgradients; true without it.
/// - `double inner(a, b)`: that inner product; Euclidean without it.
/// - `void hessian_product(weights, x, v, out)`: out = sum_i weights_i H_i(x) v, as a Riesz
/// representative.
/// - `void start(x)`: a first point for descent methods; the middle of the box without it.
/// - `Yardstick yardstick()`; for people `Facts facts()`, and `string fingerprint()`, equal on
/// every rank.
template <class P>
concept MultiobjectiveProblem = requires(const P& p, std::int64_t i, std::span<const double> x,
                                         std::span<double> f) {
  { p.dimension() } -> std::convertible_to<std::int64_t>;
  { p.objectives() } -> std::convertible_to<std::int64_t>;
  { p.lower(i) } -> std::convertible_to<double>;
  { p.upper(i) } -> std::convertible_to<double>;
}
&&(
    requires(const P& p, std::span<const double> x, std::span<double> f) { p.evaluate(x, f); } ||
    requires(const P& p, std::span<const double> x, std::span<double> f) {
      p.evaluate(x, f, f);
      { p.constraints() } -> std::convertible_to<std::int64_t>;
    });

/// Objectives with gradients.
template <class P>
concept DifferentiableProblem = MultiobjectiveProblem<P> &&
    requires(const P& p, std::span<const double> x, std::span<double> f) {
  p.gradients(x, f, f);
};

/// A non-owning view of a problem, two pointers wide; the problem must outlive it. What a problem
/// lacks is null in the table.
class ProblemView {
 public:
  struct Table {
    std::int64_t (*dimension)(const void*);
    std::int64_t (*objectives)(const void*);
    std::int64_t (*constraints)(const void*);
    double (*lower)(const void*, std::int64_t);
    double (*upper)(const void*, std::int64_t);
    bool (*integer)(const void*, std::int64_t);
    void (*evaluate)(const void*, std::span<const double>, std::span<double>, std::span<double>);
    void (*gradients)(const void*, std::span<const double>, std::span<double>, std::span<double>);
    bool (*smooth)(const void*);
    void (*gradient)(const void*, std::int64_t, std::span<const double>, std::span<double>);
    double (*inner)(const void*, std::span<const double>, std::span<const double>);
    void (*hessian_product)(const void*, std::span<const double>, std::span<const double>,
                            std::span<const double>, std::span<double>);
    void (*start)(const void*, std::span<double>);
    Yardstick (*yardstick)(const void*);
    Facts (*facts)(const void*);
    std::string (*fingerprint)(const void*);
  };

  template <MultiobjectiveProblem P>
  ProblemView(const P& problem)
      : self_(&problem), table_(&table_of<P>) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] std::size_t dimension() const {
    return static_cast<std::size_t>(table_->dimension(self_));
  }
  [[nodiscard]] std::size_t objectives() const {
    return static_cast<std::size_t>(table_->objectives(self_));
  }
  [[nodiscard]] std::size_t constraints() const {
    return table_->constraints ? static_cast<std::size_t>(table_->constraints(self_)) : 0;
  }
  [[nodiscard]] double lower(std::size_t i) const {
    return table_->lower(self_, static_cast<std::int64_t>(i));
  }
  [[nodiscard]] double upper(std::size_t i) const {
    return table_->upper(self_, static_cast<std::int64_t>(i));
  }
  [[nodiscard]] bool integer(std::size_t i) const {
    return table_->integer && table_->integer(self_, static_cast<std::int64_t>(i));
  }
  /// f(x) and c(x); `c` has `constraints()` entries.
  void evaluate(std::span<const double> x, std::span<double> f, std::span<double> c) const {
    table_->evaluate(self_, x, f, c);
  }
  [[nodiscard]] bool differentiable() const { return table_->gradients != nullptr; }
  [[nodiscard]] bool smooth() const { return !table_->smooth || table_->smooth(self_); }
  void gradients(std::span<const double> x, std::span<double> f, std::span<double> g) const {
    table_->gradients(self_, x, f, g);
  }
  /// The gradient of one objective, [n].
  void gradient(std::size_t i, std::span<const double> x, std::span<double> g) const;
  /// The inner product of the gradients.
  [[nodiscard]] double inner(std::span<const double> a, std::span<const double> b) const;
  [[nodiscard]] bool has_hessian() const { return table_->hessian_product != nullptr; }
  void hessian_product(std::span<const double> weights, std::span<const double> x,
                       std::span<const double> v, std::span<double> out) const {
    table_->hessian_product(self_, weights, x, v, out);
  }
  void start(std::span<double> x) const;
  [[nodiscard]] Yardstick yardstick() const {
    return table_->yardstick ? table_->yardstick(self_) : Yardstick{};
  }
  [[nodiscard]] Facts facts() const { return table_->facts ? table_->facts(self_) : Facts{}; }
  [[nodiscard]] std::string fingerprint() const {
    return table_->fingerprint ? table_->fingerprint(self_) : std::string("unnamed");
  }

 private:
  template <class P>
  static const P& as(const void* self) {
    return *static_cast<const P*>(self);
  }
  template <class P>
  static constexpr Table make_table();
  template <class P>
  static constexpr Table table_of = make_table<P>();

  const void* self_;
  const Table* table_;
};

/// Throws ConfigurationError unless the problem has at least two objectives, a variable, ordered
/// bounds, and (with `need_box`) finite ones.
void require_valid(const ProblemView& problem, bool need_box);

template <class P>
constexpr ProblemView::Table ProblemView::make_table() {
  using In = std::span<const double>;
  using Out = std::span<double>;
  Table t{};
  t.dimension = [](const void* s) -> std::int64_t { return as<P>(s).dimension(); };
  t.objectives = [](const void* s) -> std::int64_t { return as<P>(s).objectives(); };
  t.lower = [](const void* s, std::int64_t i) -> double { return as<P>(s).lower(i); };
  t.upper = [](const void* s, std::int64_t i) -> double { return as<P>(s).upper(i); };
  if constexpr (requires(const P& p, In x, Out f) { p.evaluate(x, f, f); }) {
    t.constraints = [](const void* s) -> std::int64_t { return as<P>(s).constraints(); };
    t.evaluate = [](const void* s, In x, Out f, Out c) { as<P>(s).evaluate(x, f, c); };
  } else {
    t.evaluate = [](const void* s, In x, Out f, Out) { as<P>(s).evaluate(x, f); };
  }
  if constexpr (requires(const P& p) { p.integer(std::int64_t{}); }) {
    t.integer = [](const void* s, std::int64_t i) -> bool { return as<P>(s).integer(i); };
  }
  if constexpr (DifferentiableProblem<P>) {
    t.gradients = [](const void* s, In x, Out f, Out g) { as<P>(s).gradients(x, f, g); };
  }
  if constexpr (requires(const P& p) { p.smooth(); }) {
    t.smooth = [](const void* s) -> bool { return as<P>(s).smooth(); };
  }
  if constexpr (requires(const P& p, In x, Out g) { p.gradient(std::int64_t{}, x, g); }) {
    t.gradient = [](const void* s, std::int64_t i, In x, Out g) { as<P>(s).gradient(i, x, g); };
  }
  if constexpr (requires(const P& p, In a) { p.inner(a, a); }) {
    t.inner = [](const void* s, In a, In b) -> double { return as<P>(s).inner(a, b); };
  }
  if constexpr (requires(const P& p, In v, Out out) { p.hessian_product(v, v, v, out); }) {
    t.hessian_product = [](const void* s, In w, In x, In v, Out out) {
      as<P>(s).hessian_product(w, x, v, out);
    };
  }
  if constexpr (requires(const P& p, Out x) { p.start(x); }) {
    t.start = [](const void* s, Out x) { as<P>(s).start(x); };
  }
  if constexpr (requires(const P& p) { p.yardstick(); }) {
    t.yardstick = [](const void* s) -> Yardstick { return as<P>(s).yardstick(); };
  }
  if constexpr (requires(const P& p) { p.facts(); }) {
    t.facts = [](const void* s) -> Facts { return as<P>(s).facts(); };
  }
  if constexpr (requires(const P& p) { p.fingerprint(); }) {
    t.fingerprint = [](const void* s) -> std::string { return as<P>(s).fingerprint(); };
  }
  return t;
}

}  // namespace equipoise::pareto
