#include "mean_helpers.hpp"

#include <equipoise/parallel/error.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace equipoise::compress::testing {
namespace {

MeanSetting setting(std::int64_t d, std::int64_t agents, const std::string& codec,
                    const std::string& collective, bool fast = false) {
  MeanSetting s;
  s.dimension = d;
  s.weights = uneven_weights(agents);
  s.codec = codec;
  s.collective = collective;
  s.error_feedback = true;
  s.fast = fast;
  s.seed = 3;
  return s;
}

Mean make(const Comm& comm, const MeanSetting& s) {
  return {comm, Partition::uniform(std::ssize(s.weights), comm.size()), s};
}

/// The results of `rounds` calls, one after the other.
Vector play(const Comm& comm, const MeanSetting& s, int rounds) {
  Mean mean = make(comm, s);
  Vector all, out(at(s.dimension));
  for (int k = 0; k < rounds; ++k) {
    mean(k, contributions(mean.hosted(), s.dimension, k), out);
    all.insert(all.end(), out.begin(), out.end());
  }
  return all;
}

struct Case {
  std::int64_t d, agents, chunks;
};
const std::vector<Case> cases = {{1, 1, 0},  {1, 4, 3},   {2, 3, 2},   {3, 2, 7},   {7, 5, 2},
                                 {64, 4, 1}, {100, 8, 5}, {259, 5, 0}, {700, 3, 11}};

TEST(Collectives, SplitHasTheBitsOfTwoPhaseOnAnyNumberOfRanks) {
  for (const char* codec : {"topk:3", "topk:0.05", "randk:0.1", "natural+topk:0.2", "natural"}) {
    for (const Case& c : cases) {
      MeanSetting s = setting(c.d, c.agents, codec, "two-phase");
      s.chunks = c.chunks;
      const Vector expected = play(Comm(), s, 3);
      s.collective = "split";
      on_every_size([&](const Comm& comm) {
        EXPECT_EQ(make(comm, s).owner_errors().size(), 0U);
        const Vector found = play(comm, s, 3);
        EXPECT_TRUE(std::equal(found.begin(), found.end(), expected.begin(), expected.end()))
            << codec << " d=" << c.d << " M=" << c.agents << " P=" << comm.size();
      });
    }
  }
}

TEST(Collectives, SplitReturnsFewerBytesThanDense) {
  on_every_size([&](const Comm& comm) {
    if (comm.size() == 1) return;
    const MeanSetting s = setting(20000, comm.size(), "topk:0.01", "split");
    Mean mean = make(comm, s);
    Vector out(at(s.dimension));
    mean(0, contributions(mean.hosted(), s.dimension, 0), out);
    // At most 200 entries an agent, 12 bytes each, up and then down.
    EXPECT_LT(comm.max(mean.traffic().received), 2 * 12 * 200 * comm.size() + 400);
    EXPECT_LT(mean.traffic().downlink_per_agent, 8 * s.dimension / 4);
  });
}

/// Fast sums: equal on all ranks, and up to rounding those of the exact two phases.
TEST(Collectives, RecursiveDoublingSumsWhatTwoPhaseSums) {
  for (const char* codec : {"topk:3", "topk:0.5", "randk:0.2", "natural+topk:0.2", "permk"}) {
    for (const Case& c : cases) {
      MeanSetting s = setting(c.d, c.agents, codec, "two-phase");
      s.chunks = c.chunks;
      s.error_feedback = std::string(codec) != "permk";
      const Vector expected = play(Comm(), s, 3);
      s.collective = "recursive-doubling";
      s.fast = true;
      on_every_size([&](const Comm& comm) {
        EXPECT_EQ(make(comm, s).collective(), "recursive-doubling");
        Vector found = play(comm, s, 3);
        Vector first = found;
        comm.broadcast(std::span(first));
        EXPECT_TRUE(same_bits(first, found));
        for (std::size_t i = 0; i < found.size(); ++i) {
          EXPECT_NEAR(found[i], expected[i], 1e-14) << codec << c.d << " " << comm.size();
        }
      });
    }
  }
}

TEST(Collectives, BalancedSplitLosesNothing) {
  for (const std::int64_t agents : {1, 3, 8}) {
    for (const std::int64_t d : {1, 2, 50, 300}) {
      on_every_size([&](const Comm& comm) {
        conserve(comm, setting(d, agents, "topk:0.1", "balanced", true), 150);
      });
    }
  }
}

TEST(Collectives, BalancedSplitReturnsAboutAsManyEntriesAsAnAgentKeeps) {
  on_every_size([&](const Comm& comm) {
    const MeanSetting s = setting(40000, 4, "topk:0.01", "balanced", true);
    Mean mean = make(comm, s);
    Vector out(at(s.dimension));
    for (int k = 0; k < 3; ++k) {
      mean(k, contributions(mean.hosted(), s.dimension, k), out);
      Vector first = out;
      comm.broadcast(std::span(first));
      EXPECT_TRUE(same_bits(first, out));
      const auto kept = std::count_if(out.begin(), out.end(), [](double v) { return v != 0.0; });
      EXPECT_GE(kept, 400);
      EXPECT_LE(kept, 1000);  // a quarter octave more than 400, of 1600
    }
  });
}

TEST(Collectives, BalancedRegionsFollowWhereTheEntriesAre) {
  on_every_size([&](const Comm& comm) {
    if (comm.size() < 3) return;
    // All large entries in the first tenth: with equal regions one rank would receive them all.
    MeanSetting s = setting(50000, comm.size(), "topk:0.02", "balanced", true);
    Mean mean = make(comm, s);
    Vector rows = contributions(mean.hosted(), s.dimension, 0);
    for (std::size_t i = 5000; i < rows.size(); ++i) rows[i] *= 1e-9;
    Vector out(at(s.dimension));
    mean(0, rows, out);
    const double received = static_cast<double>(mean.traffic().received);
    const double most = comm.max(received);
    double sum = received;
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, comm.handle());
    EXPECT_LT(most, 1.5 * sum / comm.size());
  });
}

