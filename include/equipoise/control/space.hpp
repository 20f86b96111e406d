#pragma once

#include <equipoise/control/grid.hpp>
#include <equipoise/control/multigrid.hpp>
#include <equipoise/linalg/petsc.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/fields.hpp>

#include <memory>
#include <string_view>

namespace equipoise::control {

/// An element of a Hilbert space, by its coefficients.
struct Primal {
  linalg::Vector values;
};
/// A linear functional on it, by its values on the basis. Derivatives live here; only a Riesz map
/// turns one into a gradient.
struct Dual {
  linalg::Vector values;
};

/// The value of a functional at an element: the plain dot product. **Collective.**
[[nodiscard]] double pairing(const Dual& functional, const Primal& element);

/// A Hilbert space of controls or states with its Riesz map R: (v, w) = v^T R w.
class Space {
 public:
  virtual ~Space() = default;
  [[nodiscard]] virtual Primal primal() const = 0;  ///< zero element
  [[nodiscard]] virtual Dual dual() const = 0;      ///< zero functional
  /// out = R v. **Collective.**
  virtual void to_dual(const Primal& v, Dual& out) const = 0;
  /// out = R^-1 f. **Collective.**
  virtual void to_primal(const Dual& f, Primal& out) const = 0;
  /// The coefficients in natural order over the ranks.
  [[nodiscard]] virtual const partition::Partition& partition() const = 0;
  [[nodiscard]] virtual const parallel::Comm& comm() const = 0;
  /// Names the coefficients of a vector of this space to a visitor, in natural order.
  /// **Collective** where the visitor or the space is.
  virtual void visit(state::FieldVisitor& visitor, std::string_view name, Vec vector) const;

  /// (v, w). **Collective.**
  [[nodiscard]] double inner(const Primal& v, const Primal& w) const;
  /// sqrt(f^T R^-1 f), the norm in which derivatives are measured. **Collective.**
  [[nodiscard]] double norm(const Dual& f) const;
};

/// The Riesz map of nodal functions on a grid: `mass` for L2, `h1` for K + M, and `identity`, which
/// takes the coefficients for the function and makes iteration counts depend on the mesh.
enum class Riesz { mass, h1, identity };

class GridSpace : public Space {
 public:
  /// **Collective** for `h1`, whose inverse is multigrid CG to 1e-12.
  GridSpace(std::shared_ptr<const Hierarchy> hierarchy, Riesz riesz);
  [[nodiscard]] Primal primal() const override { return {grid().vector()}; }
  [[nodiscard]] Dual dual() const override { return {grid().vector()}; }
  void to_dual(const Primal& v, Dual& out) const override;
  void to_primal(const Dual& f, Primal& out) const override;
  [[nodiscard]] const partition::Partition& partition() const override {
    return grid().partition();
  }
  [[nodiscard]] const parallel::Comm& comm() const override { return grid().comm(); }
  [[nodiscard]] const Grid& grid() const { return hierarchy_->finest(); }

 private:
  std::shared_ptr<const Hierarchy> hierarchy_;
  Riesz riesz_;
  std::unique_ptr<Multigrid> h1_;
};

/// The run loop adds counters over ranks; solves in which all ranks take part count once, on the
/// first.
[[nodiscard]] solve::Counters count_once(const parallel::Comm& comm, solve::Counters counters);

/// Names the entries of a vector to a visitor, in natural order.
void visit_vector(state::FieldVisitor& visit, std::string_view name,
                  const partition::Partition& rows, int part, Vec vector);

}  // namespace equipoise::control
