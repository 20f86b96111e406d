#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::bilevel {

/// How a stream of noisy directions becomes an estimate.
enum class Estimator { sgd, average, storm, msvr, saga, sarah, page };
Estimator estimator(const std::string& name);
const std::vector<std::string>& estimator_names();

/// One update of an estimate, for all estimators but SAGA, from values at the present and the
/// previous point on the same samples: d <- keep d + now h(t) + previous h(t-1).
struct Blend {
  double keep = 0.0, now = 1.0, previous = 0.0;
};

/// Constants of the estimators.
struct EstimatorConstants {
  double beta = 0.1;    ///< moving average and STORM
  double alpha = 0.2;   ///< MSVR
  double gamma = -1.0;  ///< MSVR; negative takes 1 - alpha
};

/// The update of `kind`; `first` for a stream that has no estimate yet, `full` where the present
/// value is exact (the restart of SARAH and PAGE).
///
///     SGD (0, 1, 0)   average (1 - beta, beta, 0)   STORM (1 - beta, 1, -(1 - beta))
///     MSVR (1 - alpha, alpha + gamma, -gamma)   SARAH, PAGE (1, 1, -1), restarted by (0, 1, 0)
Blend blend(Estimator kind, const EstimatorConstants& constants, bool first, bool full);
/// True if an estimator evaluates the previous point too.
bool looks_back(Estimator kind);

/// d <- keep d + now h + previous h_old; the last is not read where its factor is 0.
void update(const Blend& blend, std::span<const double> h, std::span<const double> h_old,
            std::span<double> d);

}  // namespace equipoise::bilevel
