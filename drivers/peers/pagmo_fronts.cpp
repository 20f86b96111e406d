// Population methods and hypervolumes next to pagmo's, in one run of one process.
//   pagmo_fronts populations [seeds]    hypervolume over its limit, medians, Mann-Whitney
//   pagmo_fronts ours METHOD [seeds]    the same of one method of ours alone: quartiles, and the
//                                       range of the medians of eleven seeds
//   pagmo_fronts reproblems FOLDER [seeds]   the same on the engineering problems RE, next to the
//                                       reference fronts in FOLDER (reference_points_RE21.dat, ...)
//   pagmo_fronts hypervolume            seconds of the exact hypervolume
#include <equipoise/parallel/random.hpp>
#include <equipoise/pareto/hypervolume.hpp>
#include <equipoise/pareto/indicators.hpp>
#include <equipoise/pareto/islands.hpp>
#include <equipoise/problems/pareto/dtlz.hpp>
#include <equipoise/problems/pareto/re.hpp>
#include <equipoise/problems/pareto/zdt.hpp>

#include <fmt/format.h>
#include <pagmo/algorithm.hpp>
#include <pagmo/algorithms/maco.hpp>
#include <pagmo/algorithms/moead.hpp>
#include <pagmo/algorithms/nsga2.hpp>
#include <pagmo/algorithms/nspso.hpp>
#include <pagmo/population.hpp>
#include <pagmo/problem.hpp>
#include <pagmo/problems/dtlz.hpp>
#include <pagmo/problems/zdt.hpp>
#include <pagmo/utils/hypervolume.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

