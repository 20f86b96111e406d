#pragma once

#include <equipoise/pareto/points.hpp>
#include <equipoise/pareto/scalarisation.hpp>
#include <equipoise/state/fields.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::pareto {

struct FrontOptions {
  std::string scalarisation = "pascoletti_serafini";
  double spacing = 0.05;  ///< wanted distance of neighbours, objectives scaled by ideal and nadir
  /// Weight of the other objectives at the ends of the front; 1e-4 of it where values settle.
  double anchor_weight = 1e-4;
  std::int64_t max_points = 10000;
  /// Weights of the first objective (two objectives): these weighted sums and no others.
  std::vector<double> weights;
  SmoothSolverOptions solver;
  void describe(state::OptionVisitor& visit);
};

/// A point of a front with what is known about it.
struct FrontMember {
  ScalarAnswer answer;
  std::int64_t parent = -1;  ///< the member that warmed it
};

/// One scalarised problem to solve.
struct FrontTask {
  Scalarisation scalarisation;
  std::int64_t parent = -1;  ///< the member to start from
  std::int64_t place = -1;   ///< gap or line
};

/// Which scalarised problems fill a front, from coarse to fine, and which point each starts from:
/// without communication, a function of the answers alone, whoever computed them.
///
/// A generation of tasks is fixed when the one before is complete; answers may come in any order.
/// How gaps are filled is told at `FrontSearch`.
class FrontPlan {
 public:
  /// Throws ConfigurationError where the scalarisation does not fit the number of objectives.
  FrontPlan(std::size_t objectives, FrontOptions options);

  /// The tasks of this generation, in order; empty when the front is complete.
  [[nodiscard]] const std::vector<FrontTask>& tasks() const { return tasks_; }
  [[nodiscard]] bool solved(std::size_t task) const { return solved_[task]; }
  [[nodiscard]] bool complete() const { return tasks_.empty(); }
  /// Takes the answer of a task. With the last one the next generation begins. Throws
  /// NotFiniteError where an end of the front could not be computed.
  void store(std::size_t task, ScalarAnswer answer);

  [[nodiscard]] const std::vector<FrontMember>& members() const { return members_; }
  /// Two objectives: members by ascending f_1.
  [[nodiscard]] const std::vector<std::int64_t>& order() const { return order_; }
  [[nodiscard]] std::int64_t holes() const { return holes_; }
  [[nodiscard]] std::int64_t failures() const { return failures_; }
  [[nodiscard]] std::int64_t solves() const { return solves_; }
  /// True where `max_points` ended the front before its spacing was reached.
  [[nodiscard]] bool cut_short() const { return cut_short_; }
  /// What went wrong first, or empty.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  /// An end of the front that the other end dominates, or empty.
  [[nodiscard]] const std::string& dominated_end() const { return dominated_end_; }
  [[nodiscard]] const Range& range() const { return range_; }
  [[nodiscard]] double distance(std::span<const double> a, std::span<const double> b) const;
  /// Two objectives: the largest gap still to be filled, scaled. More: the share of lines not yet
  /// solved. NaN before the ends are known.
  [[nodiscard]] double open() const;
  /// Distances of neighbours in scaled objectives (two objectives).
  [[nodiscard]] std::vector<double> gaps() const;
  /// Points of the front, by index into the members: nondominated, of equal ones the first; two
  /// objectives: by ascending f_1.
  [[nodiscard]] std::vector<std::size_t> front() const;

  /// Everything but the packets' `x`.
  void fields(state::FieldVisitor& visit);
  /// The answers known so far, members first: those whose packets belong to the state.
  [[nodiscard]] std::vector<ScalarAnswer*> answers();

 private:
  void plan();
  void absorb();
  [[nodiscard]] bool plane() const { return objectives_ == 2; }
  [[nodiscard]] std::vector<FrontTask> anchors() const;
  [[nodiscard]] std::vector<FrontTask> ends() const;
  [[nodiscard]] std::vector<FrontTask> fills() const;
  void fill(std::size_t gap, std::vector<FrontTask>& tasks) const;
  /// More objectives: the lines of this generation, whose names go to `asked_`.
  [[nodiscard]] std::vector<FrontTask> lines();
  void spread(std::int64_t subset, const std::vector<std::int64_t>& faces,
              std::vector<FrontTask>& tasks);
  [[nodiscard]] Scalarisation along(std::int64_t subset,
                                    const std::vector<std::int64_t>& key) const;
  [[nodiscard]] double rest() const;
  [[nodiscard]] bool inside(std::int64_t subset, const ScalarAnswer& answer) const;
  [[nodiscard]] std::vector<std::int64_t> pack_lines() const;
  void unpack_lines(const std::vector<std::int64_t>& numbers);
  /// The scalarisation that looks for the front at a point, along a normal of length 1 in scaled
  /// objectives; `near` where the point is a good guess of one on the front.
  [[nodiscard]] Scalarisation aim(std::span<const double> at, std::span<const double> normal,
                                  bool near) const;
  void set_range();
  void absorb_anchors();
  void absorb_ends();
  void absorb_fills();
  void absorb_lines();
  [[nodiscard]] const ScalarAnswer& ordered(std::size_t i) const {
    return members_[static_cast<std::size_t>(order_[i])].answer;
  }
  /// The generation that begins with the ends of the front known.
  [[nodiscard]] std::int64_t first_fill() const { return options_.weights.empty() ? 2 : 1; }

  std::size_t objectives_;
  FrontOptions options_;
  std::int64_t generation_ = 0;
  std::vector<FrontTask> tasks_;
  std::vector<bool> solved_;
  std::vector<ScalarAnswer> pending_;  ///< by task
  std::vector<FrontMember> members_;
  std::vector<std::int64_t> order_;   ///< two objectives: members by ascending f_1
  std::vector<std::int64_t> closed_;  ///< two objectives: 1 where the gap after order_[i] is a hole
  /// A line along (1, ..., 1) in the scaled objectives of a subset.
  struct Line {
    std::int64_t subset = 0;   ///< bit i: objective i belongs to it
    std::int64_t member = -1;  ///< whose multipliers are all positive, or none
    std::vector<std::int64_t>
        key;  ///< [k] differences from the subset's last objective, in spacings
  };
  std::vector<Line> lines_;  ///< more objectives: solved so far
  std::vector<Line> asked_;  ///< by task
  Range range_;
  std::int64_t solves_ = 0, failures_ = 0, holes_ = 0;
  bool cut_short_ = false;
  std::string trouble_, dominated_end_;
};

}  // namespace equipoise::pareto
