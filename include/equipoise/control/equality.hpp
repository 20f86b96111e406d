#pragma once

#include <equipoise/linalg/petsc.hpp>
#include <equipoise/partition/partition.hpp>

namespace equipoise::control {

/// min f(x) subject to c(x) = 0, with L = f + lambda^T c. Vectors are dealt to the ranks as the two
/// partitions say. All members that take vectors are **Collective**; returned matrices live until
/// the next call of the same member.
class EqualityProblem {
 public:
  virtual ~EqualityProblem() = default;
  [[nodiscard]] virtual const parallel::Comm& comm() const = 0;
  [[nodiscard]] virtual const partition::Partition& variables() const = 0;
  [[nodiscard]] virtual const partition::Partition& constraints() const = 0;
  virtual double value(Vec x) = 0;
  virtual void gradient(Vec x, Vec out) = 0;
  virtual void constraint(Vec x, Vec out) = 0;
  /// G = c'(x), [constraints x variables], MATAIJ.
  virtual Mat jacobian(Vec x) = 0;
  /// The Hessian of L, [variables x variables], MATAIJ.
  virtual Mat hessian(Vec x, Vec lambda) = 0;
  /// Where the iteration begins.
  virtual void start(Vec x, Vec lambda) = 0;
};

/// A zero vector dealt as `rows` says. **Collective.**
[[nodiscard]] linalg::Vector make_vector(const parallel::Comm& comm,
                                         const partition::Partition& rows);

}  // namespace equipoise::control
