#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/pareto/descent.hpp>
#include <equipoise/pareto/islands.hpp>
#include <equipoise/pareto/problem.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::pareto {

struct SubdivisionOptions {
  std::string selection = "auto";  ///< "sampling", "gradient"; auto: gradients where there are some
  std::int64_t depth = 0;          ///< bisections in all; 0: six per variable
  std::int64_t samples = 0;        ///< test points of a box; 0: 2^n + 1 at most 33
  std::int64_t descents = 30;      ///< gradient: steps of common descent of a test point at most
  std::int64_t max_boxes = 100000;
  GoldsteinOptions goldstein;  ///< for non-smooth objectives
  void describe(state::OptionVisitor& visit);
};

/// Covers the Pareto set by boxes (Dellnitz, Schuetze, Hestermeyer 2005), for few variables. A step
/// bisects every box, along one coordinate after the other, and selects:
/// - sampling: boxes that hold a test point which no other test point dominates;
/// - gradient: boxes that are hit by test points after common descent, hit ones outside of the
///   collection included (which recovers boxes that were lost before).
///
/// A box is one whole number per coordinate, its place on the grid of its depth; test points are
/// the same in every box, so the result does not depend on who does it: the same bits on any number
/// of ranks. The residual is the longest side of the boxes over that of the domain.
class Subdivision final : public solve::Method {
 public:
  /// **Collective** (no communication). Throws ConfigurationError for a problem without finite
  /// bounds, with constraints or whole numbers, or with more than 12 variables.
  Subdivision(parallel::Comm comm, ProblemView problem, const SubdivisionOptions& options,
              std::uint64_t seed);

  /// **Collective**: an allgatherv of the boxes that are hit (gradient) or of the ranks' own
  /// nondominated test points (sampling).
  void step() override;
  [[nodiscard]] solve::Report report() const override { return report_; }
  [[nodiscard]] solve::Counters counters() const override;
  void fields(state::FieldVisitor& visit) override;
  /// Names the nondominated test points of the last step.
  void solution(state::FieldVisitor& visit) override;

  /// Boxes, equal on every rank, in ascending order of their places.
  [[nodiscard]] std::size_t boxes() const { return places_.size() / n_; }
  [[nodiscard]] std::vector<double> centre(std::size_t box) const;
  /// [n] half the sides of every box.
  [[nodiscard]] std::vector<double> radius() const;

 private:
  [[nodiscard]] std::int64_t divisions(std::size_t j) const;
  [[nodiscard]] std::vector<std::int64_t> place_of(std::span<const double> x) const;
  void bisect();
  void look_ahead();
  [[nodiscard]] std::vector<double> test_points(std::int64_t begin, std::int64_t end) const;
  void descend(std::vector<double>& x);
  void keep(const std::vector<double>& rows);

  parallel::Comm comm_;
  ProblemView problem_;
  SubdivisionOptions options_;
  std::uint64_t seed_;
  std::size_t n_, k_;
  bool gradient_ = false;
  std::int64_t depth_ = 0;
  std::vector<std::int64_t> places_;  ///< [boxes n]
  DescentCounts counts_;
  Front front_;
  solve::Report report_;
};

}  // namespace equipoise::pareto
