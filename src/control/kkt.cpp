#include <equipoise/control/kkt.hpp>

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>

namespace equipoise::control {

using linalg::check;

linalg::Vector make_vector(const parallel::Comm& comm, const partition::Partition& rows) {
  linalg::Vector v;
  check(VecCreateMPI(comm.handle(), static_cast<PetscInt>(rows.range(comm.rank()).size()),
                     static_cast<PetscInt>(rows.size()), v.put()));
  check(VecSet(v, 0.0));
  return v;
}

Kkt::Kkt(const EqualityProblem& problem, Mat b, Mat g)
    : variables_(problem.variables()),
      constraints_(problem.constraints()),
      rank_(problem.comm().rank()),
      inverse_diagonal_(make_vector(problem.comm(), variables_)),
      dual_(make_vector(problem.comm(), constraints_)),
      dual_image_(linalg::like(dual_)) {
  const MPI_Comm comm = problem.comm().handle();
  check(MatTranspose(g, MAT_INITIAL_MATRIX, transposed_.put()));
  // The empty block, so that every row of lambda exists.
  linalg::Matrix zero, nest;
  const auto size = static_cast<PetscInt>(constraints_.range(rank_).size());
  check(MatCreateAIJ(comm, size, size, PETSC_DETERMINE, PETSC_DETERMINE, 0, nullptr, 0, nullptr,
                     zero.put()));
  check(MatAssemblyBegin(zero, MAT_FINAL_ASSEMBLY));
  check(MatAssemblyEnd(zero, MAT_FINAL_ASSEMBLY));
  Mat blocks[4] = {b, transposed_, g, zero};
  check(MatCreateNest(comm, 2, nullptr, 2, nullptr, blocks, nest.put()));
  check(MatConvert(nest, MATAIJ, MAT_INITIAL_MATRIX, matrix_.put()));

  check(MatGetDiagonal(b, inverse_diagonal_));
  double largest = 0.0;
  check(VecNorm(inverse_diagonal_, NORM_INFINITY, &largest));
  {
    linalg::Entries d(inverse_diagonal_);
    const double floor = 1e-6 * std::max(largest, 1e-6);
    for (double& value : d.span()) value = 1.0 / std::max(std::abs(value), floor);
  }
  inverse_root_ = linalg::copy(inverse_diagonal_);
  check(VecSqrtAbs(inverse_root_));
  linalg::Matrix scaled;
  check(MatDuplicate(transposed_, MAT_COPY_VALUES, scaled.put()));
  check(MatDiagonalScale(scaled, inverse_diagonal_, nullptr));
  check(MatMatMult(g, scaled, MAT_INITIAL_MATRIX, PETSC_DEFAULT, schur_.put()));
  schur_solver_ = linalg::direct_solver(schur_, "schur_");
}

linalg::Vector Kkt::vector() const {
  linalg::Vector v;
  check(MatCreateVecs(matrix_, v.put(), nullptr));
  check(VecSet(v, 0.0));
  return v;
}

void Kkt::split(Vec whole, Vec x, Vec lambda) const {
  const linalg::ConstEntries all(whole);
  linalg::Entries first(x), second(lambda);
  std::copy_n(all.span().begin(), first.size(), first.span().begin());
  std::copy_n(all.span().begin() + first.size(), second.size(), second.span().begin());
}

void Kkt::join(Vec x, Vec lambda, Vec whole) const {
  linalg::Entries all(whole);
  const linalg::ConstEntries first(x), second(lambda);
  std::copy_n(first.span().begin(), first.size(), all.span().begin());
  std::copy_n(second.span().begin(), second.size(), all.span().begin() + first.size());
}

void Kkt::metric_inverse(Vec r, Vec out) {
  const auto size = variables_.range(rank_).size();
  {
    const linalg::ConstEntries residual(r);
    linalg::Entries dual(dual_);
    std::copy_n(residual.span().begin() + size, dual.size(), dual.span().begin());
  }
  linalg::solve(schur_solver_, dual_, dual_image_);
  const linalg::ConstEntries residual(r), scale(inverse_diagonal_), image(dual_image_);
  linalg::Entries result(out);
  for (std::int64_t i = 0; i < size; ++i) result[i] = scale[i] * residual[i];
  for (std::int64_t i = 0; i < image.size(); ++i) result[size + i] = image[i];
}

void Kkt::metric_sample(Vec a, Vec b, Vec out) {
  check(VecPointwiseMult(a, a, inverse_root_));
  check(VecPointwiseMult(b, b, inverse_root_));
  check(MatMultTranspose(transposed_, b, dual_));
  linalg::solve(schur_solver_, dual_, dual_image_);
  join(a, dual_image_, out);
}

std::int64_t Kkt::logical(std::int64_t column) const {
  // Rank p holds the columns variables.offset(p) + constraints.offset(p) onwards.
  const auto& v = variables_.offsets();
  const auto& c = constraints_.offsets();
  std::size_t low = 0, high = v.size() - 1;
  while (high - low > 1) {
    const std::size_t middle = (low + high) / 2;
    (v[middle] + c[middle] <= column ? low : high) = middle;
  }
  const std::int64_t local = column - v[low] - c[low];
  const std::int64_t here = v[low + 1] - v[low];
  return local < here ? v[low] + local : variables_.size() + c[low] + local - here;
}

double Kkt::frobenius() const {
  double norm = 0.0;
  check(MatNorm(matrix_, NORM_FROBENIUS, &norm));
  return norm;
}

std::pair<double, double> lanczos(const std::function<void(Vec, Vec)>& apply, Vec start,
                                  int steps) {
  std::vector<linalg::Vector> basis;
  std::vector<double> diagonal, beside;
  linalg::Vector v = linalg::copy(start), image = linalg::like(start);
  double norm = 0.0, scale = 0.0;
  check(VecNorm(v, NORM_2, &norm));
  for (int k = 0; k < steps && norm > 1e-8 * std::max(scale, 1e-300); ++k) {
    check(VecScale(v, 1.0 / norm));
    basis.push_back(linalg::copy(v));
    apply(v, image);
    diagonal.push_back(linalg::dot(v, image));
    for (int pass = 0; pass < 2; ++pass) {
      for (const auto& earlier : basis)
        check(VecAXPY(image, -linalg::dot(image, earlier), earlier));
    }
    check(VecCopy(image, v));
    check(VecNorm(v, NORM_2, &norm));
    beside.push_back(norm);
    scale = std::max({scale, std::abs(diagonal.back()), norm});
  }
  if (diagonal.empty()) return {0.0, 0.0};
  const auto size = static_cast<Eigen::Index>(diagonal.size());
  Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> ritz;
  ritz.computeFromTridiagonal(Eigen::Map<Eigen::VectorXd>(diagonal.data(), size),
                              Eigen::Map<Eigen::VectorXd>(beside.data(), size - 1),
                              Eigen::EigenvaluesOnly);
  return {ritz.eigenvalues()(0), ritz.eigenvalues()(size - 1)};
}

}  // namespace equipoise::control
