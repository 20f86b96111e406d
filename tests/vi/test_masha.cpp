#include "support.hpp"

#include <equipoise/compress/codec.hpp>

#include <Eigen/Dense>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace equipoise::vi {
namespace {

/// Two agents in R^3: F_m(z) = J_m z + c_m, monotone, perhaps on a box.
template <bool boxed>
struct Tiny {
  Eigen::Matrix3d j[2];
  Eigen::Vector3d c[2];

  Tiny() {
    j[0] << 0.5, 2.0, -1.0, -2.0, 0.7, 0.3, 1.0, -0.3, 0.4;
    j[1] << 0.9, -1.0, 0.6, 1.0, 0.2, 2.5, -0.6, -2.5, 0.8;
    c[0] << 1.0, -2.0, 0.5;
    c[1] << -1.2, 0.4, -0.7;
  }
  [[nodiscard]] std::int64_t dimension() const { return 3; }
  [[nodiscard]] std::int64_t agents() const { return 2; }
  void apply(std::int64_t m, std::span<const double> z, std::span<double> out) const {
    Eigen::Map<Eigen::Vector3d>(out.data()) =
        j[m] * Eigen::Map<const Eigen::Vector3d>(z.data()) + c[m];
  }
  void prox(double, std::span<double> z) const requires boxed {
    for (double& x : z) x = std::clamp(x, -0.4, 0.5);
  }

  [[nodiscard]] Eigen::Vector3d mean(const Eigen::Vector3d& z) const {
    return 0.5 * (j[0] * z + c[0] + j[1] * z + c[1]);
  }
  [[nodiscard]] Eigen::Vector3d project(Eigen::Vector3d z) const {
    if constexpr (boxed) prox(1.0, {z.data(), 3});
    return z;
  }
  [[nodiscard]] Eigen::Vector3d solution() const {
    Eigen::Vector3d z = Eigen::Vector3d::Zero();
    for (int k = 0; k < 5000; ++k) {
      const Eigen::Vector3d y = project(z - 0.2 * mean(z));
      z = project(z - 0.2 * mean(y));
    }
    return z;
  }
};

/// Puts vectors into the fields of an object and leaves the others alone.
class Put : public state::FieldMap {
 public:
  explicit Put(std::map<std::string, Vector, std::less<>> values) : values_(std::move(values)) {}
  void replicated(std::string_view name, Vector& data) override { put(name, data); }
  void partitioned(std::string_view name, const Partition&, int, std::int64_t,
                   Vector& data) override {
    put(name, data);
  }

