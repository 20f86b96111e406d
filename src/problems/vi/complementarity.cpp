#include "complementarity_games.hpp"
#include "complementarity_newton.hpp"

#include <equipoise/parallel/random.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace equipoise::problems {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using In = Complementarity::In;
using Out = Complementarity::Out;

/// F(z) = M z + q.
Complementarity linear(std::string name, MatrixXd m, std::vector<double> q,
                       std::vector<std::vector<double>> exact) {
  Complementarity p;
  p.name = std::move(name);
  p.first.assign(q.size(), 0.0);
  p.exact = std::move(exact);
  p.f = [m, q](In z, Out out) {
    for (std::size_t i = 0; i < z.size(); ++i) {
      out[i] = q[i];
      for (std::size_t j = 0; j < z.size(); ++j)
        out[i] += m(static_cast<Index>(i), static_cast<Index>(j)) * z[j];
    }
  };
  p.jacobian = [m](In, MatrixXd& out) { out = m; };
  return p;
}

/// Kojima and Shindo (1986); Josephy (1979) changes the coefficients of x3 and x4 in F2 and F3.
Complementarity kojima_shindo(bool josephy) {
  Complementarity p;
  p.name = josephy ? "josephy" : "kojima-shindo";
  p.first = {1.0, 1.0, 1.0, 1.0};
  p.exact = {{std::sqrt(6.0) / 2.0, 0.0, 0.0, 0.5}};
  if (!josephy) p.exact.push_back({1.0, 0.0, 3.0, 0.0});
  const std::array<double, 5> c =
      josephy ? std::array{3.0, 2.0, 2.0, 3.0, -1.0} : std::array{10.0, 2.0, 2.0, 9.0, -9.0};
  p.f = [c](In x, Out out) {
    const double a = x[0], b = x[1];
    out[0] = 3 * a * a + 2 * a * b + 2 * b * b + x[2] + 3 * x[3] - 6;
    out[1] = 2 * a * a + a + b * b + c[0] * x[2] + c[1] * x[3] - 2;
    out[2] = 3 * a * a + a * b + 2 * b * b + c[2] * x[2] + c[3] * x[3] + c[4];
    out[3] = a * a + 3 * b * b + 2 * x[2] + 3 * x[3] - 3;
  };
  p.jacobian = [c](In x, MatrixXd& out) {
    const double a = x[0], b = x[1];
    out.resize(4, 4);
    out << 6 * a + 2 * b, 2 * a + 4 * b, 1, 3,  //
        4 * a + 1, 2 * b, c[0], c[1],           //
        6 * a + b, a + 4 * b, c[2], c[3],       //
        2 * a, 6 * b, 2, 3;
  };
  return p;
}

/// Five firms of Murphy, Sherali and Soyster (1982): marginal cost c_i + (q_i/5)^(1/b_i), price
/// 5000^(1/1.1) Q^(-1/1.1).
Complementarity nash_cournot() {
  Complementarity p;
  p.name = "nash-cournot";
  p.first.assign(5, 10.0);
  p.exact = {{36.932510815737, 41.818141660437, 43.706578522274, 42.659239743305, 39.178952516625}};
  static constexpr std::array<double, 5> c = {10, 8, 6, 4, 2}, b = {1.2, 1.1, 1.0, 0.9, 0.8};
  static constexpr double power = 1.0 / 1.1, least = 1e-12;
  const auto price = [](In q, double& value, double& slope, double& bend) {
    double total = 0.0;
    for (const double v : q) total += v;
    total = std::max(total, least);
    value = std::pow(5000.0 / total, power);
    slope = -power * value / total;
    bend = -power * (slope / total - value / (total * total));
  };
  p.f = [price](In q, Out out) {
    double value = 0.0, slope = 0.0, bend = 0.0;
    price(q, value, slope, bend);
    for (std::size_t i = 0; i < 5; ++i) {
      out[i] = c[i] + std::pow(std::max(q[i], 0.0) / 5.0, 1.0 / b[i]) - value - q[i] * slope;
    }
  };
  p.jacobian = [price](In q, MatrixXd& out) {
    double value = 0.0, slope = 0.0, bend = 0.0;
    price(q, value, slope, bend);
    out.resize(5, 5);
    for (Index i = 0; i < 5; ++i) {
      const auto k = static_cast<std::size_t>(i);
      out.row(i).setConstant(-slope - q[k] * bend);
      out(i, i) += std::pow(std::max(q[k], least) / 5.0, 1.0 / b[k] - 1.0) / (5.0 * b[k]) - slope;
    }
  };
  return p;
}

Complementarity small_lcp() {
  MatrixXd m(4, 4);
  m << 0, 0, -1, -1, 0, 0, 1, -2, 1, -1, 2, -2, 1, 2, -2, 4;
  return linear("lcp", m, {2.0, 2.0, -2.0, -6.0}, {{2.8, 0.0, 0.8, 1.2}});
}

/// Ones on the diagonal, twos above; q = -1 (Murty 1988): the solution is the last unit vector.
Complementarity murty(std::int64_t d) {
  MatrixXd m = MatrixXd::Identity(d, d);
  m.triangularView<Eigen::StrictlyUpper>().setConstant(2.0);
  std::vector<double> exact(static_cast<std::size_t>(d));
  exact.back() = 1.0;
  return linear("murty", m, std::vector<double>(exact.size(), -1.0), {exact});
}

