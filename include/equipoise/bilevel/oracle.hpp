#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace equipoise::bilevel {

using In = std::span<const double>;
using Out = std::span<double>;
/// Samples of one block by their numbers in 0 .. num_samples - 1. **An empty batch means every
/// sample.**
using Batch = std::span<const std::int64_t>;
using Facts = std::vector<std::pair<std::string, std::string>>;
using Figures = std::vector<std::pair<std::string, double>>;

enum class Level { lower, upper };

/// Constants of one block near (x, y); what is not known is 0 and gets estimated. Norms are
/// Euclidean.
struct Bounds {
  double strong_convexity = 0.0;   ///< mu of g in y
  double smoothness = 0.0;         ///< L: Lipschitz constant of grad_y g in y
  double hessian_lipschitz = 0.0;  ///< of y -> Hyy
  double cross = 0.0;              ///< norm of Hxy at (x, y)
  double cross_lipschitz = 0.0;    ///< of y -> Hxy
  double upper_smoothness = 0.0;   ///< of grad_y f in y
  double upper_cross = 0.0;        ///< Lipschitz constant in y of grad_x f
  bool certified = false;          ///< every constant above is proved
};

/// A multi-block bilevel problem
///
///     min_x F(x) = (1/m) sum_i f_i(x, y_i*(x)),   y_i*(x) = argmin_y g_i(x, y),   i = 0 .. m-1,
///
/// x in R^dx, y_i in R^dy_i, with f_i and g_i means over samples. Any copyable struct with these
/// const members is an oracle; each call is a deterministic function of its arguments, free of
/// communication, overwrites `out`, which never aliases an input:
/// - `dim_outer()`, `num_blocks()`, `dim_inner(i)`, `num_samples(i, level)`;
/// - `grad_y_g(i, batch, x, y, out)`, `grad_y_f(...)`: [dx], [dy] -> [dy]; `grad_x_f(...)`: ->
/// [dx].
///
/// Members that may be added:
/// - `hvp_yy_g(i, batch, x, y, v, out)`: out = Hyy v in R^dy; `jvp_xy_g(i, batch, x, y, v, out)`:
/// out = Hxy v in
///   R^dx, for v in R^dy; `jvp_yx_g(i, batch, x, y, u, out)`: out = Hxy^T u in R^dy, for u in R^dx;
/// - `hess_yy_g(i, batch, x, y, out)`: Hyy, dense, dy * dy;
/// - `grad_x_g(i, batch, x, y, out)`; values `f(i, batch, x, y)`, `g(i, batch, x, y)`;
/// - `lower_pass(i, batch, x, y, v, gradient, hv, jv)`: grad_y g, Hyy v and Hxy v in one pass over
/// the data;
/// - `proj_x(x)`, `proj_y(i, y)`: projections, in place; `proj_joint(x, y)` for one block: on the
/// set where also
///   the constraints hold;
/// - constraints c_i(x, y) = 0 of the lower problem: `num_constraints(i)`, `con(i, x, y, out)`,
///   `con_jt_x(i, x, y, lambda, out)`, `con_jt_y(i, x, y, lambda, out)` (transposed Jacobians);
/// - `bounds(i, x, y)`: Bounds; `start(x)`: the first x (0 without it); `start_inner(i, y)`
/// likewise;
/// - `bool exact(x, hypergradient, value)`: grad F and F in closed form; `bool optimum(x)`;
/// - the first `num_inequalities(i)` of these are c_i(x, y) <= 0 instead;
/// - `x_support(i, lower, upper, vector<int64>& out)`: the entries of x, in any order, outside of
///   which grad_x f on the upper and Hxy v on the lower batch vanish (both batches not empty);
/// - `bool lower_convex()`: false where g may curve downwards far from a minimum (networks);
/// - `bool everywhere()`: true if every rank can evaluate every block, owned or not;
/// - a best-response model y = w_i(phi, x): `dim_response(i)`, `response(i, phi, x, y)`, and its
///   products with transposed Jacobians `response_phi(i, phi, x, u, out)`, `response_x(...)`, and
///   `start_response(i, x, phi)`;
/// - `figures(i, x, y, Figures&)` for one block: what a solution is worth (a test error), for
/// certificates, which hold the means over blocks;
/// - for people: `Facts facts()`, and `string fingerprint()`, equal on every rank.
template <class P>
concept Oracle = requires(const P& p, std::int64_t i, Level level, Batch batch, In in, Out out) {
  { p.dim_outer() } -> std::convertible_to<std::int64_t>;
  { p.num_blocks() } -> std::convertible_to<std::int64_t>;
  { p.dim_inner(i) } -> std::convertible_to<std::int64_t>;
  { p.num_samples(i, level) } -> std::convertible_to<std::int64_t>;
  p.grad_y_g(i, batch, in, in, out);
  p.grad_y_f(i, batch, in, in, out);
  p.grad_x_f(i, batch, in, in, out);
};

