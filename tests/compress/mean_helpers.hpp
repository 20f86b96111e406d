#pragma once

#include <equipoise/compress/mean.hpp>
#include <equipoise/parallel/random.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace equipoise::compress::testing {

using parallel::Comm;
using partition::Partition;
using Vector = std::vector<double>;

inline std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Contributions of the agents in `hosted`, any rank can make those of any agent.
inline Vector contributions(Range hosted, std::int64_t d, std::int64_t round) {
  Vector rows;
  rows.reserve(at(hosted.size() * d));
  for (std::int64_t m = hosted.begin; m < hosted.end; ++m) {
    const parallel::Draw draw(77, parallel::Purpose::noise, round, m);
    for (std::int64_t i = 0; i < d; ++i) rows.push_back(draw.normal(static_cast<std::uint64_t>(i)));
  }
  return rows;
}

/// Weights 1 : 2 : ... : M, summing to 1.
inline Vector uneven_weights(std::int64_t agents) {
  Vector weights;
  const double total = 0.5 * static_cast<double>(agents * (agents + 1));
  for (std::int64_t m = 1; m <= agents; ++m) weights.push_back(static_cast<double>(m) / total);
  return weights;
}

inline bool same_bits(std::span<const double> a, std::span<const double> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

/// Calls work(comm) on communicators of 1, 2, ... ranks; ranks outside wait.
inline void on_every_size(const std::function<void(const Comm&)>& work) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  for (int size = 1; size <= world.size(); ++size) {
    Comm part = world.split(world.rank() < size ? 0 : 1);
    if (world.rank() < size) work(part);
    part.close();
    world.barrier();
  }
  world.close();
}

/// sum of sent + weighted errors = sum of inputs, coordinate by coordinate, on `comm`.
inline void conserve(const Comm& comm, const MeanSetting& s, int rounds) {
  Mean mean(comm, Partition::uniform(std::ssize(s.weights), comm.size()), s);
  const std::int64_t d = s.dimension;
  Vector out(at(d));
  Vector balance(at(d), 0.0);
  Vector size(at(d), 0.0);
  for (int k = 0; k < rounds; ++k) {
    const Vector rows = contributions(mean.hosted(), d, k);
    mean(k, rows, out);
    for (std::int64_t i = 0; i < d; ++i) {
      if (comm.rank() == 0) balance[at(i)] -= out[at(i)];
      for (std::int64_t a = 0; a < mean.hosted().size(); ++a) {
        const double term = s.weights[at(mean.hosted().begin + a)] * rows[at(a * d + i)];
        balance[at(i)] += term;
        size[at(i)] += std::abs(term);
      }
    }
  }
  for (std::int64_t a = 0; a < mean.hosted().size(); ++a) {
    for (std::int64_t i = 0; i < d; ++i)
      balance[at(i)] -= s.weights[at(mean.hosted().begin + a)] * mean.agent_errors()[at(a * d + i)];
  }
  for (std::size_t i = 0; i < mean.owner_errors().size(); ++i)
    balance[at(mean.owned().begin) + i] -= mean.owner_errors()[i];
  for (Vector* v : {&balance, &size}) {
    MPI_Allreduce(MPI_IN_PLACE, v->data(), static_cast<int>(d), MPI_DOUBLE, MPI_SUM, comm.handle());
  }
  for (std::size_t i = 0; i < balance.size(); ++i) EXPECT_LT(std::abs(balance[i]), 1e-12 * size[i]);
}

}  // namespace equipoise::compress::testing
