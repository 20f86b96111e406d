#include "mean_helpers.hpp"

#include <equipoise/parallel/error.hpp>

#include <gtest/gtest.h>

#include <limits>
#include <memory>

namespace equipoise::compress::testing {
namespace {

MeanSetting setting(std::int64_t d, std::int64_t agents, const std::string& codec = "identity",
                    const std::string& server = "identity") {
  MeanSetting s;
  s.dimension = d;
  s.weights = uneven_weights(agents);
  s.codec = codec;
  s.server_codec = server;
  s.seed = 3;
  return s;
}

Mean make(const Comm& comm, const MeanSetting& s) {
  return {comm, Partition::uniform(std::ssize(s.weights), comm.size()), s};
}

/// What `rounds` calls give and leave behind.
struct Result {
  Vector outs, agent_errors, owner_errors;
  Range hosted, owned;
};

Result play(const Comm& comm, const MeanSetting& s, int rounds, bool shifted = false) {
  Mean mean = make(comm, s);
  Result result;
  // One double further on, a buffer is aligned to 8 bytes only.
  const std::size_t shift = shifted ? 1 : 0;
  for (int k = 0; k < rounds; ++k) {
    Vector rows = contributions(mean.hosted(), s.dimension, k);
    rows.insert(rows.begin(), shift, 0.0);
    Vector out(at(s.dimension) + shift, -1.0);
    mean(k, std::span<const double>(rows).subspan(shift), std::span(out).subspan(shift));
    result.outs.insert(result.outs.end(), out.begin() + static_cast<std::ptrdiff_t>(shift),
                       out.end());
  }
  result.agent_errors.assign(mean.agent_errors().begin(), mean.agent_errors().end());
  result.owner_errors.assign(mean.owner_errors().begin(), mean.owner_errors().end());
  result.hosted = mean.hosted();
  result.owned = mean.owned();
  return result;
}

/// The part of a result that a rank holds equals that of one rank alone.
bool agrees(const Result& part, const Result& whole, std::int64_t d) {
  const auto piece = [](const Vector& v, std::int64_t begin, std::int64_t size) {
    return v.empty() ? std::span<const double>() : std::span(v).subspan(at(begin), at(size));
  };
  return same_bits(part.outs, whole.outs) &&
         same_bits(part.agent_errors,
                   piece(whole.agent_errors, part.hosted.begin * d, part.hosted.size() * d)) &&
         same_bits(part.owner_errors,
                   piece(whole.owner_errors, part.owned.begin, part.owned.size()));
}

struct Case {
  std::int64_t d, agents, chunks;
};
const std::vector<Case> cases = {{1, 1, 0},   {1, 3, 0},   {1, 4, 3},   {2, 1, 2},  {3, 2, 7},
                                 {7, 3, 7},   {7, 5, 2},   {64, 4, 1},  {65, 3, 0}, {100, 8, 5},
                                 {100, 2, 3}, {259, 5, 0}, {700, 3, 11}};

TEST(Mean, IdentityIsTheWeightedSumInAgentOrderToTheLastBit) {
  for (const Case& c : cases) {
    MeanSetting s = setting(c.d, c.agents);
    s.chunks = c.chunks;
    const Vector rows = contributions({0, c.agents}, c.d, 0);
    Vector expected(at(c.d), 0.0);
    for (std::int64_t m = 0; m < c.agents; ++m) {
      for (std::int64_t i = 0; i < c.d; ++i) {
        const double term = s.weights[at(m)] * rows[at(m * c.d + i)];
        expected[at(i)] = expected[at(i)] + term;
      }
    }
    on_every_size([&](const Comm& comm) {
      EXPECT_TRUE(same_bits(play(comm, s, 1).outs, expected)) << c.d << " " << c.agents;
      Mean mean = make(comm, s);
      Vector out(at(c.d));
      mean.dense(contributions(mean.hosted(), c.d, 0), out);
      EXPECT_TRUE(same_bits(out, expected));
    });
  }
}

TEST(Mean, IdentityOfLongVectorsWithManySegments) {
  MeanSetting s = setting(150001, 3);
  s.chunks = 40;
  const Result alone = play(Comm(), s, 1);
  on_every_size([&](const Comm& comm) {
    EXPECT_TRUE(agrees(play(comm, s, 1), alone, s.dimension));
    EXPECT_TRUE(agrees(play(comm, s, 1, true), alone, s.dimension));
  });
}

struct Pair {
  const char* device;
  const char* server;
  bool feedback;
};
const std::vector<Pair> pairs = {{"natural", "identity", false},
                                 {"natural", "natural", false},
                                 {"identity", "natural", false},
                                 {"qsgd:7", "qsgd:7", false},
                                 {"randk:0.3", "identity", false},
                                 {"randk-shared:0.3", "identity", false},
                                 {"randk-shared:2", "natural", false},
                                 {"permk", "identity", false},
                                 {"permk:full", "natural", false},
                                 {"topk:0.2", "identity", true},
                                 {"topk:2", "topk:0.5", true},
                                 {"threshold:0.5", "threshold:0.5", true},
                                 {"sign", "sign", true},
                                 {"randk-shared:0.5", "identity", true},
                                 {"natural+topk:0.2", "fp16", true},
                                 {"topk:0.2|zstd", "natural|zstd", true},
                                 {"induced:topk:0.2+randk:0.2", "fp32", false}};

TEST(Mean, SameBitsOnAnyNumberOfRanks) {
  std::size_t number = 0;
  for (const Pair& pair : pairs) {
    for (const Case& c : cases) {
      // Every pair meets every second case, every case every second pair.
      if (++number % 2 == 0) continue;
      MeanSetting s = setting(c.d, c.agents, pair.device, pair.server);
      s.chunks = c.chunks;
      s.error_feedback = pair.feedback;
      const Result alone = play(Comm(), s, 3);
      on_every_size([&](const Comm& comm) {
        if (comm.size() == 1) return;
        EXPECT_TRUE(agrees(play(comm, s, 3), alone, c.d))
            << pair.device << " / " << pair.server << " d=" << c.d << " M=" << c.agents
            << " S=" << c.chunks << " P=" << comm.size();
      });
    }
  }
}

TEST(Mean, SameBitsOfLongCompressedVectors) {
  for (const Pair& pair : {Pair{"natural", "natural", false}, Pair{"topk:0.05", "topk:0.1", true},
                           Pair{"randk-shared:0.9", "identity", false}}) {
    MeanSetting s = setting(120007, 3, pair.device, pair.server);
    s.chunks = 9;
    s.error_feedback = pair.feedback;
    const Result alone = play(Comm(), s, 2);
    on_every_size([&](const Comm& comm) {
      EXPECT_TRUE(agrees(play(comm, s, 2), alone, s.dimension)) << pair.device << comm.size();
    });
  }
}

TEST(Mean, BuffersShiftedByEightBytesGiveTheSameBits) {
  for (const Pair& pair : pairs) {
    MeanSetting s = setting(203, 3, pair.device, pair.server);
    s.error_feedback = pair.feedback;
    on_every_size([&](const Comm& comm) {
      EXPECT_TRUE(same_bits(play(comm, s, 2, true).outs, play(comm, s, 2).outs)) << pair.device;
    });
  }
}

TEST(Mean, AllgathervAndTwoPhaseGiveTheSameValues) {
  for (const char* codec : {"randk:0.3", "permk", "permk:full", "topk:3", "randk-shared:0.3"}) {
    for (const Case& c : cases) {
      MeanSetting s = setting(c.d, c.agents, codec);
      s.chunks = c.chunks;
      s.error_feedback = true;
      s.collective = "two-phase";
      const Result expected = play(Comm(), s, 2);
      MeanSetting other = s;
      other.collective = "allgatherv";
      on_every_size([&](const Comm& comm) {
        if (comm.size() == 2) return;
        EXPECT_EQ(make(comm, s).collective(), "two-phase");
        EXPECT_EQ(make(comm, other).collective(), "allgatherv");
        EXPECT_TRUE(agrees(play(comm, s, 2), expected, c.d)) << codec << " " << c.d;
        EXPECT_TRUE(agrees(play(comm, other, 2), expected, c.d)) << codec << " " << c.d;
      });
    }
  }
}

TEST(Mean, FastAgreesToRounding) {
  MeanSetting s = setting(300, 5);
  const Vector exact = play(Comm(), s, 1).outs;
  s.fast = true;
  on_every_size([&](const Comm& comm) {
    const Vector fast = play(comm, s, 1).outs;
    for (std::size_t i = 0; i < exact.size(); ++i) EXPECT_NEAR(fast[i], exact[i], 1e-15);
  });
}

TEST(Mean, ErrorFeedbackLosesNothing) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  for (const Pair& pair :
       {Pair{"topk:3", "identity", true}, Pair{"topk:2", "topk:0.5", true},
        Pair{"sign", "sign", true}, Pair{"randk-unscaled:5", "identity", true}}) {
    MeanSetting s = setting(20, 3, pair.device, pair.server);
    s.chunks = 3;
    s.error_feedback = true;
    conserve(world, s, 1000);
  }
  world.close();
}

TEST(Mean, PermkOfEqualInputsIsExact) {
  for (const std::int64_t agents : {1, 2, 3, 4, 8}) {
    for (const char* codec : {"permk", "permk:full"}) {
      MeanSetting s = setting(32, agents, codec);
      s.weights.assign(at(agents), 1.0 / static_cast<double>(agents));
      const Vector v = contributions({0, 1}, 32, 5);
      on_every_size([&](const Comm& comm) {
        Mean mean = make(comm, s);
        Vector rows;
        for (std::int64_t a = 0; a < mean.hosted().size(); ++a)
          rows.insert(rows.end(), v.begin(), v.end());
        Vector out(32);
        for (int k = 0; k < 5; ++k) {
          mean(k, rows, out);
          for (std::size_t i = 0; i < v.size(); ++i) {
            if (agents == 3) {
              EXPECT_NEAR(out[i], v[i], 1e-15 * std::abs(v[i]));
            } else {
              EXPECT_EQ(out[i], v[i]) << codec << agents;
            }
          }
        }
      });
    }
  }
}

TEST(Mean, NaturalBothWaysIsUnbiasedAndBoundsItsError) {
  MeanSetting s = setting(40, 4, "natural", "natural");
  on_every_size([&](const Comm& comm) {
    if (comm.size() != 2 && comm.size() != 3) return;
    Mean mean = make(comm, s);
    const Vector rows = contributions(mean.hosted(), 40, 0);
    const Vector exact = play(Comm(), setting(40, 4), 1).outs;
    Vector out(40);
    Vector sum(40, 0.0);
    Vector squares(40, 0.0);
    constexpr int n = 2000;
    for (int k = 0; k < n; ++k) {
      mean(k, rows, out);
      for (std::size_t i = 0; i < 40; ++i) {
        sum[i] += out[i];
        squares[i] += out[i] * out[i];
      }
    }
    for (std::size_t i = 0; i < 40; ++i) {
      const double average = sum[i] / n;
      const double variance = squares[i] / n - average * average;
      EXPECT_LT(std::abs(average - exact[i]), 5.0 * std::sqrt(variance / n) + 1e-15) << i;
    }
  });
}

TEST(Mean, ServedValuesArePowersOfTwo) {
  on_every_size([&](const Comm& comm) {
    for (const double x : play(comm, setting(90, 2, "identity", "natural"), 1).outs) {
      int exponent = 0;
      EXPECT_EQ(std::abs(std::frexp(x, &exponent)), 0.5) << x;
    }
  });
}

TEST(Mean, ResetForgetsAndRescaleScales) {
  MeanSetting s = setting(30, 3, "topk:2", "topk:0.3");
  s.error_feedback = true;
  on_every_size([&](const Comm& comm) {
    Mean mean = make(comm, s);
    Vector out(30);
    const Vector rows = contributions(mean.hosted(), 30, 0);
    mean(0, rows, out);
    const Vector first = out;
    Vector agent(mean.agent_errors().begin(), mean.agent_errors().end());
    Vector owner(mean.owner_errors().begin(), mean.owner_errors().end());
    mean.rescale(0.25);
    for (std::size_t i = 0; i < agent.size(); ++i)
      EXPECT_EQ(mean.agent_errors()[i], 0.25 * agent[i]);
    for (std::size_t i = 0; i < owner.size(); ++i)
      EXPECT_EQ(mean.owner_errors()[i], 0.25 * owner[i]);
    mean.reset();
    mean(0, rows, out);
    EXPECT_TRUE(same_bits(out, first));
  });
}

/// Keeps the fields of one object and gives them to another.
class Tape : public state::FieldVisitor {
 public:
  void rewind() { reading_ = true; }
  void scalar(std::string_view, double&) override { FAIL(); }
  void scalar(std::string_view, std::int64_t&) override { FAIL(); }
  void replicated(std::string_view, Vector&) override { FAIL(); }
  void replicated(std::string_view, std::vector<std::int64_t>&) override { FAIL(); }
  void partitioned(std::string_view name, const Partition& rows, int part, std::int64_t width,
                   Vector& data) override {
    EXPECT_EQ(std::ssize(data), rows.range(part).size() * width) << name;
    names += std::string(name) + " ";
    if (reading_) {
      data = kept_[next_++];
    } else {
      kept_.push_back(data);
    }
  }
  void partitioned(std::string_view, const Partition&, int, std::int64_t,
                   std::vector<std::int64_t>&) override {
    FAIL();
  }
  void ragged(std::string_view, const Partition&, int, std::vector<Vector>&) override { FAIL(); }
  void ragged(std::string_view, const Partition&, int,
              std::vector<std::vector<std::int64_t>>&) override {
    FAIL();
  }
  std::string names;

