#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/partition/distributed_matrix.hpp>
#include <equipoise/partition/partition.hpp>
#include <equipoise/solve/instance.hpp>

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace equipoise::formats {
struct MpsProgram;
}

namespace equipoise::problems {

struct LinearProgramOptions {
  std::string mps;
  std::string generate = "none";
  std::int64_t rows = 100, columns = 200, per_column = 5, seed = 0;
  std::string net, trips;
  double overflow_cost = 10.0;
  void describe(state::OptionVisitor& visit);
};

class ProgramGenerator;

/// A linear or convex quadratic program over ranks, every rank with its rows and columns:
/// min c'x + x'Qx/2 + constant, row_lower <= A x <= row_upper, lower <= x <= upper.
struct DistributedProgram {
  std::string path;                                   ///< of the file, if it came from one
  std::shared_ptr<const ProgramGenerator> generator;  ///< what made it, else
  std::string fingerprint;
  std::string name;
  partition::Layout rows, columns;
  std::vector<double> cost, lower, upper;     ///< [owned columns]
  std::vector<double> row_lower, row_upper;   ///< [owned rows]
  std::vector<partition::Triplet> matrix;     ///< A of a file, the owned rows in order
  std::vector<partition::Triplet> quadratic;  ///< Q, the owned rows in order
  std::int64_t nonzeros = 0, quadratic_nonzeros = 0;
  double constant = 0.0;
  bool maximise = false;                           ///< of the file; here everything is minimised
  double largest_bound = 0.0, largest_cost = 0.0;  ///< largest finite row bound, max |c|
  double optimum = std::numeric_limits<double>::quiet_NaN();  ///< where it is known

  /// This rank's share of A: its rows of a file; its columns, made anew, of a generated program.
  [[nodiscard]] std::vector<partition::Triplet> entries(int rank) const;

  /// Spreads the program that rank 0 holds. **Collective.**
  static DistributedProgram spread(const parallel::Comm& comm, const formats::MpsProgram& whole,
                                   const std::string& path);
  /// Reads an MPS or QPS file on rank 0 and spreads it, or makes a program, every rank its own
  /// columns and rows. **Collective.**
  static DistributedProgram read(const parallel::Comm& comm, const LinearProgramOptions& options);
};

/// What a run on a program ended with; stored as `status` in the solution.
enum class ProgramStatus : std::int64_t {
  pair = 0,        ///< x and y are a primal-dual pair
  infeasible = 1,  ///< y is a ray that proves that no feasible point exists
  unbounded =
      2,  ///< x is a direction in which the objective falls for ever from any feasible point
};

/// Linear and convex quadratic programs from MPS and QPS files. Family `vi`, name `lp`.
///
/// Measure: the largest of the relative primal residual, dual residual, complementarity and gap.
/// The tolerance is 1e-8 where none is given.
class LinearProgramInstance : public solve::Instance {
 public:
  LinearProgramInstance(parallel::Comm comm, DistributedProgram program);

  [[nodiscard]] std::string fingerprint() const override { return program_->fingerprint; }
  [[nodiscard]] solve::Facts facts() const override;
  [[nodiscard]] std::vector<std::string> methods() const override { return {"halpern-pdhg"}; }
  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override;
  std::unique_ptr<state::Stateful> solution_storage() override;
  /// Reads the file again, or makes the program's columns again, and computes the residuals of the
  /// pair, or the margin of the ray, in plain sums.
  solve::Certificate certify(state::Stateful& solution) override;
  /// `solution.csv` with the columns kind, name, value: kind x for columns, y for duals of rows (of
  /// the minimisation).
  std::vector<std::string> export_csv(state::Stateful& solution,
                                      const std::string& directory) override;

 private:
  parallel::Comm comm_;
  std::shared_ptr<const DistributedProgram> program_;
};

/// The registry's entries of the problem and of its method.
[[nodiscard]] solve::ProblemEntry lp_problem();
[[nodiscard]] solve::MethodEntry halpern_pdhg_method();

}  // namespace equipoise::problems
