#pragma once

#include <equipoise/partition/partition.hpp>

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace equipoise::vi {

using Facts = std::vector<std::pair<std::string, std::string>>;

/// Constants of a problem where they are known; what is not is 0 and gets estimated.
struct Constants {
  double lipschitz = 0.0;            ///< L of F
  double lipschitz_rms = 0.0;        ///< sqrt(sum_m weight_m L_m^2)
  double strong_monotonicity = 0.0;  ///< mu
  double similarity_max = 0.0;       ///< largest Lipschitz constant of F_m - F_1
  double similarity_rms = 0.0;
  double flops = 0.0;  ///< of one operator call of an agent, the same on every rank
};

/// A variational inequality VI(F, h, Z) whose operator is a weighted sum over agents,
/// F(z) = sum_m weight(m) F_m(z), with z in R^d held in full by every rank.
///
/// The three members required: `dimension()` is d, `agents()` is M, and `apply(agent, z, out)`
/// computes out = F_agent(z), [d] -> [d], without communication; `out` never aliases `z`. For a
/// saddle point min_x max_y f the operator is (grad_x f, -grad_y f): the minus sign is the
/// problem's.
///
/// Members that may be added, each `const`:
/// - `double weight(agent)`: not negative, summing to 1; 1/M without it.
/// - `void prox(double step, span<double> z)`: in place, z := prox_{step h}(z), the projection on Z
/// for an
///   indicator; the identity without it (Z = R^d). Independent of agents and ranks.
/// - `void start(span<double> z)`: the first point; 0 without it.
/// - `bool solution(span<double> z)`: fills the exact solution where it is known, else returns
/// false.
/// - `Constants constants()`.
/// - `void surrogate(span<const double> z, span<double> out)`: F_1, a data sample replicated on
/// every rank.
/// - `int64 samples(agent)` and `void apply_batch(agent, z, span<const int64> batch, out)`: F_m as
/// a mean of
///   parts and the mean over a batch of them (full batch = apply).
/// - for people: `Facts facts()`, and `string fingerprint()`, equal on every rank.
/// - `bool symmetric()`: F is the gradient of a convex function (its Jacobian is symmetric).
/// - `Facts check(span<const double> z)`: assumptions verified at a point, for the log (e.g.
/// concavity).
template <class P>
concept AgentProblem = requires(const P& p, std::int64_t agent, std::span<const double> z,
                                std::span<double> out) {
  { p.dimension() } -> std::convertible_to<std::int64_t>;
  { p.agents() } -> std::convertible_to<std::int64_t>;
  p.apply(agent, z, out);
};

/// A variational inequality whose z is itself partitioned over ranks: every rank holds only the
/// coordinates `layout().owned(rank)` and the ghosts it asks for. Every entry of F is computed by
/// one rank.
///
/// `ghosts(rank)` lists the foreign global indices that rank needs, ascending;
/// `apply_partitioned(owned, x, ghost_values, out)` computes the owned entries of F, with
/// `ghost_values` in the order of `ghosts`. The chunks of the layout must not depend on the rank
/// count: dot products sum chunk by chunk. Optional: `prox(step, owned, z)` in place on the owned
/// entries, `start(owned, z)`, `solution(owned, z)`, `constants()`, `facts()`, `fingerprint()`.
template <class P>
concept PartitionedProblem = requires(const P& p, int rank, partition::Range owned,
                                      std::span<const double> x,
                                      std::span<const double> ghost_values, std::span<double> out) {
  { p.layout() } -> std::convertible_to<const partition::Layout&>;
  { p.ghosts(rank) } -> std::convertible_to<std::vector<std::int64_t>>;
  p.apply_partitioned(owned, x, ghost_values, out);
};

/// A non-owning view of a problem, two pointers wide: methods are compiled once and take any
/// problem through it. The problem must outlive the view. Entries that a problem lacks are null.
class ProblemView {
 public:
  struct Table {
    std::int64_t (*dimension)(const void*);
    std::int64_t (*agents)(const void*);
    void (*apply)(const void*, std::int64_t, std::span<const double>, std::span<double>);
    double (*weight)(const void*, std::int64_t);
    void (*prox)(const void*, double, partition::Range, std::span<double>);
    void (*start)(const void*, partition::Range, std::span<double>);
    bool (*solution)(const void*, partition::Range, std::span<double>);
    Constants (*constants)(const void*);
    void (*surrogate)(const void*, std::span<const double>, std::span<double>);
    std::int64_t (*samples)(const void*, std::int64_t);
    void (*apply_batch)(const void*, std::int64_t, std::span<const double>,
                        std::span<const std::int64_t>, std::span<double>);
    const partition::Layout& (*layout)(const void*);
    std::vector<std::int64_t> (*ghosts)(const void*, int);
    void (*apply_partitioned)(const void*, partition::Range, std::span<const double>,
                              std::span<const double>, std::span<double>);
    Facts (*facts)(const void*);
    std::string (*fingerprint)(const void*);
    Facts (*check)(const void*, std::span<const double>);
    bool (*symmetric)(const void*);
  };

  template <class P>
  requires(AgentProblem<P> || PartitionedProblem<P>) ProblemView(const P& problem)
      : self_(&problem), table_(&table_of<P>) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool partitioned() const { return table_->apply_partitioned != nullptr; }
  [[nodiscard]] bool constrained() const { return table_->prox != nullptr; }
  [[nodiscard]] bool has_surrogate() const { return table_->surrogate != nullptr; }
  [[nodiscard]] bool symmetric() const { return table_->symmetric && table_->symmetric(self_); }
  [[nodiscard]] bool finite_sum() const { return table_->apply_batch != nullptr; }

  [[nodiscard]] std::int64_t dimension() const { return table_->dimension(self_); }
  [[nodiscard]] std::int64_t agents() const { return table_->agents ? table_->agents(self_) : 1; }
  void apply(std::int64_t agent, std::span<const double> z, std::span<double> out) const {
    table_->apply(self_, agent, z, out);
  }
  [[nodiscard]] double weight(std::int64_t agent) const {
    return table_->weight ? table_->weight(self_, agent) : 1.0 / static_cast<double>(agents());
  }
  /// z := prox_{step h}(z) on the owned entries (`owned` is everything for an AgentProblem).
  void prox(double step, partition::Range owned, std::span<double> z) const {
    if (table_->prox) table_->prox(self_, step, owned, z);
  }
  void start(partition::Range owned, std::span<double> z) const;
  [[nodiscard]] bool solution(partition::Range owned, std::span<double> z) const {
    return table_->solution && table_->solution(self_, owned, z);
  }
  [[nodiscard]] Constants constants() const {
    return table_->constants ? table_->constants(self_) : Constants{};
  }
  void surrogate(std::span<const double> z, std::span<double> out) const {
    table_->surrogate(self_, z, out);
  }
  [[nodiscard]] std::int64_t samples(std::int64_t agent) const {
    return table_->samples(self_, agent);
  }
  void apply_batch(std::int64_t agent, std::span<const double> z,
                   std::span<const std::int64_t> batch, std::span<double> out) const {
    table_->apply_batch(self_, agent, z, batch, out);
  }
  [[nodiscard]] const partition::Layout& layout() const { return table_->layout(self_); }
  [[nodiscard]] std::vector<std::int64_t> ghosts(int rank) const {
    return table_->ghosts(self_, rank);
  }
  void apply_partitioned(partition::Range owned, std::span<const double> x,
                         std::span<const double> ghost_values, std::span<double> out) const {
    table_->apply_partitioned(self_, owned, x, ghost_values, out);
  }
  [[nodiscard]] Facts facts() const { return table_->facts ? table_->facts(self_) : Facts{}; }
  [[nodiscard]] std::string fingerprint() const {
    return table_->fingerprint ? table_->fingerprint(self_) : std::string("unnamed");
  }
  [[nodiscard]] Facts check(std::span<const double> z) const {
    return table_->check ? table_->check(self_, z) : Facts{};
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
constexpr ProblemView::Table ProblemView::make_table() {
  using partition::Range;
  using In = std::span<const double>;
  using Out = std::span<double>;
  Table t{};
  if constexpr (AgentProblem<P>) {
    t.dimension = [](const void* s) -> std::int64_t { return as<P>(s).dimension(); };
    t.agents = [](const void* s) -> std::int64_t { return as<P>(s).agents(); };
    t.apply = [](const void* s, std::int64_t agent, In z, Out out) {
      as<P>(s).apply(agent, z, out);
    };
    if constexpr (requires(const P& p) { p.weight(std::int64_t{}); }) {
      t.weight = [](const void* s, std::int64_t agent) -> double { return as<P>(s).weight(agent); };
    }
    if constexpr (requires(const P& p, Out z) { p.prox(1.0, z); }) {
      t.prox = [](const void* s, double step, Range, Out z) { as<P>(s).prox(step, z); };
    }
    if constexpr (requires(const P& p, Out z) { p.start(z); }) {
      t.start = [](const void* s, Range, Out z) { as<P>(s).start(z); };
    }
    if constexpr (requires(const P& p, Out z) { p.solution(z); }) {
      t.solution = [](const void* s, Range, Out z) -> bool { return as<P>(s).solution(z); };
    }
    if constexpr (requires(const P& p, In z, Out out) { p.surrogate(z, out); }) {
      t.surrogate = [](const void* s, In z, Out out) { as<P>(s).surrogate(z, out); };
    }
    if constexpr (requires(const P& p, In z, Out out, std::span<const std::int64_t> batch) {
                    p.apply_batch(std::int64_t{}, z, batch, out);
                  }) {
      t.samples = [](const void* s, std::int64_t agent) -> std::int64_t {
        return as<P>(s).samples(agent);
      };
      t.apply_batch = [](const void* s, std::int64_t agent, In z,
                         std::span<const std::int64_t> batch,
                         Out out) { as<P>(s).apply_batch(agent, z, batch, out); };
    }
  } else {
    t.dimension = [](const void* s) -> std::int64_t { return as<P>(s).layout().dimension(); };
    t.layout = [](const void* s) -> const partition::Layout& { return as<P>(s).layout(); };
    t.ghosts = [](const void* s, int rank) -> std::vector<std::int64_t> {
      return as<P>(s).ghosts(rank);
    };
    t.apply_partitioned = [](const void* s, Range owned, In x, In ghost_values, Out out) {
      as<P>(s).apply_partitioned(owned, x, ghost_values, out);
    };
    if constexpr (requires(const P& p, Out z) { p.prox(1.0, Range{}, z); }) {
      t.prox = [](const void* s, double step, Range owned, Out z) {
        as<P>(s).prox(step, owned, z);
      };
    }
    if constexpr (requires(const P& p, Out z) { p.start(Range{}, z); }) {
      t.start = [](const void* s, Range owned, Out z) { as<P>(s).start(owned, z); };
    }
    if constexpr (requires(const P& p, Out z) { p.solution(Range{}, z); }) {
      t.solution = [](const void* s, Range owned, Out z) -> bool {
        return as<P>(s).solution(owned, z);
      };
    }
  }
  if constexpr (requires(const P& p) { p.constants(); }) {
    t.constants = [](const void* s) -> Constants { return as<P>(s).constants(); };
  }
  if constexpr (requires(const P& p) { p.facts(); }) {
    t.facts = [](const void* s) -> Facts { return as<P>(s).facts(); };
  }
  if constexpr (requires(const P& p) { p.fingerprint(); }) {
    t.fingerprint = [](const void* s) -> std::string { return as<P>(s).fingerprint(); };
  }
  if constexpr (requires(const P& p) { p.symmetric(); }) {
    t.symmetric = [](const void* s) -> bool { return as<P>(s).symmetric(); };
  }
  if constexpr (requires(const P& p, In z) { p.check(z); }) {
    t.check = [](const void* s, In z) -> Facts { return as<P>(s).check(z); };
  }
  return t;
}

}  // namespace equipoise::vi
