#include <equipoise/control/space.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::control {

using linalg::check;

double pairing(const Dual& functional, const Primal& element) {
  return linalg::dot(functional.values, element.values);
}

double Space::inner(const Primal& v, const Primal& w) const {
  Dual image = dual();
  to_dual(w, image);
  return pairing(image, v);
}

double Space::norm(const Dual& f) const {
  Primal gradient = primal();
  to_primal(f, gradient);
  return std::sqrt(std::max(0.0, pairing(f, gradient)));
}

void Space::visit(state::FieldVisitor& visitor, std::string_view name, Vec vector) const {
  visit_vector(visitor, name, partition(), comm().rank(), vector);
}

GridSpace::GridSpace(std::shared_ptr<const Hierarchy> hierarchy, Riesz riesz)
    : hierarchy_(std::move(hierarchy)), riesz_(riesz) {
  if (riesz == Riesz::h1) h1_ = std::make_unique<Multigrid>(hierarchy_, 1.0, 1.0, "riesz_");
}

void GridSpace::to_dual(const Primal& v, Dual& out) const {
  switch (riesz_) {
    case Riesz::mass:
      return check(MatMult(grid().mass(), v.values, out.values));
    case Riesz::h1:
      return check(MatMult(h1_->matrix(), v.values, out.values));
    case Riesz::identity:
      return check(VecCopy(v.values, out.values));
  }
}

void GridSpace::to_primal(const Dual& f, Primal& out) const {
  switch (riesz_) {
    case Riesz::mass:
      return grid().solve_mass(f.values, out.values);
    case Riesz::h1:
      h1_->solve(f.values, out.values, 1e-12);
      return;
    case Riesz::identity:
      return check(VecCopy(f.values, out.values));
  }
}

solve::Counters count_once(const parallel::Comm& comm, solve::Counters counters) {
  if (comm.rank() != 0) {
    for (auto& counter : counters) counter.second = 0;
  }
  return counters;
}

void visit_vector(state::FieldVisitor& visit, std::string_view name,
                  const partition::Partition& rows, int part, Vec vector) {
  linalg::Entries entries(vector);
  std::vector<double> data(entries.span().begin(), entries.span().end());
  visit.partitioned(name, rows, part, 1, data);
  std::copy(data.begin(), data.end(), entries.span().begin());
}

}  // namespace equipoise::control