 private:
  void put(std::string_view name, Vector& data) const {
    const auto found = values_.find(name);
    if (found != values_.end()) data = found->second;
  }
  std::map<std::string, Vector, std::less<>> values_;
};

/// z+ of one MASHA1 step with RandK, k = 1, from (z, w), for each of the nine pairs of masks, which
/// are equally likely. Seeds are tried until every pair has come.
template <class Problem>
std::map<std::pair<std::int64_t, std::int64_t>, Eigen::Vector3d> outcomes(const Problem& problem,
                                                                          const Eigen::Vector3d& z,
                                                                          const Eigen::Vector3d& w,
                                                                          double step, double p) {
  const auto codec = compress::make_codec("randk:1", {3, 2});
  std::map<std::pair<std::int64_t, std::int64_t>, Eigen::Vector3d> result;
  const auto vec = [](const Eigen::Vector3d& v) { return Vector(v.begin(), v.end()); };
  Vector by_agent;
  for (int m = 0; m < 2; ++m) {
    const Eigen::Vector3d f = problem.j[m] * w + problem.c[m];
    by_agent.insert(by_agent.end(), f.begin(), f.end());
  }
  for (std::uint64_t seed = 0; seed < 500 && result.size() < 9; ++seed) {
    std::int64_t kept[2];
    for (std::int64_t m = 0; m < 2; ++m) {
      compress::Selection selection;
      const parallel::Draw draw(seed, parallel::Purpose::mask, 0, m);
      codec->prepare(Vector{1.0, 1.0, 1.0}, draw, m, selection);
      kept[m] = selection.index.at(0);
    }
    if (result.count({kept[0], kept[1]}) > 0) continue;
    state::Config config;
    config.set("method.step", fmt::format("{:.17g}", step));
    config.set("method.p", fmt::format("{:.17g}", p));
    config.set("method.codec", "randk:1");
    const auto method =
        make_method("masha1", setting_of(Comm(), "residual", seed), ProblemView(problem), config);
    Put put({{"z", vec(z)},
             {"w", vec(w)},
             {"operator_at_w", vec(problem.mean(w))},
             {"agents_at_w", by_agent}});
    method->fields(put);
    method->step();
    const Vector next = field(*method, "z");
    result[{kept[0], kept[1]}] = Eigen::Map<const Eigen::Vector3d>(next.data());
  }
  return result;
}

double norm2(const Eigen::Matrix3d& j) {
  return Eigen::JacobiSVD<Eigen::Matrix3d>(j).singularValues()(0);
}

/// gamma = sqrt(p) / Cq with Cq^2 = (q - 1)/M Lt^2 + L^2 and q = d/k = 3 (section 6.1).
template <class Problem>
double theory_step(const Problem& problem, double p) {
  const double l0 = norm2(problem.j[0]);
  const double l1 = norm2(problem.j[1]);
  const double l = norm2(0.5 * (problem.j[0] + problem.j[1]));
  return std::sqrt(p) / std::sqrt(2.0 / 2.0 * 0.5 * (l0 * l0 + l1 * l1) + l * l);
}

const std::vector<std::pair<Eigen::Vector3d, Eigen::Vector3d>> places = {
    {{0.3, -0.2, 0.5}, {-0.1, 0.4, 0.2}},
    {{0.5, -0.4, -0.4}, {0.5, -0.4, -0.4}},
    {{-0.4, 0.1, 0.0}, {0.5, -0.4, 0.5}},
};

/// E V+ <= V with V = (1-p) norm(z - z*)^2 + norm(w - z*)^2, over all masks and the coin.
template <class Problem>
void lyapunov() {
  const Problem problem;
  const Eigen::Vector3d star = problem.solution();
  EXPECT_LT((star - problem.project(star - problem.mean(star))).norm(), 1e-12);
  EXPECT_GT(problem.mean(problem.project({0.0, 0.0, 0.0})).norm(), 0.1);
  for (const double p : {0.1, 0.3, 0.7}) {
    const double step = theory_step(problem, p);
    for (const auto& [z, w] : places) {
      const auto next = outcomes(problem, z, w, step, p);
      EXPECT_EQ(next.size(), 9U);
      double expected = 0.0;
      for (const auto& [masks, zp] : next) {
        // The coin copies z+ to w with probability p.
        expected += ((zp - star).squaredNorm() + (1.0 - p) * (w - star).squaredNorm()) / 9.0;
      }
      const double before = (1.0 - p) * (z - star).squaredNorm() + (w - star).squaredNorm();
      EXPECT_LE(expected, before) << "p = " << p;
      EXPECT_GT(expected, 0.0);
    }
  }
}

TEST(Masha1, TheExpectedLyapunovFunctionFalls) { lyapunov<Tiny<false>>(); }
TEST(Masha1, TheExpectedLyapunovFunctionFallsOnABox) { lyapunov<Tiny<true>>(); }

// E norm(z+-u)^2 = (1-p) norm(z-u)^2 + p norm(w-u)^2 - (1-p) norm(z-zh)^2 - p norm(w-zh)^2
//                  - 2 g <F(zh), zh-u> + g^2 E norm(G)^2, exactly, at any u.
TEST(Masha1, OneStepIdentity) {
  const Tiny<false> problem;
  for (const double p : {0.2, 0.6}) {
    for (const auto& [z, w] : places) {
      const double step = 0.17;
      const Eigen::Vector3d half = (1.0 - p) * z + p * w - step * problem.mean(w);
      const auto next = outcomes(problem, z, w, step, p);
      EXPECT_EQ(next.size(), 9U);
      for (const Eigen::Vector3d& u :
           {Eigen::Vector3d(0.0, 0.0, 0.0), Eigen::Vector3d(2.0, -1.0, 0.7)}) {
        double left = 0.0;
        double second = 0.0;
        for (const auto& [masks, zp] : next) {
          left += (zp - u).squaredNorm() / 9.0;
          second += ((half - zp) / step).squaredNorm() / 9.0;
        }
        const double right = (1.0 - p) * (z - u).squaredNorm() + p * (w - u).squaredNorm() -
                             (1.0 - p) * (z - half).squaredNorm() - p * (w - half).squaredNorm() -
                             2.0 * step * problem.mean(half).dot(half - u) + step * step * second;
        EXPECT_NEAR(left, right, 1e-12 * std::max(1.0, std::abs(left)));
      }
    }
  }
}

/// F and the weighted mean of errors of a game on one rank.
Vector mean_operator(const DenseGame& game, const Vector& z) {
  Vector sum(z.size(), 0.0);
  Vector out(z.size());
  for (std::int64_t m = 0; m < game.agents(); ++m) {
    game.apply(m, z, out);
    for (std::size_t i = 0; i < z.size(); ++i) sum[i] += out[i] / double(game.agents());
  }
  return sum;
}

Vector mean_error(state::Stateful& method, std::size_t d) {
  const Vector agents = field(method, "mean/agent_errors");
  Vector e = field(method, "mean/owner_errors");
  for (std::size_t i = 0; i < agents.size(); ++i)
    e[i % d] += agents[i] / static_cast<double>(agents.size() / d);
  return e;
}

// z+ - E+ = zh - E - g (F(zh) - F(w)) with E = mean e_m + e (section 6.3).
TEST(Masha2, Identity) {
  const DenseGame game = game_of(Comm(), small_game());
  auto config = config_of(
      {"method.step=0.003", "method.p=0.2", "method.codec=topk:3", "method.server_codec=topk:0.4"});
  const auto method = make_method("masha2", setting_of(Comm()), ProblemView(game), config);
  for (int k = 0; k < 200; ++k) {
    const Vector z = field(*method, "z");
    const Vector w = field(*method, "w");
    const Vector at_w = mean_operator(game, w);
    const Vector e = mean_error(*method, 30);
    Vector half(30);
    for (std::size_t i = 0; i < 30; ++i) half[i] = 0.8 * z[i] + 0.2 * w[i] - 0.003 * at_w[i];
    const Vector at_half = mean_operator(game, half);
    method->step();
    const Vector next = field(*method, "z");
    const Vector e_next = mean_error(*method, 30);
    double scale = 0.0;
    for (std::size_t i = 0; i < 30; ++i) scale = std::max(scale, std::abs(half[i]));
    for (std::size_t i = 0; i < 30; ++i) {
      EXPECT_NEAR(next[i] - e_next[i], half[i] - e[i] - 0.003 * (at_half[i] - at_w[i]),
                  1e-12 * scale);
    }
  }
}

void expect_near(const Vector& a, const Vector& b, double relative) {
  double scale = 0.0;
  for (const double x : a) scale = std::max(scale, std::abs(x));
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], relative * scale);
}

