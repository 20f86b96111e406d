#pragma once

#include "program_kkt.hpp"

#include <equipoise/partition/distributed_matrix.hpp>

#include <cstdint>
#include <vector>

namespace equipoise::problems {

/// A whole program on one rank, scaled: rows of A by `row_scale`, columns by `column_scale`, so
/// that x of the caller's program is column_scale times x here, and y is row_scale times y here.
struct LocalProgram {
  std::vector<double> cost, lower, upper, row_lower, row_upper;
  std::vector<double> column_scale, row_scale;
  std::vector<partition::Triplet> matrix, quadratic;  ///< both triangles
  double constant = 0.0;
  double largest_bound = 0.0, largest_cost = 0.0;  ///< of the caller's program
};

struct NewtonResult {
  RelativeKkt kkt;  ///< of the returned pair, in the caller's units
  std::int64_t factorizations = 0;
};

/// Scales the program, given in the caller's units, by ten passes of Ruiz (2001) with factors that
/// are powers of two, so that coefficients become about 1.
void equilibrate(LocalProgram& program);

/// Operations of one factorisation of the Newton system, found without making it; the count ends
/// soon after `most`. Infinite where the factor would not fit (2^30 entries).
[[nodiscard]] double factorization_cost(const LocalProgram& program, double most);

/// KKT errors of (x, y) in the caller's units; serial.
[[nodiscard]] RelativeKkt local_kkt(const LocalProgram& program, const std::vector<double>& x,
                                    const std::vector<double>& y);

/// Newton's method on the perturbed KKT conditions (predictor and corrector of Mehrotra 1992, on
/// the proximally regularised system of Friedlander and Orban 2012, which has a factorisation
/// without pivoting for any rank of A), started at (x, y). Replaces the pair by the best one met.
/// Cost: one sparse factorisation of order rows + columns + inequality rows per iteration, serial.
NewtonResult newton_polish(const LocalProgram& program, double tolerance, std::vector<double>& x,
                           std::vector<double>& y);

/// A candidate for a proof that no feasible point exists: the duals of the program that minimises
/// the sum of the violations of the rows. In the caller's units; to be checked. Adds its
/// factorisations to `work`.
[[nodiscard]] std::vector<double> infeasibility_ray(const LocalProgram& program,
                                                    NewtonResult& work);
/// A candidate for a direction along which a feasible point stays feasible and the objective falls
/// without bound, with entries of at most 1 in scaled units. As above.
[[nodiscard]] std::vector<double> recession_ray(const LocalProgram& program, NewtonResult& work);

}  // namespace equipoise::problems
