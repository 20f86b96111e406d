#pragma once

#include <equipoise/compress/mean.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/parallel/virtual_ranks.hpp>

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace equipoise::compress {

inline std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// out += weight x, or out = weight x for the first term of a sum.
inline void add_weighted(double weight, std::span<const double> x, bool first,
                         std::span<double> out) {
  const double* in = x.data();
  double* to = out.data();
  const std::size_t n = out.size();
  if (first) {
    for (std::size_t i = 0; i < n; ++i) to[i] = weight * in[i];
  } else {
    for (std::size_t i = 0; i < n; ++i) to[i] += weight * in[i];
  }
}

/// Who would host agents and own chunks if there were `ranks` of them.
struct Census {
  parallel::VirtualRanks* ranks;
  partition::Partition agents;
  partition::Layout layout;

  [[nodiscard]] int size() const { return ranks->size(); }
};

/// What the collectives of one mean share: who takes part, codecs and their state, and the exchange
/// in progress.
struct Round {
  parallel::Comm comm;
  partition::Partition agents;
  MeanSetting setting;
  partition::Layout layout;
  Range hosted;
  std::shared_ptr<const Codec> device;  ///< null for identity
  std::shared_ptr<const Codec> server;  ///< constants for the whole vector; null for identity
  parallel::Traffic traffic;
  std::optional<Census> census;      ///< where virtual ranks are counted
  std::vector<double> agent_errors;  ///< [hosted x d] with error feedback, else empty
  std::vector<double> owner_errors;  ///< [owned] with error feedback and a server codec

  std::int64_t iteration = 0;
  std::optional<parallel::Draw> draw, server_draw;
  std::vector<Selection> selections;  ///< of the hosted agents
  std::vector<std::int64_t> uplink;   ///< bytes of the hosted agents
  std::int64_t downlink = 0;
  std::exception_ptr failure;  ///< the first of this round on this rank

  [[nodiscard]] std::int64_t dimension() const { return setting.dimension; }
  [[nodiscard]] double weight(std::int64_t agent) const { return setting.weights[at(agent)]; }
  [[nodiscard]] std::span<const double> row(std::span<const double> rows, std::int64_t a) const {
    return rows.subspan(at(a * dimension()), at(dimension()));
  }
  [[nodiscard]] std::span<double> error_row(std::int64_t a) {
    return std::span(agent_errors).subspan(at(a * dimension()), at(dimension()));
  }

  /// Runs work that a damaged message can fail. The messages of the round go on, so that no rank
  /// waits for this one; the end of the round makes the failure known to all.
  template <class Work>
  void attempt(Work&& work) {
    try {
      std::forward<Work>(work)();
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
  }
};

}  // namespace equipoise::compress
