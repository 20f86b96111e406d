#pragma once

#include <equipoise/bilevel/oracle.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::bilevel {

/// One property of an oracle, as measured.
struct Check {
  std::string name;
  double error = 0.0;
  double tolerance = 0.0;
  [[nodiscard]] bool passed() const { return error <= tolerance; }
};

/// Measures what the methods rely on, at (x, y) of one block, along directions drawn from `seed`:
/// every derivative against central differences of the call below it (relative error), <u, Hyy v> =
/// <Hyy u, v>, <w, Hxy v> = <Hxy^T w, v>, positive curvature, halves of the samples averaging to
/// the whole, two calls giving the same bits, and the fused pass equal to its parts. Calls that the
/// oracle lacks are left out. Cost: about 30 full passes. No communication.
std::vector<Check> check_oracle(OracleView oracle, std::int64_t block, In x, In y,
                                std::uint64_t seed = 1);

}  // namespace equipoise::bilevel