 private:
  bool reading_ = false;
  std::size_t next_ = 0;
  std::vector<Vector> kept_;
};

TEST(Mean, ItsFieldsAreAllItRemembers) {
  MeanSetting s = setting(30, 3, "topk:2", "topk:0.3");
  s.error_feedback = true;
  on_every_size([&](const Comm& comm) {
    Mean one = make(comm, s);
    Vector out(30);
    for (int k = 0; k < 4; ++k) one(k, contributions(one.hosted(), 30, k), out);
    Tape tape;
    one.fields(tape);
    EXPECT_EQ(tape.names, "mean/agent_errors mean/owner_errors ");
    tape.rewind();
    Mean other = make(comm, s);
    other.fields(tape);
    Vector continued(30);
    one(4, contributions(one.hosted(), 30, 4), out);
    other(4, contributions(one.hosted(), 30, 4), continued);
    EXPECT_TRUE(same_bits(out, continued));
  });
}

TEST(Mean, NanInOneContributionReachesEveryRank) {
  for (const Pair& pair : pairs) {
    for (const double bad :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
      MeanSetting s = setting(50, 4, pair.device, pair.server);
      s.error_feedback = pair.feedback;
      on_every_size([&](const Comm& comm) {
        Mean mean = make(comm, s);
        Vector rows = contributions(mean.hosted(), 50, 0);
        if (mean.hosted().contains(3)) rows[rows.size() - 20] = bad;
        Vector out(50);
        mean(0, rows, out);
        bool found = false;
        for (const double x : out) found = found || std::isnan(x) || std::isinf(x);
        EXPECT_TRUE(found) << pair.device << " / " << pair.server << " P=" << comm.size();
      });
    }
  }
}

std::string refusal(const MeanSetting& s) {
  try {
    make(Comm(), s);
  } catch (const ConfigurationError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Mean, RefusesWhatMakesNoSense) {
  EXPECT_NE(refusal(setting(10, 2, "identity", "permk")).find("server_codec = permk"),
            std::string::npos);
  EXPECT_NE(refusal(setting(10, 2, "identity", "randk-shared:3")).find("server_codec"),
            std::string::npos);
  MeanSetting s = setting(10, 2, "natural");
  s.collective = "allgatherv";
  EXPECT_NE(refusal(s).find("allgatherv needs a sparse codec"), std::string::npos);
  s.collective = "ring";
  EXPECT_NE(refusal(s).find("method.collective = ring"), std::string::npos);
  EXPECT_NE(refusal(setting(10, 2, "topk:1.5")).find("topk"), std::string::npos);
  MeanSetting short_weights = setting(10, 2);
  EXPECT_THROW(Mean(Comm(), Partition::uniform(3, 1), short_weights), ConfigurationError);
  EXPECT_THROW(Mean(Comm(), Partition::uniform(2, 2), short_weights), ConfigurationError);
}

}  // namespace
}  // namespace equipoise::compress::testing
