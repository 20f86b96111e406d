#include <equipoise/control/kkt_solver.hpp>
#include <equipoise/parallel/random.hpp>

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace equipoise::control {

using linalg::check;

namespace {

double norm(Vec v) {
  double size = 0.0;
  check(VecNorm(v, NORM_2, &size));
  return size;
}

/// r := A z - b.
void residual(const Kkt& kkt, Vec b, Vec z, Vec r) {
  check(MatMult(kkt.matrix(), z, r));
  check(VecAXPY(r, -1.0, b));
}

PetscErrorCode apply_metric(PC pc, Vec r, Vec out) {
  void* kkt = nullptr;
  const PetscErrorCode code = PCShellGetContext(pc, &kkt);
  if (code != 0) return code;
  static_cast<Kkt*>(kkt)->metric_inverse(r, out);
  return 0;
}

class Krylov : public KktSolver {
 public:
  explicit Krylov(bool minres) : minres_(minres) {}
  void improve(Kkt& kkt, Vec b, Vec z, Vec r, double target, std::int64_t limit) override {
    linalg::Solver solver;
    MPI_Comm comm = MPI_COMM_NULL;
    check(PetscObjectGetComm(reinterpret_cast<PetscObject>(z), &comm));
    check(KSPCreate(comm, solver.put()));
    check(KSPSetOptionsPrefix(solver, "kkt_"));
    check(KSPSetOperators(solver, kkt.matrix(), kkt.matrix()));
    check(KSPSetType(solver, minres_ ? KSPMINRES : KSPGMRES));
    if (!minres_) check(KSPSetPCSide(solver, PC_RIGHT));
    PC pc = nullptr;
    check(KSPGetPC(solver, &pc));
    check(PCSetType(pc, PCSHELL));
    check(PCShellSetContext(pc, &kkt));
    check(PCShellSetApply(pc, apply_metric));
    check(KSPSetFromOptions(solver));
    linalg::Vector correction = linalg::like(z);
    // MINRES measures the preconditioned residual: the plain one is tested here, and the rest is
    // solved anew.
    double size = norm(r);
    const std::int64_t last = steps_ + limit;
    while (size > target && steps_ < last) {
      const double wanted = std::max(1e-12, 0.3 * target / size);
      // Where more steps than this would be needed rounding rules: refinement goes on.
      const std::int64_t most = std::min(last - steps_, 2 * kkt.rows() + 50);
      check(KSPSetTolerances(solver, wanted, 1e-300, PETSC_DEFAULT, static_cast<PetscInt>(most)));
      check(KSPSolve(solver, r, correction));
      PetscInt count = 0;
      check(KSPGetIterationNumber(solver, &count));
      steps_ += std::max<PetscInt>(count, 1);
      products_ += count + 1;
      check(VecAXPY(z, -1.0, correction));
      residual(kkt, b, z, r);
      const double next = norm(r);
      if (!(next < 0.5 * size)) {
        if (!(next < size)) {  // rounding: keep the better one
          check(VecAXPY(z, 1.0, correction));
          residual(kkt, b, z, r);
        }
        break;
      }
      size = next;
    }
  }

 private:
  bool minres_;
};

class Sketched : public KktSolver {
 public:
  Sketched(bool gaussian, bool metric, std::int64_t block, std::int64_t seed)
      : gaussian_(gaussian), metric_(metric), block_(block), seed_(seed) {}
  void improve(Kkt& kkt, Vec b, Vec z, Vec r, double target, std::int64_t limit) override;

 private:
  void draw(Kkt& kkt, std::vector<linalg::Vector>& sketch) const;
  bool gaussian_, metric_;
  std::int64_t block_, seed_;
};

/// The columns of S for the inner step at hand.
void Sketched::draw(Kkt& kkt, std::vector<linalg::Vector>& sketch) const {
  PetscInt begin = 0, end = 0;
  check(MatGetOwnershipRange(kkt.matrix(), &begin, &end));
  const auto seed = static_cast<std::uint64_t>(seed_);
  const auto column_draw = [&](std::size_t k) {
    return parallel::Draw(seed, parallel::Purpose::probe, steps_, static_cast<std::int64_t>(k));
  };
  if (gaussian_ && metric_) {
    linalg::Vector first = kkt.variable_vector(), second = kkt.variable_vector();
    const auto owned = kkt.owned_variables();
    for (std::size_t k = 0; k < sketch.size(); ++k) {
      const parallel::Draw draw = column_draw(k);
      {
        linalg::Entries a(first), b(second);
        for (std::int64_t i = 0; i < owned.size(); ++i) {
          const auto row = static_cast<std::uint64_t>(owned.begin + i);
          a[i] = draw.normal(2 * row);
          b[i] = draw.normal(2 * row + 1);
        }
      }
      kkt.metric_sample(first, second, sketch[k]);
    }
    return;
  }
  if (gaussian_) {
    for (std::size_t k = 0; k < sketch.size(); ++k) {
      const parallel::Draw draw = column_draw(k);
      linalg::Entries column(sketch[k]);
      for (PetscInt i = begin; i < end; ++i)
        column[i - begin] = draw.normal(static_cast<std::uint64_t>(kkt.logical(i)));
    }
    return;
  }
  // Distinct rows: those with the smallest keys.
  const parallel::Draw draw(seed, parallel::Purpose::mask, steps_);
  std::vector<std::int64_t> order(static_cast<std::size_t>(kkt.rows()));
  std::iota(order.begin(), order.end(), 0);
  std::vector<std::uint64_t> key(order.size());
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = draw.bits(i);
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(sketch.size()),
                    order.end(), [&](std::int64_t a, std::int64_t b) {
                      return key[static_cast<std::size_t>(a)] < key[static_cast<std::size_t>(b)];
                    });
  std::map<std::int64_t, std::size_t> chosen;
  for (std::size_t k = 0; k < sketch.size(); ++k) {
    chosen[order[k]] = k;
    check(VecSet(sketch[k], 0.0));
  }
  for (PetscInt i = begin; i < end; ++i) {
    const auto found = chosen.find(kkt.logical(i));
    if (found == chosen.end()) continue;
    linalg::Entries column(sketch[found->second]);
    column[i - begin] = 1.0;
  }
}

void Sketched::improve(Kkt& kkt, Vec b, Vec z, Vec r, double target, std::int64_t limit) {
  const auto width = static_cast<std::size_t>(std::min(block_, kkt.rows()));
  std::vector<linalg::Vector> sketch, image, direction;
  for (std::size_t k = 0; k < width; ++k) {
    sketch.push_back(linalg::like(z));
    image.push_back(linalg::like(z));
    if (metric_) direction.push_back(linalg::like(z));
  }
  std::vector<Vec> raw_sketch(sketch.begin(), sketch.end()), raw_image(image.begin(), image.end());
  const auto n = static_cast<Eigen::Index>(width);
  Eigen::MatrixXd gram(n, n);
  Eigen::VectorXd right(n);
  const std::int64_t last = steps_ + limit;
  const auto sweep =
      (kkt.rows() + static_cast<std::int64_t>(width) - 1) / static_cast<std::int64_t>(width);
  const std::int64_t patience = 50 * (sweep + 1);
  double best = norm(r);
  std::int64_t best_step = steps_;
  for (double size = best; size > target && steps_ < last; size = norm(r)) {
    if (size < 0.999 * best) best = size, best_step = steps_;
    if (steps_ - best_step > patience) break;  // what is left is rounding
    draw(kkt, sketch);
    for (std::size_t k = 0; k < width; ++k) check(MatMult(kkt.matrix(), sketch[k], image[k]));
    for (std::size_t k = 0; metric_ && k < width; ++k) kkt.metric_inverse(image[k], direction[k]);
    const auto& along = metric_ ? direction : image;
    for (std::size_t k = 0; k < width; ++k) {
      const auto column = static_cast<Eigen::Index>(k);
      check(VecMDot(along[k], static_cast<PetscInt>(width), raw_image.data(),
                    gram.col(column).data()));
    }
    check(VecMDot(r, static_cast<PetscInt>(width), raw_sketch.data(), right.data()));
    const Eigen::CompleteOrthogonalDecomposition<Eigen::MatrixXd> solver(0.5 *
                                                                         (gram + gram.transpose()));
    Eigen::VectorXd step = -solver.solve(right);
    for (std::size_t k = 0; k < width; ++k)
      check(VecAXPY(z, step(static_cast<Eigen::Index>(k)), along[k]));
    residual(kkt, b, z, r);
    ++steps_;
    products_ += static_cast<std::int64_t>(width) + 1;
  }
}

}  // namespace

std::unique_ptr<KktSolver> krylov_kkt_solver(bool minres) {
  return std::make_unique<Krylov>(minres);
}

std::unique_ptr<KktSolver> sketched_kkt_solver(bool gaussian, bool metric, std::int64_t block,
                                               std::int64_t seed) {
  return std::make_unique<Sketched>(gaussian, metric, block, seed);
}

}  // namespace equipoise::control