/// A non-owning view of an oracle, two pointers wide: methods are compiled once and take any
/// problem through it. The oracle must outlive the view. Calls that an oracle lacks are null; `has`
/// names them.
class OracleView {
 public:
  using Gradient = void (*)(const void*, std::int64_t, Batch, In, In, Out);
  using Product = void (*)(const void*, std::int64_t, Batch, In, In, In, Out);
  using Value = double (*)(const void*, std::int64_t, Batch, In, In);
  using Jacobian = void (*)(const void*, std::int64_t, In, In, In, Out);
  struct Table {
    std::int64_t (*dim_outer)(const void*);
    std::int64_t (*num_blocks)(const void*);
    std::int64_t (*dim_inner)(const void*, std::int64_t);
    std::int64_t (*num_samples)(const void*, std::int64_t, Level);
    Gradient grad_y_g, grad_y_f, grad_x_f, grad_x_g, hess_yy_g;
    Product hvp_yy_g, jvp_xy_g, jvp_yx_g;
    Value f, g;
    void (*lower_pass)(const void*, std::int64_t, Batch, In, In, In, Out, Out, Out);
    void (*proj_x)(const void*, Out);
    void (*proj_y)(const void*, std::int64_t, Out);
    void (*proj_joint)(const void*, Out, Out);
    std::int64_t (*num_constraints)(const void*, std::int64_t);
    void (*con)(const void*, std::int64_t, In, In, Out);
    Jacobian con_jt_x, con_jt_y;
    Bounds (*bounds)(const void*, std::int64_t, In, In);
    void (*start)(const void*, Out);
    void (*start_inner)(const void*, std::int64_t, Out);
    bool (*exact)(const void*, In, Out, double&);
    bool (*optimum)(const void*, Out);
    std::int64_t (*num_inequalities)(const void*, std::int64_t);
    void (*x_support)(const void*, std::int64_t, Batch, Batch, std::vector<std::int64_t>&);
    bool (*lower_convex)(const void*);
    bool (*everywhere)(const void*);
    std::int64_t (*dim_response)(const void*, std::int64_t);
    void (*response)(const void*, std::int64_t, In, In, Out);
    void (*response_phi)(const void*, std::int64_t, In, In, In, Out);
    void (*response_x)(const void*, std::int64_t, In, In, In, Out);
    void (*start_response)(const void*, std::int64_t, In, Out);
    void (*figures)(const void*, std::int64_t, In, In, Figures&);
    Facts (*facts)(const void*);
    std::string (*fingerprint)(const void*);
    /// What `Blocks::work` calls before and after the work of this rank: oracles that share calls
    /// out over ranks (`ShardedOracle`).
    void (*enter)(const void*);
    void (*leave)(const void*);
  };

  template <class P>
  requires(Oracle<P> && !std::same_as<P, OracleView>) OracleView(const P& oracle)
      : self_(&oracle), table_(&table_of<P>) {}  // NOLINT(google-explicit-constructor)

  /// For oracles that fill a table of their own.
  OracleView(const void* self, const Table* table) : self_(self), table_(table) {}

  /// The optional calls by their names above; entries are null where the oracle lacks them.
  [[nodiscard]] const Table& table() const { return *table_; }
  [[nodiscard]] const void* self() const { return self_; }
  /// Throws ConfigurationError naming the first of `calls` that the oracle lacks and the method
  /// that needs it.
  void need(std::string_view method, std::span<const std::string_view> calls) const;
  [[nodiscard]] bool has(std::string_view call) const;