TEST(Collectives, NanReachesEveryRank) {
  for (const char* name : {"split", "recursive-doubling", "balanced"}) {
    const MeanSetting s = setting(50, 4, "topk:0.2", name, std::string(name) != "split");
    on_every_size([&](const Comm& comm) {
      Mean mean = make(comm, s);
      Vector rows = contributions(mean.hosted(), 50, 0);
      if (mean.hosted().contains(3))
        rows[rows.size() - 20] = std::numeric_limits<double>::infinity();
      Vector out(50);
      mean(0, rows, out);
      EXPECT_TRUE(std::any_of(out.begin(), out.end(), [](double v) { return std::isnan(v); }))
          << name;
    });
  }
}

void refused(const MeanSetting& s, const std::string& part) {
  try {
    make(Comm(), s);
    ADD_FAILURE() << s.codec << " " << s.collective << " was accepted";
  } catch (const ConfigurationError& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Collectives, WhatMakesNoSenseIsRefused) {
  refused(setting(10, 2, "topk:2", "balanced"), "run.reduction=fast");
  refused(setting(10, 2, "topk:2", "recursive-doubling"), "run.reduction=fast");
  refused(setting(10, 2, "natural", "recursive-doubling", true), "sparse codec");
  refused(setting(10, 2, "identity", "balanced", true), "sparse codec");
  refused(setting(10, 2, "topk:2", "shared-mask"), "randk-shared");
  refused(setting(10, 2, "topk:2", "ballanced"), "did you mean balanced");
  MeanSetting s = setting(10, 2, "topk:2", "balanced", true);
  s.error_feedback = false;
  refused(s, "error feedback");
  s = setting(10, 2, "topk:2", "split");
  s.server_codec = "natural";
  refused(s, "no server codec");
  refused(setting(10, 2, "powersgd:2", "two-phase"), "its own exchange");
  for (const char* text :
       {"powersgd", "powersgd:", "powersgd:0", "powersgd:x", "powersgd:2|zstd"}) {
    refused(setting(10, 2, text, "auto"), "powersgd:4");
  }
  s = setting(10, 2, "powersgd:2", "auto");
  s.server_codec = "natural";
  refused(s, "leave method.server_codec out");
}

TEST(LowRank, SameBitsOnAnyNumberOfRanksAndNothingIsLost) {
  for (const Case& c : cases) {
    MeanSetting s = setting(c.d, c.agents, "powersgd:2", "auto");
    s.chunks = c.chunks;
    const Vector expected = play(Comm(), s, 4);
    on_every_size([&](const Comm& comm) {
      EXPECT_TRUE(same_bits(play(comm, s, 4), expected)) << c.d << " " << comm.size();
      if (c.d <= 100) conserve(comm, s, 100);
    });
  }
}

/// Rows of a matrix of rank 2, the same for every agent up to a factor.
Vector rank_two(Range hosted, std::int64_t n, std::int64_t m) {
  Vector rows;
  for (std::int64_t a = hosted.begin; a < hosted.end; ++a) {
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < m; ++j) {
        const auto x = static_cast<double>(i), y = static_cast<double>(j);
        rows.push_back((1.0 + static_cast<double>(a)) *
                       (std::sin(x) * std::cos(2.0 * y) + 0.3 * std::cos(x) * y));
      }
    }
  }
  return rows;
}