TEST(Masha2, WithoutCompressionItIsMasha1) {
  const DenseGame game = game_of(Comm(), small_game());
  auto one = config_of({"method.step=0.02", "method.p=0.2", "method.codec=identity"});
  auto two = one;
  const auto masha1 = make_method("masha1", setting_of(Comm()), ProblemView(game), one);
  const auto masha2 = make_method("masha2", setting_of(Comm()), ProblemView(game), two);
  for (int k = 0; k < 200; ++k) {
    masha1->step();
    masha2->step();
  }
  expect_near(field(*masha1, "z"), field(*masha2, "z"), 1e-12);
  expect_near(field(*masha1, "w"), field(*masha2, "w"), 1e-12);
}

TEST(Masha1, WithASnapshotEveryStepItIsExtragradient) {
  const DenseGame game = game_of(Comm(), small_game());
  auto one = config_of({"method.step=0.04", "method.p=1", "method.codec=identity"});
  auto two = config_of({"method.step=0.04"});
  const auto masha = make_method("masha1", setting_of(Comm()), ProblemView(game), one);
  const auto plain = make_method("extragradient", setting_of(Comm()), ProblemView(game), two);
  for (int k = 0; k < 100; ++k) {
    masha->step();
    plain->step();
    EXPECT_NEAR(masha->report().residual, plain->report().residual,
                1e-12 * plain->report().residual);
  }
  expect_near(field(*masha, "z"), field(*plain, "z"), 1e-12);
}

// The number of snapshots lies within 4 sigma of p n.
TEST(Masha1, SnapshotsComeWithProbabilityP) {
  const DenseGame game = game_of(Comm(), small_game(4, 2));
  auto config = config_of({"method.step=0.001", "method.p=0.15", "method.codec=randk:2"});
  const auto method = make_method("masha1", setting_of(Comm()), ProblemView(game), config);
  const int n = 4000;
  int snapshots = 0;
  for (int k = 0; k < n; ++k) {
    method->step();
    snapshots += method->report().fresh ? 1 : 0;
  }
  EXPECT_LT(std::abs(snapshots - 0.15 * n), 4.0 * std::sqrt(n * 0.15 * 0.85));
}

TEST(Masha, RefusesBiasedCodecsAndConstraints) {
  const Tiny<true> boxed;
  const Tiny<false> free;
  const auto reason = [](const char* name, const auto& problem, const char* codec) -> std::string {
    auto config = config_of({codec});
    try {
      make_method(name, setting_of(Comm()), ProblemView(problem), config);
    } catch (const ConfigurationError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_NE(reason("masha2", boxed, "method.codec=topk:1").find("Z = R^d"), std::string::npos);
  EXPECT_NE(reason("masha1", free, "method.codec=topk:1").find("topk:1 is biased"),
            std::string::npos);
  EXPECT_NE(reason("masha1", free, "method.server_codec=sign").find("method.server_codec = sign"),
            std::string::npos);
  EXPECT_NE(reason("masha2", free, "method.codec=randk:1").find("not contractive"),
            std::string::npos);
  EXPECT_EQ(reason("masha2", free, "method.codec=natural"), "accepted");
  EXPECT_NE(reason("masha1", free, "method.step=-1").find("method.step = -1"), std::string::npos);
  EXPECT_NE(reason("masha3", free, "method.codec=permk").find("did you mean masha"),
            std::string::npos);
}

}  // namespace
}  // namespace equipoise::vi
