#pragma once

#include <equipoise/problems/vi/complementarity.hpp>

#include <cstdint>

namespace equipoise::problems {

/// Kelly's auction of one divisible good among n bidders: bid z_i, share z_i / sum z, value
/// a_i times the share, a_i uniform in (1, 2). F_i = 1 - a_i (S - z_i) / S^2, S = sum z. The
/// equilibrium is known: S = (k - 1) / sum 1/a_i over the k bidders with a_i > S, z_i = S -
/// S^2/a_i.
[[nodiscard]] Complementarity kelly_auction(std::int64_t bidders, std::int64_t seed);

/// Linear Fisher market of n buyers and n goods, as the conditions of the program of Eisenberg and
/// Gale (1959): z = (x, p), F_x = p_j - B_i u_ij / (u_i'x_i), F_p = 1 - sum_i x_ij; budgets and
/// utilities uniform in (1, 2). `check` of the solution: prices sum to the budgets.
[[nodiscard]] Complementarity fisher_market(std::int64_t buyers, std::int64_t seed);

/// Cournot's game of n firms under one shared capacity K: profit (a - b Q) q_i - c_i q_i, Q <= K,
/// the variational equilibrium, where all firms pay the same multiplier: z = (q, m), F_i = c_i - a
/// + b (Q + q_i) + m, F_m = K - Q. a = 10, b = 1, c_i uniform in (1, 2), K half of what the firms
/// would supply. Known: q_i = max(0, t - c_i) / b with the t at which Q = K, and m = a - b K - t.
[[nodiscard]] Complementarity shared_capacity(std::int64_t firms, std::int64_t seed);

}  // namespace equipoise::problems
