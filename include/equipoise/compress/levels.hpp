#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace equipoise::compress {

/// The variance of unbiased rounding to `levels`, 0 = l_0 < ... < l_S = 1, of numbers in [0, 1]
/// whose distribution is the histogram of equal bins, even inside each bin: sum_j int (l_{j+1} -
/// u)(u - l_j) dH(u), H normalised to 1.
[[nodiscard]] double level_variance(std::span<const std::int64_t> histogram,
                                    std::span<const double> levels);

/// Levels that lower `level_variance` as far as coordinate descent does: each inner level solves
/// int_{l_{j-1}}^{l_j} (u - l_{j-1}) dH = int_{l_j}^{l_{j+1}} (l_{j+1} - u) dH by bisection,
/// `sweeps` times over. Starts from even levels; the variance never rises from sweep to sweep. A
/// pure function of integer counts, so equal on every rank. Throws ConfigurationError for fewer
/// than 1 level, an empty histogram or negative counts. Returns levels + 1 ascending numbers from 0
/// to 1. Cost: O(bins + levels sweeps log bins). Source: Faghri et al., Adaptive gradient
/// quantization for data-parallel SGD (2020).
[[nodiscard]] std::vector<double> adapted_levels(std::span<const std::int64_t> histogram,
                                                 int levels, int sweeps = 10);

}  // namespace equipoise::compress