  [[nodiscard]] std::int64_t dim_outer() const { return table_->dim_outer(self_); }
  [[nodiscard]] std::int64_t num_blocks() const { return table_->num_blocks(self_); }
  [[nodiscard]] std::int64_t dim_inner(std::int64_t i) const { return table_->dim_inner(self_, i); }
  [[nodiscard]] std::int64_t num_samples(std::int64_t i, Level level) const {
    return table_->num_samples(self_, i, level);
  }
  [[nodiscard]] Bounds bounds(std::int64_t i, In x, In y) const {
    return table_->bounds ? table_->bounds(self_, i, x, y) : Bounds{};
  }
  void start(Out x) const;
  void start_inner(std::int64_t i, Out y) const;
  void proj_x(Out x) const {
    if (table_->proj_x) table_->proj_x(self_, x);
  }
  void proj_y(std::int64_t i, Out y) const {
    if (table_->proj_y) table_->proj_y(self_, i, y);
  }
  [[nodiscard]] bool exact(In x, Out hypergradient, double& value) const {
    return table_->exact && table_->exact(self_, x, hypergradient, value);
  }
  [[nodiscard]] bool lower_convex() const {
    return !table_->lower_convex || table_->lower_convex(self_);
  }
  [[nodiscard]] bool everywhere() const { return table_->everywhere && table_->everywhere(self_); }
  [[nodiscard]] bool optimum(Out x) const { return table_->optimum && table_->optimum(self_, x); }
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

template <class P>
constexpr OracleView::Table OracleView::make_table() {
  using Id = std::int64_t;
  Table t{};
  t.dim_outer = [](const void* s) -> Id { return as<P>(s).dim_outer(); };
  t.num_blocks = [](const void* s) -> Id { return as<P>(s).num_blocks(); };
  t.dim_inner = [](const void* s, Id i) -> Id { return as<P>(s).dim_inner(i); };
  t.num_samples = [](const void* s, Id i, Level level) -> Id {
    return as<P>(s).num_samples(i, level);
  };
  t.grad_y_g = [](const void* s, Id i, Batch b, In x, In y, Out o) {
    as<P>(s).grad_y_g(i, b, x, y, o);
  };
  t.grad_y_f = [](const void* s, Id i, Batch b, In x, In y, Out o) {
    as<P>(s).grad_y_f(i, b, x, y, o);
  };
  t.grad_x_f = [](const void* s, Id i, Batch b, In x, In y, Out o) {
    as<P>(s).grad_x_f(i, b, x, y, o);
  };
  if constexpr (requires(const P& p, Id i, Batch b, In v, Out o) { p.grad_x_g(i, b, v, v, o); }) {
    t.grad_x_g = [](const void* s, Id i, Batch b, In x, In y, Out o) {
      as<P>(s).grad_x_g(i, b, x, y, o);
    };
  }
  if constexpr (requires(const P& p, Id i, Batch b, In v, Out o) { p.hess_yy_g(i, b, v, v, o); }) {
    t.hess_yy_g = [](const void* s, Id i, Batch b, In x, In y, Out o) {
      as<P>(s).hess_yy_g(i, b, x, y, o);
    };
  }
  if constexpr (requires(const P& p, Id i, Batch b, In v, Out o) {
                  p.hvp_yy_g(i, b, v, v, v, o);
                }) {
    t.hvp_yy_g = [](const void* s, Id i, Batch b, In x, In y, In v, Out o) {
      as<P>(s).hvp_yy_g(i, b, x, y, v, o);
    };
  }
  if constexpr (requires(const P& p, Id i, Batch b, In v, Out o) {
                  p.jvp_xy_g(i, b, v, v, v, o);
                }) {
    t.jvp_xy_g = [](const void* s, Id i, Batch b, In x, In y, In v, Out o) {
      as<P>(s).jvp_xy_g(i, b, x, y, v, o);
    };
  }
  if constexpr (requires(const P& p, Id i, Batch b, In v, Out o) {
                  p.jvp_yx_g(i, b, v, v, v, o);
                }) {
    t.jvp_yx_g = [](const void* s, Id i, Batch b, In x, In y, In u, Out o) {
      as<P>(s).jvp_yx_g(i, b, x, y, u, o);
    };
  }
  if constexpr (requires(const P& p, Id i, Batch b, In v) { p.f(i, b, v, v); }) {
    t.f = [](const void* s, Id i, Batch b, In x, In y) -> double { return as<P>(s).f(i, b, x, y); };
  }
  if constexpr (requires(const P& p, Id i, Batch b, In v) { p.g(i, b, v, v); }) {
    t.g = [](const void* s, Id i, Batch b, In x, In y) -> double { return as<P>(s).g(i, b, x, y); };
  }
  if constexpr (requires(const P& p, Id i, Batch b, In v, Out o) {
                  p.lower_pass(i, b, v, v, v, o, o, o);
                }) {
    t.lower_pass = [](const void* s, Id i, Batch b, In x, In y, In v, Out gradient, Out hv,
                      Out jv) { as<P>(s).lower_pass(i, b, x, y, v, gradient, hv, jv); };
  }
  if constexpr (requires(const P& p, Out o) { p.proj_x(o); }) {
    t.proj_x = [](const void* s, Out x) { as<P>(s).proj_x(x); };
  }
  if constexpr (requires(const P& p, Id i, Out o) { p.proj_y(i, o); }) {
    t.proj_y = [](const void* s, Id i, Out y) { as<P>(s).proj_y(i, y); };
  }
  if constexpr (requires(const P& p, Out o) { p.proj_joint(o, o); }) {
    t.proj_joint = [](const void* s, Out x, Out y) { as<P>(s).proj_joint(x, y); };
  }
  if constexpr (requires(const P& p, Id i, In v, Out o) {
                  p.num_constraints(i);
                  p.con(i, v, v, o);
                  p.con_jt_x(i, v, v, v, o);
                  p.con_jt_y(i, v, v, v, o);
                }) {
    t.num_constraints = [](const void* s, Id i) -> Id { return as<P>(s).num_constraints(i); };
    t.con = [](const void* s, Id i, In x, In y, Out o) { as<P>(s).con(i, x, y, o); };
    t.con_jt_x = [](const void* s, Id i, In x, In y, In l, Out o) {
      as<P>(s).con_jt_x(i, x, y, l, o);
    };
    t.con_jt_y = [](const void* s, Id i, In x, In y, In l, Out o) {
      as<P>(s).con_jt_y(i, x, y, l, o);
    };
  }
  if constexpr (requires(const P& p, Id i, In v) { p.bounds(i, v, v); }) {
    t.bounds = [](const void* s, Id i, In x, In y) -> Bounds { return as<P>(s).bounds(i, x, y); };
  }
  if constexpr (requires(const P& p, Out o) { p.start(o); }) {
    t.start = [](const void* s, Out x) { as<P>(s).start(x); };
  }
  if constexpr (requires(const P& p, Id i, Out o) { p.start_inner(i, o); }) {
    t.start_inner = [](const void* s, Id i, Out y) { as<P>(s).start_inner(i, y); };
  }
  if constexpr (requires(const P& p, In v, Out o, double& value) { p.exact(v, o, value); }) {
    t.exact = [](const void* s, In x, Out o, double& value) -> bool {
      return as<P>(s).exact(x, o, value);
    };
  }
  if constexpr (requires(const P& p, Out o) { p.optimum(o); }) {
    t.optimum = [](const void* s, Out x) -> bool { return as<P>(s).optimum(x); };
  }
  if constexpr (requires(const P& p, Id i) { p.num_inequalities(i); }) {
    t.num_inequalities = [](const void* s, Id i) -> Id { return as<P>(s).num_inequalities(i); };
  }
  if constexpr (requires(const P& p, Id i, Batch b, std::vector<Id>& out) {
                  p.x_support(i, b, b, out);
                }) {
    t.x_support = [](const void* s, Id i, Batch lower, Batch upper, std::vector<Id>& out) {
      as<P>(s).x_support(i, lower, upper, out);
    };
  }
  if constexpr (requires(const P& p) { p.lower_convex(); }) {
    t.lower_convex = [](const void* s) -> bool { return as<P>(s).lower_convex(); };
  }
  if constexpr (requires(const P& p) { p.everywhere(); }) {
    t.everywhere = [](const void* s) -> bool { return as<P>(s).everywhere(); };
  }
  if constexpr (requires(const P& p, Id i, In v, Out o) {
                  p.dim_response(i);
                  p.response(i, v, v, o);
                  p.response_phi(i, v, v, v, o);
                  p.response_x(i, v, v, v, o);
                  p.start_response(i, v, o);
                }) {
    t.dim_response = [](const void* s, Id i) -> Id { return as<P>(s).dim_response(i); };
    t.response = [](const void* s, Id i, In phi, In x, Out y) { as<P>(s).response(i, phi, x, y); };
    t.response_phi = [](const void* s, Id i, In phi, In x, In u, Out out) {
      as<P>(s).response_phi(i, phi, x, u, out);
    };
    t.response_x = [](const void* s, Id i, In phi, In x, In u, Out out) {
      as<P>(s).response_x(i, phi, x, u, out);
    };
    t.start_response = [](const void* s, Id i, In x, Out phi) {
      as<P>(s).start_response(i, x, phi);
    };
  }
  if constexpr (requires(const P& p, Id i, In v, Figures& out) { p.figures(i, v, v, out); }) {
    t.figures = [](const void* s, Id i, In x, In y, Figures& out) {
      as<P>(s).figures(i, x, y, out);
    };
  }
  if constexpr (requires(const P& p) { p.facts(); }) {
    t.facts = [](const void* s) -> Facts { return as<P>(s).facts(); };
  }
  if constexpr (requires(const P& p) { p.fingerprint(); }) {
    t.fingerprint = [](const void* s) -> std::string { return as<P>(s).fingerprint(); };
  }
  return t;
}

}  // namespace equipoise::bilevel