/// M = A A' + B + D (Harker and Pang 1990), A and the skew B uniform in (-5, 5), D in (0, 0.3), q
/// in
/// (-500, 0).
Complementarity harker_pang(std::int64_t d, std::int64_t seed) {
  const auto uniform = [seed, d](int which, Index i, Index j, double low, double high) {
    const parallel::Draw draw(static_cast<std::uint64_t>(seed), parallel::Purpose::problem, which);
    return low + (high - low) * draw.uniform(static_cast<std::uint64_t>(i * d + j));
  };
  MatrixXd a(d, d), m(d, d);
  for (Index i = 0; i < d; ++i) {
    for (Index j = 0; j < d; ++j) a(i, j) = uniform(0, i, j, -5.0, 5.0);
  }
  for (Index i = 0; i < d; ++i) {
    for (Index j = 0; j < d; ++j) {
      double sum = 0.0;
      for (Index k = 0; k < d; ++k) sum += a(i, k) * a(j, k);
      if (i < j) sum += uniform(1, i, j, -5.0, 5.0);
      if (i > j) sum -= uniform(1, j, i, -5.0, 5.0);
      if (i == j) sum += uniform(2, i, 0, 0.0, 0.3);
      m(i, j) = sum;
    }
  }
  std::vector<double> q;
  for (Index i = 0; i < d; ++i) q.push_back(uniform(3, i, 0, -500.0, 0.0));
  return linear(fmt::format("hp-hard seed={}", seed), m, q, {});
}

}  // namespace

void ComplementarityOptions::describe(state::OptionVisitor& visit) {
  visit.choice("case", problem,
               {"kojima-shindo", "josephy", "lcp", "murty", "hp-hard", "nash-cournot", "kelly",
                "fisher", "shared-capacity"},
               "which problem of the collection");
  visit.option("dimension", dimension,
               "of murty and hp-hard, bidders of kelly, firms of shared-capacity",
               state::Limits{1.0, 5000.0});
  visit.option("buyers", buyers, "buyers and goods of fisher", state::Limits{1.0, 60.0});
  visit.option("seed", seed, "of random data", state::non_negative);
}

Complementarity Complementarity::make(const ComplementarityOptions& o) {
  if (o.problem == "lcp") return small_lcp();
  if (o.problem == "murty") return murty(o.dimension);
  if (o.problem == "hp-hard") return harker_pang(o.dimension, o.seed);
  if (o.problem == "nash-cournot") return nash_cournot();
  if (o.problem == "kelly") return kelly_auction(o.dimension, o.seed);
  if (o.problem == "fisher") return fisher_market(o.buyers, o.seed);
  if (o.problem == "shared-capacity") return shared_capacity(o.dimension, o.seed);
  return kojima_shindo(o.problem == "josephy");
}

void Complementarity::prox(double, Out z) const {
  for (double& v : z) v = std::max(v, 0.0);
}

void Complementarity::start(Out z) const { std::copy(first.begin(), first.end(), z.begin()); }

bool Complementarity::solution(Out z) const {
  if (exact.empty()) return false;
  std::copy(exact[0].begin(), exact[0].end(), z.begin());
  return true;
}

vi::Facts Complementarity::check(In z) const {
  std::vector<double> value(z.size());
  f(z, value);
  double negative = 0.0, product = 0.0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    negative = std::max({negative, -z[i], -value[i]});
    product = std::max(product, std::abs(std::min(z[i], value[i])));
  }
  vi::Facts facts = {{"largest_negative_part", fmt::format("{:.17g}", negative)},
                     {"largest_min_of_z_and_F", fmt::format("{:.17g}", product)}};
  double nearest = HUGE_VAL;
  for (const auto& s : exact) {
    double error = 0.0;
    for (std::size_t i = 0; i < z.size(); ++i) error = std::max(error, std::abs(z[i] - s[i]));
    nearest = std::min(nearest, error);
  }
  if (!exact.empty())
    facts.emplace_back("distance_to_nearest_known_solution_max", fmt::format("{:.17g}", nearest));
  return facts;
}

vi::Facts Complementarity::facts() const {
  return {{"case", name}, {"dimension", std::to_string(dimension())}};
}

std::string Complementarity::fingerprint() const {
  return fmt::format("mcp {} d={}", name, dimension());
}

static_assert(vi::AgentProblem<Complementarity>);

ComplementarityInstance::ComplementarityInstance(const parallel::Comm& comm, state::Config& config,
                                                 std::shared_ptr<const Complementarity> problem)
    : VariationalInstance(comm, config, problem, vi::ProblemView(*problem)),
      problem_(std::move(problem)) {}

std::vector<std::string> ComplementarityInstance::methods() const {
  std::vector<std::string> names = VariationalInstance::methods();
  names.insert(names.begin(), "semismooth-newton");
  return names;
}

std::unique_ptr<solve::Method> ComplementarityInstance::make_method(const std::string& name,
                                                                    state::Config& config) {
  if (name != "semismooth-newton") return VariationalInstance::make_method(name, config);
  SemismoothNewtonOptions options;
  config.read("method", options);
  return std::make_unique<SemismoothNewton>(problem_, options);
}

solve::ProblemEntry mcp_problem() {
  return {
      "vi", "mcp", "complementarity problems of the literature with known solutions",
      [](state::OptionVisitor& visit) { ComplementarityOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        ComplementarityOptions options;
        config.read("problem", options);
        if (!config.has("stop.tolerance")) config.set("stop.tolerance", "1e-12");
        return std::make_unique<ComplementarityInstance>(
            comm, config, std::make_shared<const Complementarity>(Complementarity::make(options)));
      }};
}

solve::MethodEntry semismooth_newton_method() {
  return {
      "vi", "semismooth-newton",
      "complementarity problems with a Jacobian: Newton on the function of Fischer and Burmeister",
      [](state::OptionVisitor& visit) { SemismoothNewtonOptions{}.describe(visit); }};
}

}  // namespace equipoise::problems
