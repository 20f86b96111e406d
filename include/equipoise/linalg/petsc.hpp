#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/parallel/error.hpp>

#include <petscksp.h>

#include <source_location>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace equipoise::linalg {

/// A failed PETSc call, or a linear solve that ended without reaching its tolerance; the message
/// holds PETSc's own text, or the name of the KSP reason.
struct PetscError : Error {
  using Error::Error;
};

/// Starts PETSc on first use, with `comm` as its world. **Collective** on the first call.
/// PETSc gets no command line, no start-up file and no signal handler; its errors become
/// PetscError. PETSc stays alive until the process ends.
void start_petsc(const parallel::Comm& comm);

/// Throws PetscError unless `code` is 0.
void check(PetscErrorCode code, std::source_location where = std::source_location::current());

/// The sole owner of a PETSc object. Converts to the raw handle; `put()` is the out-argument of
/// XxxCreate.
template <class T, PetscErrorCode (*destroy)(T*)>
class Handle {
 public:
  Handle() = default;
  explicit Handle(T raw) : raw_(raw) {}
  Handle(Handle&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { reset(); }

  [[nodiscard]] T get() const { return raw_; }
  operator T() const {
    return raw_;
  }  // NOLINT(google-explicit-constructor): it stands for the raw handle
  T* put() {
    reset();
    return &raw_;
  }
  void reset() {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (raw_ != nullptr && finalized == 0) destroy(&raw_);
    raw_ = nullptr;
  }

 private:
  T raw_ = nullptr;
};

using Vector = Handle<Vec, VecDestroy>;
using Matrix = Handle<Mat, MatDestroy>;
using Solver = Handle<KSP, KSPDestroy>;
using IndexSet = Handle<IS, ISDestroy>;
using Scatter = Handle<VecScatter, VecScatterDestroy>;

/// The local entries of a vector, for writing, for as long as this object lives.
class Entries {
 public:
  explicit Entries(Vec vector);
  Entries(const Entries&) = delete;
  Entries& operator=(const Entries&) = delete;
  ~Entries();
  double& operator[](std::int64_t i) { return data_[i]; }
  [[nodiscard]] std::span<double> span() const { return {data_, static_cast<std::size_t>(size_)}; }
  [[nodiscard]] std::int64_t size() const { return size_; }

 private:
  Vec vector_;
  double* data_ = nullptr;
  PetscInt size_ = 0;
};

/// The local entries of a vector, for reading.
class ConstEntries {
 public:
  explicit ConstEntries(Vec vector);
  ConstEntries(const ConstEntries&) = delete;
  ConstEntries& operator=(const ConstEntries&) = delete;
  ~ConstEntries();
  const double& operator[](std::int64_t i) const { return data_[i]; }
  [[nodiscard]] std::span<const double> span() const {
    return {data_, static_cast<std::size_t>(size_)};
  }
  [[nodiscard]] std::int64_t size() const { return size_; }

 private:
  Vec vector_;
  const double* data_ = nullptr;
  PetscInt size_ = 0;
};

/// A vector of the same layout, zero.
[[nodiscard]] Vector like(Vec vector);
/// A copy.
[[nodiscard]] Vector copy(Vec vector);
/// A further owner of the same matrix.
[[nodiscard]] Matrix share(Mat matrix);
/// Plain dot product. **Collective**, one allreduce.
[[nodiscard]] double dot(Vec a, Vec b);

/// Solves with `solver` from a zero start and returns the number of iterations. **Collective.**
/// Throws PetscError with the name of the reason unless KSP reports convergence.
PetscInt solve(KSP solver, Vec right_side, Vec solution);
/// The same with the transposed matrix.
PetscInt solve_transposed(KSP solver, Vec right_side, Vec solution);

/// A sparse direct solver (MUMPS) for a square matrix; the factorisation happens on the first solve
/// and again after the matrix has changed. Up to 10^4 rows every rank factorises the whole matrix
/// for itself. `prefix` names its options. **Collective.**
[[nodiscard]] Solver direct_solver(Mat matrix, const std::string& prefix);

/// Hands `petsc.*` texts to PETSc and can tell which of them nobody read.
class SolverOptions {
 public:
  /// Sets every "key", "value" as "-key value". Call it before the solvers are made.
  explicit SolverOptions(const std::vector<std::pair<std::string, std::string>>& options);
  /// Throws ConfigurationError naming the options that no solver has read.
  void reject_unused() const;

 private:
  std::vector<std::pair<std::string, std::string>> options_;
};

}  // namespace equipoise::linalg