namespace {

using namespace equipoise;

struct Case {
  std::string name;
  pagmo::problem peer;
  std::vector<double> reference;
  double limit;
  std::size_t
      members;  // pagmo's moead wants a lattice size in three objectives, its nsga2 a multiple of 4
  pareto::Range scale;          // ideal and nadir that objectives are scaled by; empty: none
  pareto::PointSet front = {};  // reference front, scaled; empty: none
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

using Front = pareto::PointSet;

Front scaled(Front front, const Case& c) {
  return c.scale.ideal.empty() ? front : pareto::normalized(front, c.scale);
}

/// The final populations of all seeds.
template <class Peer>
std::vector<Front> run_peer(const Case& c, const Peer& make, unsigned seeds, std::size_t members) {
  std::vector<Front> fronts;
  for (unsigned seed = 1; seed <= seeds; ++seed) {
    pagmo::population population(c.peer, members, seed);
    const auto generations = static_cast<unsigned>(25000 / members - 1);
    Front front{{}, c.reference.size()};
    const auto last = pagmo::algorithm(make(generations, seed)).evolve(population);
    for (const auto& value : last.get_f()) {
      front.push(value);
    }
    fronts.push_back(scaled(std::move(front), c));
  }
  return fronts;
}

std::vector<Front> run_ours(const Case& c, const pareto::ProblemView& problem,
                            const std::string& method, unsigned seeds) {
  std::vector<Front> fronts;
  for (unsigned seed = 1; seed <= seeds; ++seed) {
    pareto::IslandOptions options;
    options.window = 1000000;
    pareto::Islands islands(parallel::Comm(), problem, method, {}, options, seed);
    while (!islands.report().finished) islands.step();
    const auto population = islands.front();
    Front front{{}, c.reference.size()};
    for (std::size_t i = 0; i < population.size(); ++i) front.push(population.value(i));
    fronts.push_back(scaled(std::move(front), c));
  }
  return fronts;
}

/// Share of the limit that each front reaches.
std::vector<double> shares(const std::vector<Front>& fronts, const Case& c) {
  std::vector<double> values;
  for (const Front& front : fronts) {
    values.push_back(pareto::hypervolume(front, c.reference) / c.limit);
  }
  return values;
}

double median_distance(const std::vector<Front>& fronts, const Case& c) {
  std::vector<double> values;
  for (const Front& front : fronts) values.push_back(pareto::igd_plus(front, c.front));
  return median(values);
}

/// Probability, by the normal approximation, that two samples of one distribution differ as much
/// (two-sided).
double mann_whitney(const std::vector<double>& a, const std::vector<double>& b) {
  double u = 0.0;
  for (const double x : a) {
    for (const double y : b) u += x > y ? 1.0 : (x == y ? 0.5 : 0.0);
  }
  const double m = static_cast<double>(a.size());
  const double n = static_cast<double>(b.size());
  const double z = (u - 0.5 * m * n) / std::sqrt(m * n * (m + n + 1.0) / 12.0);
  return std::erfc(std::abs(z) / std::sqrt(2.0));
}

void compare(const Case& c, const pareto::ProblemView& problem, unsigned seeds) {
  const double mutation = 1.0 / static_cast<double>(c.peer.get_nx());
  std::vector<std::pair<std::string, std::vector<Front>>> peers;
  peers.emplace_back("nsga2", run_peer(
                                  c,
                                  [mutation](unsigned g, unsigned s) {
                                    return pagmo::nsga2(g, 0.9, 15.0, mutation, 20.0, s);
                                  },
                                  seeds, 100));
  peers.emplace_back(
      "nsga2 default",
      run_peer(
          c, [](unsigned g, unsigned s) { return pagmo::nsga2(g, 0.95, 10.0, 0.01, 50.0, s); },
          seeds, 100));
  peers.emplace_back("moead", run_peer(
                                  c,
                                  [](unsigned g, unsigned s) {
                                    return pagmo::moead(g, "grid", "tchebycheff", 20, 1.0, 0.5,
                                                        20.0, 0.9, 2, true, s);
                                  },
                                  seeds, c.members));
  peers.emplace_back("moead bi", run_peer(
                                     c,
                                     [](unsigned g, unsigned s) {
                                       return pagmo::moead(g, "grid", "bi", 20, 1.0, 0.5, 20.0, 0.9,
                                                           2, true, s);
                                     },
                                     seeds, c.members));
  peers.emplace_back("nspso", run_peer(
                                  c,
                                  [](unsigned g, unsigned s) {
                                    return pagmo::nspso(g, 0.6, 2.0, 2.0, 1.0, 0.5, 2u,
                                                        "crowding distance", false, s);
                                  },
                                  seeds, 100));
  peers.emplace_back("maco", run_peer(
                                 c,
                                 [](unsigned g, unsigned s) {
                                   return pagmo::maco(g, 63, 1.0, 1u, 7u, 10000u, 0.0, false, s);
                                 },
                                 seeds, 100));
  std::vector<std::vector<double>> theirs;
  for (const auto& [name, fronts] : peers) theirs.push_back(shares(fronts, c));
  std::size_t best = 0;
  fmt::print("{:6}", c.name);
  for (std::size_t i = 0; i < peers.size(); ++i) {
    fmt::print(" {} {:.4f}", peers[i].first, median(theirs[i]));
    if (median(theirs[i]) > median(theirs[best])) best = i;
  }
  const auto nsga2_fronts = run_ours(c, problem, "nsga2", seeds);
  const auto our_fronts = run_ours(c, problem, "hypervolume", seeds);
  const auto nsga2 = shares(nsga2_fronts, c);
  const auto ours = shares(our_fronts, c);
  fmt::print(
      " | ours: nsga2 {:.4f}, p against nsga2 {:.2g}; hypervolume {:.4f}, p against {} {:.2g}\n",
      median(nsga2), mann_whitney(nsga2, theirs[0]), median(ours), peers[best].first,
      mann_whitney(ours, theirs[best]));
  if (c.front.size() > 0) {
    fmt::print(
        "       IGD+ to the reference front: {} {:.4f}, {} {:.4f} | ours: nsga2 {:.4f}, "
        "hypervolume {:.4f}\n",
        peers[0].first, median_distance(peers[0].second, c), peers[best].first,
        median_distance(peers[best].second, c), median_distance(nsga2_fronts, c),
        median_distance(our_fronts, c));
  }
  std::fflush(stdout);
}

/// Quartiles over all seeds, and how far the medians of eleven seeds scatter.
void describe(const Case& c, const pareto::ProblemView& problem, const std::string& method,
              unsigned seeds) {
  auto values = shares(run_ours(c, problem, method, seeds), c);
  std::vector<double> elevens;
  for (std::size_t i = 0; i + 11 <= values.size(); i += 11)
    elevens.push_back(median({values.begin() + static_cast<std::ptrdiff_t>(i),
                              values.begin() + static_cast<std::ptrdiff_t>(i + 11)}));
  std::sort(values.begin(), values.end());
  fmt::print("{:6} {} quartiles {:.4f} {:.4f} {:.4f}", c.name, method, values[values.size() / 4],
             median(values), values[3 * values.size() / 4]);
  if (!elevens.empty())
    fmt::print(", medians of 11: {:.4f} (the first), {:.4f} to {:.4f}", elevens[0],
               *std::min_element(elevens.begin(), elevens.end()),
               *std::max_element(elevens.begin(), elevens.end()));
  fmt::print("\n");
  std::fflush(stdout);
}

/// Calls `visit(case, problem)` for ZDT1, 2, 3, 4, 6 and DTLZ1 to 4.
template <class Visit>
void each(const Visit& visit) {
  for (const unsigned number : {1U, 2U, 3U, 4U, 6U}) {
    const problems::Zdt problem{number, 0};
    const auto y = problem.yardstick();
    visit({fmt::format("ZDT{}", number),
           pagmo::problem(pagmo::zdt(number, static_cast<unsigned>(problem.dimension()))),
           y.reference,
           y.limit,
           100,
           {}},
          problem);
  }
  for (const unsigned number : {1U, 2U, 3U, 4U}) {
    const problems::Dtlz problem{number, 3, 0};
    const auto y = problem.yardstick();
    visit(
        {fmt::format("DTLZ{}", number),
         pagmo::problem(pagmo::dtlz(number, static_cast<std::size_t>(problem.dimension()), 3, 100)),
         y.reference,
         y.limit,
         105,
         {}},
        problem);
  }
}

/// One of our problems as pagmo takes them.
struct Peer {
  problems::Re problem;
  [[nodiscard]] pagmo::vector_double fitness(const pagmo::vector_double& x) const {
    pagmo::vector_double f(get_nobj());
    problem.evaluate(x, f);
    return f;
  }
  [[nodiscard]] pagmo::vector_double::size_type get_nobj() const {
    return static_cast<std::size_t>(problem.objectives());
  }
  [[nodiscard]] std::pair<pagmo::vector_double, pagmo::vector_double> get_bounds() const {
    std::pair<pagmo::vector_double, pagmo::vector_double> bounds;
    for (std::int64_t i = 0; i < problem.dimension(); ++i) {
      bounds.first.push_back(problem.lower(i));
      bounds.second.push_back(problem.upper(i));
    }
    return bounds;
  }
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive& problem.number;
  }
};

void reproblems(const std::string& folder, unsigned seeds) {
  for (const std::int64_t number : {21, 24, 31, 33, 37}) {
    const problems::Re problem{number};
    const auto y = problem.yardstick();
    Front front{{}, y.reference.size()};
    std::ifstream file(fmt::format("{}/reference_points_RE{}.dat", folder, number));
    for (double value = 0.0; file >> value;) front.values.push_back(value);
    if (front.size() == 0) {
      fmt::print("{}/reference_points_RE{}.dat holds no points\n", folder, number);
      continue;
    }
    Case c{fmt::format("RE{}", number),
           pagmo::problem(Peer{problem}),
           y.reference,
           1.0,
           number < 30 ? 100U : 105U,
           y.scale};
    c.front = scaled(std::move(front), c);
    c.limit = pareto::hypervolume(c.front, c.reference);
    compare(c, problem, seeds);
  }
}

/// Seconds of this process: other work on the machine does not count.
template <class Work>
double best_seconds(const Work& work) {
  double best = INFINITY;
  for (int repeat = 0; repeat < 5 && (repeat < 1 || best < 2.0); ++repeat) {
    const std::clock_t start = std::clock();
    work();
    best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return best;
}

void hypervolumes() {
  struct Size {
    std::size_t k, n;
  };
  for (const auto [k, n] : {Size{3, 10000}, Size{4, 1000}, Size{5, 1000}, Size{8, 400}}) {
    for (const bool flipped : {false, true}) {
      pareto::PointSet set{{}, k};
      std::vector<std::vector<double>> rows;
      for (std::size_t i = 0; i < n; ++i) {
        const parallel::Draw draw(1, parallel::Purpose::problem, static_cast<std::int64_t>(i));
        std::vector<double> p(k);
        double square = 0.0;
        for (std::size_t j = 0; j < k; ++j) {
          p[j] = std::abs(draw.normal(j));
          square += p[j] * p[j];
        }
        for (double& v : p) v = flipped ? 1.0 - v / std::sqrt(square) : v / std::sqrt(square);
        set.push(p);
        rows.push_back(p);
      }
      const std::vector<double> reference(k, 1.1);
      double a = 0.0;
      double b = 0.0;
      const double ours = best_seconds([&] { a = pareto::hypervolume(set, reference); });
      const double peer =
          best_seconds([&] { b = pagmo::hypervolume(rows, true).compute(reference); });
      fmt::print(
          "d = {} n = {:5} {:16} {:10.3f} ms, pagmo {:10.3f} ms, ratio {:.3f}, difference {:.1e}\n",
          k, n, flipped ? "one minus sphere" : "sphere", 1e3 * ours, 1e3 * peer, ours / peer,
          std::abs(a - b) / a);
      std::fflush(stdout);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "populations")
    each([&](const Case& c, const pareto::ProblemView& problem) {
      compare(c, problem, argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 11);
    });
  else if (what == "ours" && argc > 2)
    each([&](const Case& c, const pareto::ProblemView& problem) {
      describe(c, problem, argv[2], argc > 3 ? static_cast<unsigned>(std::atoi(argv[3])) : 11);
    });
  else if (what == "reproblems" && argc > 2)
    reproblems(argv[2], argc > 3 ? static_cast<unsigned>(std::atoi(argv[3])) : 11);
  else if (what == "hypervolume")
    hypervolumes();
  else
    fmt::print(
        "usage: pagmo_fronts populations [seeds] | ours METHOD [seeds] | reproblems "
        "FOLDER [seeds] | hypervolume\n");
  MPI_Finalize();
}
