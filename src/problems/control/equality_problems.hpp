#pragma once

#include <equipoise/control/equality.hpp>
#include <equipoise/partition/distributed_dataset.hpp>

#include <memory>

namespace equipoise::problems {

/// min 1/2 (|w - w_true|^2 + weight |z|^2) subject to Lap_h w - cubic w^3 + z = 0 on N x N nodes,
/// x = (w, z): with weight 0.1 and cubic 0 the PDE test of Hong, Na, Mahoney and Kolar.
[[nodiscard]] std::shared_ptr<control::EqualityProblem> grid_equality(const parallel::Comm& comm,
                                                                      std::int64_t nodes,
                                                                      double weight, double cubic);

/// min mean of log(1 + exp(-label a^T x)) subject to C x = d and |x|^2 = 1, C and d Gaussian (over
/// the root of the number of features), `rows` rows. The smaller label counts as -1.
[[nodiscard]] std::shared_ptr<control::EqualityProblem> logistic_equality(
    const parallel::Comm& comm, std::shared_ptr<const partition::DistributedDataset> data,
    std::int64_t rows, std::int64_t seed);

}  // namespace equipoise::problems
