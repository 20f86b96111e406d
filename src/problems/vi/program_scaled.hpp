#pragma once

#include "program_kkt.hpp"
#include "program_product.hpp"

#include <equipoise/partition/distributed_matrix.hpp>
#include <equipoise/problems/vi/linear_program.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace equipoise::problems {

/// A program over ranks, scaled by ten passes of Ruiz (2001) and one of Pock and Chambolle (2011):
/// x of the program is `column_scale` times x here, y is `row_scale` times y here. A is kept by
/// rows and by columns, 24 bytes a coefficient.
class ScaledProgram {
 public:
  using Vector = std::vector<double>;

  /// **Collective.**
  ScaledProgram(parallel::Comm comm, std::shared_ptr<const DistributedProgram> program);

  [[nodiscard]] const DistributedProgram& original() const { return *program_; }
  [[nodiscard]] bool quadratic() const { return program_->quadratic_nonzeros > 0; }

  /// The products with A by rows and with A' by columns; see ProgramProduct.
  ProgramProduct& by_rows() {
    ++products_;
    return *by_rows_;
  }
  ProgramProduct& by_columns() {
    ++products_;
    return *by_columns_;
  }
  void multiply_quadratic(const Vector& x, Vector& out);

  /// Euclidean norms, until they change by less than 1e-4 a step, from normal draws: |A| by Golub
  /// and Kahan's bidiagonalization (1965), two products a step; |Q| by power iterations.
  /// **Collective.**
  [[nodiscard]] double norm();
  [[nodiscard]] double quadratic_norm();

  /// KKT errors of a scaled pair, in the program's units. **Collective**, two or three products.
  [[nodiscard]] RelativeKkt kkt(const Vector& x, const Vector& y);
  /// To the program's units: x within its bounds, y with signs that the rows can carry.
  void unscale(const Vector& x, const Vector& y, Vector& to_x, Vector& to_y) const;

  /// Tests y (in the program's units, any length): with max |y| = 1, y'(Ax) of every feasible x is
  /// at least the rows' part and at most minus the columns' part; a positive sum of the two is a
  /// proof that there is none. y is scaled so. **Collective**, one product.
  struct Ray {
    double error = 0.0;   ///< multiplier without a bound; change of rows, bounds or curvature
    double margin = 0.0;  ///< of the proof; fall of the objective
  };
  [[nodiscard]] std::optional<Ray> infeasible(Vector& y);
  /// Tests x (any length): with max |x| = 1, moving along it must keep rows and bounds, add no
  /// curvature, and lower the objective. **Collective**, one or two products.
  [[nodiscard]] std::optional<Ray> unbounded(Vector& x);

  [[nodiscard]] std::int64_t products() const { return products_; }
  [[nodiscard]] parallel::Traffic traffic() const;

  Vector cost, lower, upper, row_lower, row_upper;  ///< scaled
  Vector column_scale, row_scale;

 private:
  void scale(partition::DistributedMatrix& matrix);

  parallel::Comm comm_;
  std::shared_ptr<const DistributedProgram> program_;
  partition::DistributedMatrix quadratic_;
  std::optional<ProgramProduct> by_rows_, by_columns_;
  Vector x_work_, x_other_, y_work_;
  std::int64_t products_ = 0;
};

}  // namespace equipoise::problems