TEST(LowRank, AMatrixOfItsRankIsExactAtOnce) {
  on_every_size([&](const Comm& comm) {
    const std::int64_t n = 12;
    const MeanSetting s = setting(n * n, 3, "powersgd:3", "auto");
    Mean mean = make(comm, s);
    EXPECT_EQ(mean.collective(), "low-rank");
    EXPECT_TRUE(mean.device().needs_error_feedback);
    EXPECT_EQ(mean.device().beta, 144.0 / (3 * 24));
    const Vector rows = rank_two(mean.hosted(), n, n);
    Vector out(at(n * n)), exact(at(n * n));
    mean.dense(rows, exact);
    mean.set_traffic({});
    mean(0, rows, out);
    for (std::size_t i = 0; i < out.size(); ++i) EXPECT_NEAR(out[i], exact[i], 1e-12);
    for (const double e : mean.agent_errors()) EXPECT_NEAR(e, 0.0, 1e-12);
    // Two means of 36 values.
    EXPECT_EQ(comm.max(mean.traffic().uplink_per_agent), 8 * 72);
    EXPECT_EQ(mean.traffic().rounds, 1);
  });
}

TEST(LowRank, ZeroStaysZeroAndTheDirectionsComeBack) {
  on_every_size([&](const Comm& comm) {
    const MeanSetting s = setting(144, 3, "powersgd:3", "auto");
    Mean mean = make(comm, s);
    Vector rows(at(mean.hosted().size() * 144), 0.0), out(144, 1.0);
    mean(0, rows, out);
    for (const double v : out) EXPECT_EQ(v, 0.0);
    rows = rank_two(mean.hosted(), 12, 12);
    Vector exact(144);
    mean.dense(rows, exact);
    mean(1, rows, out);
    for (std::size_t i = 0; i < out.size(); ++i) EXPECT_NEAR(out[i], exact[i], 1e-12);
  });
}

/// A constant input: the error feedback and the warm start let the sum of what was sent approach
/// it.
TEST(LowRank, ErrorFeedbackMakesUpForTheRank) {
  on_every_size([&](const Comm& comm) {
    const MeanSetting s = setting(400, 2, "powersgd:1", "auto");
    Mean mean = make(comm, s);
    const Vector rows = contributions(mean.hosted(), 400, 0);
    Vector out(400), exact(400), sum(400, 0.0);
    mean.dense(rows, exact);
    constexpr int rounds = 400;
    for (int k = 0; k < rounds; ++k) {
      mean(k, rows, out);
      for (std::size_t i = 0; i < out.size(); ++i) sum[i] += out[i] / rounds;
    }
    double error = 0.0, size = 0.0;
    for (std::size_t i = 0; i < sum.size(); ++i) {
      error += (sum[i] - exact[i]) * (sum[i] - exact[i]);
      size += exact[i] * exact[i];
    }
    EXPECT_LT(error, 0.02 * size);
  });
}

}  // namespace
}  // namespace equipoise::compress::testing
