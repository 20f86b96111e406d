#pragma once

#include "program_order.hpp"
#include "program_part.hpp"
#include "program_scaled.hpp"

#include <equipoise/problems/vi/linear_program.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace equipoise::problems {

struct HalpernOptions {
  std::string order = "auto";
  std::string polish = "auto";
  std::int64_t polish_after = 256;
  std::int64_t polish_nonzeros = 1'000'000;
  std::int64_t check_every = 32;
  bool feasibility_polishing = false;
  double gap_tolerance = 1e-3;
  void describe(state::OptionVisitor& visit);
};

/// The solution of a program as it stands in a run file.
struct ProgramSolution : state::Stateful {
  std::shared_ptr<const DistributedProgram> program;
  int part = 0;
  std::int64_t status = 0;
  std::vector<double> x, y;  ///< [owned columns], [owned rows]
  void fields(state::FieldVisitor& visit) override {
    visit.scalar("status", status);
    visit.partitioned("x", program->columns.coordinates(), part, 1, x);
    visit.partitioned("y", program->rows.coordinates(), part, 1, y);
  }
};

/// Restarted reflected Halpern iteration of the primal-dual hybrid gradient map (Lu and Yang 2024),
/// on the scaled program:
///
///     x' = clip(x - tau (c + Qx - A'y)),   y' = prox of the rows at y - sigma A (2x' - x),
///     z := (k+1)/(k+2) ((1+rho) z' - rho z) + 1/(k+2) anchor,
///
/// tau = eta / w, sigma = eta w, eta = 0.99 / |A|; rho = 1 for linear programs. Quadratic ones take
/// the smooth step of Condat and Vu, 1/tau = w / eta + |Q|, and rho = 0. Restarts: r < 0.2 r0; or r
/// < 0.8 r0 and growing; or k > 0.36 of all iterations (the three criteria of PDLP). The weight w
/// then follows the distances moved.
///
/// Two products with A an iteration (three with Q), each followed at once by what its line needs:
/// one pass over A' with the columns and one over A with the rows. Each entry is computed by one
/// rank in a fixed order.
///
/// Programs of at most `polish_nonzeros` coefficients are also gathered on rank 0, after
/// `polish_after` iterations and again whenever their number has doubled, for Newton's method from
/// the current pair, and for rays where that finds no solution, as soon as the fill of its
/// factorisation makes this no dearer than a few times the products so far. Of larger linear
/// programs, and of those with a dearer factorisation, the part that the pair leaves open is taken
/// instead, as often as that helps (`open_part`). The outcome is taken only if it passes the same
/// tests. Rays also come from the differences of iterates.
///
/// Feasibility polishing of linear programs (Applegate et al., PDLP: A practical first-order method
/// for large-scale linear programming, 2025, section 4), if wanted: once the gap is at most
/// `gap_tolerance`, the same steps solve from x the program without costs, and from y the one with
/// all finite bounds 0, each in at most an eighth of the iterations so far, or four looks. If x and
/// y then satisfy their constraints to the tolerance, and gap and complementarity are at most
/// `gap_tolerance`, the run ends with them; if not, it goes on as if nothing had been tried, and
/// tries again after as many iterations.
class HalpernPdhg final : public solve::Method {
 public:
  /// `tolerance`: what the polish aims at. **Collective.**
  HalpernPdhg(parallel::Comm comm, std::shared_ptr<const DistributedProgram> program,
              const HalpernOptions& options, double tolerance);

  void step() override;
  [[nodiscard]] solve::Report report() const override { return report_; }
  [[nodiscard]] parallel::Traffic traffic() const override { return scaled_.traffic(); }
  [[nodiscard]] solve::Counters counters() const override;
  void fields(state::FieldVisitor& visit) override;
  void solution(state::FieldVisitor& visit) override { best_.fields(visit); }
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> notes() const override {
    return notes_;
  }

 private:
  using Vector = std::vector<double>;
  [[nodiscard]] double start_weight() const;
  /// (x_new, y_new) := T(x, y), or if `moves` at once the point after it.
  template <bool moves>
  void advance();
  double fixed_point_residual();
  void restart();
  void move();
  /// One iteration. Every `check_every` it asks look() at (x_new, y_new) whether to stay there.
  template <class Look>
  bool iterate(Look&& look);
  /// From (x_, y_) until done() at (x_new, y_new), in at most `most` iterations.
  template <class Done>
  bool walk(std::int64_t most, Done&& done);
  /// The next says whether the step is over: an end, or a new point. So do the three after it.
  bool check();
  bool try_rays();
  bool prove_infeasible(Vector y);
  bool prove_unbounded(Vector x);
  bool on_course();
  bool polish();
  bool polish_feasibility();
  void solve_parts(std::int64_t most, double& allowed, Vector& x, Vector& y);
  double polish_cost(const LocalProgram& local, double allowed);
  bool solve_part(const ProgramPart& part, GatheredPart& local, Vector& x, Vector& y);
  void take(const RelativeKkt& kkt);
  /// The pair, in scaled units and the order of the ranks, becomes the best one. **Collective**.
  void keep(const Vector& x, const Vector& y, const RelativeKkt& kkt);
  [[nodiscard]] bool quadratic() const { return scaled_.quadratic(); }
  /// A point's weight and the anchor's in the next one.
  [[nodiscard]] double pull() const { return 1.0 / static_cast<double>(inner_ + 2); }

  parallel::Comm comm_;
  ProgramOrder order_;
  std::shared_ptr<const DistributedProgram> program_;  // in that order
  HalpernOptions options_;
  double tolerance_;
  ScaledProgram scaled_;
  double eta_ = 1.0, curvature_ = 0.0;

  Vector x_, y_, x_anchor_, y_anchor_;  // the state
  double weight_ = 1.0, first_residual_ = 0.0, last_residual_ = 0.0;
  double start_residual_ = 0.0, residual_at_polish_ = 0.0;
  double whole_polish_cost_ = 0.0;  // operations, at least
  std::int64_t inner_ = 0, total_ = 0, next_polish_ = 0, next_feasibility_ = 0;
  ProgramSolution best_;  // in the order of the file

  Vector x_new_, y_new_, x_work_, y_work_;
  solve::Report report_;
  std::int64_t factorizations_ = 0;
  std::vector<std::pair<std::string, std::string>> notes_;
};

}  // namespace equipoise::problems
