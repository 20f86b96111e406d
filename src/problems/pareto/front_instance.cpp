#include <equipoise/parallel/agree.hpp>
#include <equipoise/pareto/continuation.hpp>
#include <equipoise/pareto/descent.hpp>
#include <equipoise/pareto/dominance.hpp>
#include <equipoise/pareto/evaluation.hpp>
#include <equipoise/pareto/front_search.hpp>
#include <equipoise/pareto/hypervolume.hpp>
#include <equipoise/pareto/islands.hpp>
#include <equipoise/pareto/subdivision.hpp>
#include <equipoise/problems/pareto/front_instance.hpp>
#include <equipoise/state/field_map.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>

namespace equipoise::problems {
namespace {

/// The front among the fields of any method's solution, by name.
pareto::Front read_front(state::Stateful& solution) {
  state::FieldMap map;
  solution.fields(map);
  const auto copy = [&](std::string_view name) {
    const auto values = map.doubles(name);
    return std::vector<double>(values.begin(), values.end());
  };
  pareto::Front front;
  front.variables = static_cast<std::int64_t>(map.number("front_variables"));
  front.objectives = static_cast<std::int64_t>(map.number("front_objective_count"));
  front.x = copy("front_points");
  front.f = copy("front_objectives");
  return front;
}

void read_measure(state::Config& config, const std::string& only, const std::string& help) {
  std::string measure = only;
  config.read("stop",
              [&](state::OptionVisitor& visit) { visit.choice("measure", measure, {only}, help); });
}

void write_rows(const std::string& path, const std::string& header, std::span<const double> values,
                std::int64_t width) {
  std::ofstream out(path);
  out << "# " << header << '\n';
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool last = (i + 1) % static_cast<std::size_t>(width) == 0;
    out << fmt::format("{:.17g}{}", values[i], last ? '\n' : ',');
  }
  out.close();
  if (!out)
    throw InputError("{}: cannot be written; is the directory there, and is the disk full?", path);
}

std::string columns(char letter, std::int64_t count) {
  std::string names;
  for (std::int64_t j = 1; j <= count; ++j)
    names += fmt::format("{}{}{}", j > 1 ? "," : "", letter, j);
  return names;
}

/// Largest relative difference between stored and recomputed objectives.
double deviation(const std::vector<double>& stored, const std::vector<double>& computed) {
  double worst = 0.0;
  for (std::size_t i = 0; i < stored.size(); ++i) {
    const double difference =
        std::abs(stored[i] - computed[i]) / std::max(1.0, std::abs(computed[i]));
    worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
  }
  return worst;
}

std::int64_t count_dominated(pareto::PointView points) {
  std::int64_t dominated = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    for (std::size_t j = 0; j < points.size(); ++j) {
      if (!pareto::dominates(points[j], points[i])) continue;
      ++dominated;
      break;
    }
  }
  return dominated;
}

}  // namespace

solve::Facts FrontInstance::facts() const {
  solve::Facts facts{{"variables", fmt::format("{}", view_.dimension())},
                     {"objectives", fmt::format("{}", view_.objectives())}};
  if (view_.constraints() > 0)
    facts.emplace_back("constraints", fmt::format("{}", view_.constraints()));
  for (auto& fact : view_.facts()) facts.push_back(std::move(fact));
  return facts;
}

std::vector<std::string> FrontInstance::methods() const {
  std::vector<std::string> names;
  const bool box = [&] {
    for (std::size_t i = 0; i < view_.dimension(); ++i) {
      if (!std::isfinite(view_.lower(i)) || !std::isfinite(view_.upper(i))) return false;
    }
    return true;
  }();
  const bool mixed = [&] {
    for (std::size_t i = 0; i < view_.dimension(); ++i) {
      if (view_.integer(i)) return true;
    }
    return false;
  }();
  if (view_.differentiable() && view_.constraints() == 0 && !mixed) {
    // Without bounds the gradients are one subgradient each: only the method for them is safe.
    if (front_solver_ || view_.smooth()) names = {"front"};
    for (const auto& method : own_methods_) names.push_back(method.name);
    if (view_.smooth()) {
      if (view_.has_hessian()) names.emplace_back("continuation");
      names.emplace_back("mgda");
      if (view_.has_hessian()) names.emplace_back("newton");
    }
    names.emplace_back("gebken-peitz");
  }
  if (box) {
    // Exact hypervolumes are too dear beyond six objectives: reference directions lead there.
    const bool few = view_.objectives() <= 6;
    if (few) names.emplace_back("hypervolume");
    for (const char* name : {"nsga3", "nsga2", "moead", "cbo"}) names.emplace_back(name);
    if (view_.dimension() <= 12 && view_.constraints() == 0 && !mixed)
      names.emplace_back("subdivision");
  }
  return names;
}

std::unique_ptr<solve::Method> FrontInstance::make_method(const std::string& name,
                                                          state::Config& config) {
  const auto names = methods();
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    std::string fits;
    for (const auto& n : names) fits += (fits.empty() ? "" : ", ") + n;
    throw ConfigurationError("method `{}` does not fit the problem {}, which can be solved by: {}",
                             name, fingerprint(), fits);
  }
  const auto populations = pareto::algorithm_names();
  const auto seed = static_cast<std::uint64_t>(seed_);
  if (std::find(populations.begin(), populations.end(), name) != populations.end()) {
    pareto::AlgorithmOptions algorithm;
    pareto::IslandOptions islands;
    read_measure(config, "hypervolume_growth",
                 "relative growth of the front's hypervolume over method.window generations");
    config.read("method", [&](state::OptionVisitor& visit) {
      algorithm.describe(visit);
      islands.describe(visit);
    });
    return std::make_unique<pareto::Islands>(comm_, view_, name, algorithm, islands, seed);
  }
  if (name == "front") {
    pareto::FrontOptions options;
    read_measure(config, "open_gap",
                 "largest gap of the front that is still to be filled, objectives scaled");
    config.read("method", options);
    if (front_solver_) {
      return std::make_unique<pareto::FrontSearch>(pareto::Groups::split(comm_, 1), front_solver_(),
                                                   options);
    }
    return std::make_unique<pareto::FrontSearch>(comm_, view_, options);
  }
  if (name == "continuation") {
    pareto::ContinuationOptions options;
    read_measure(config, "open_share", "share of the points from which tracing goes on");
    config.read("method", options);
    return std::make_unique<pareto::Continuation>(comm_, view_, options);
  }
  if (name == "subdivision") {
    pareto::SubdivisionOptions options;
    read_measure(config, "box_side", "longest side of the boxes over that of the domain");
    config.read("method", options);
    return std::make_unique<pareto::Subdivision>(comm_, view_, options, seed);
  }
  for (const auto& method : own_methods_) {
    if (method.name != name) continue;
    read_measure(config, method.measure, method.help);
    return method.make(config);
  }
  pareto::DescentOptions options;
  read_measure(config, "criticality",
               "largest norm of the common descent direction over the starts");
  config.read("method", options);
  return std::make_unique<pareto::Descent>(comm_, view_, name, options, seed);
}

std::unique_ptr<state::Stateful> FrontInstance::solution_storage() {
  return std::make_unique<pareto::Front>();
}

solve::Certificate FrontInstance::certify(state::Stateful& solution) {
  const pareto::Front front = read_front(solution);
  pareto::Population points{view_.dimension(), view_.objectives(), front.x, {}, {}};
  if (front.x.size() / std::max<std::size_t>(1, view_.dimension()) * view_.objectives() !=
      front.f.size()) {
    throw CheckpointError(
        "the stored front has {} coordinates and {} objective values, which do not fit {}",
        front.x.size(), front.f.size(), fingerprint());
  }
  pareto::Failures failures;
  pareto::evaluate(comm_, view_, points, failures);
  solve::Certificate certificate;
  certificate.measure = deviation(front.f, points.f);
  double violation = 0.0;
  for (const double v : points.violation) violation = std::max(violation, v);
  certificate.values = {{"points", static_cast<double>(points.size())},
                        {"largest relative error of a stored objective", certificate.measure},
                        {"dominated points", static_cast<double>(count_dominated(points.values()))},
                        {"largest constraint violation", violation}};
  if (view_.smooth() && view_.differentiable() && view_.constraints() == 0) {
    certificate.values.emplace_back("largest criticality |sum w_i grad f_i|", criticality(points));
  }
  const pareto::Yardstick yardstick = view_.yardstick();
  if (!yardstick.reference.empty() && points.objectives <= 6) {
    const pareto::PointSet scaled = yardstick.scale.ideal.empty()
                                        ? pareto::PointSet{points.f, points.objectives}
                                        : pareto::normalized(points.values(), yardstick.scale);
    const double volume = pareto::hypervolume(comm_, scaled, yardstick.reference);
    certificate.values.emplace_back("hypervolume", volume);
    if (yardstick.limit > 0.0) {
      certificate.values.emplace_back("hypervolume over its limit", volume / yardstick.limit);
    }
  }
  return certificate;
}

/// By projected gradient on the weights: shares no code with the methods' quadratic programs.
double FrontInstance::criticality(const pareto::Population& points) const {
  const std::size_t n = points.variables;
  const std::size_t k = points.objectives;
  double worst = 0.0;
  std::vector<double> f(k);
  std::vector<double> g(k * n);
  std::vector<double> sum(n);
  for (std::size_t p = 0; p < points.size(); ++p) {
    const auto x = points.point(p);
    view_.gradients(x, f, g);
    std::vector<double> w(k, 1.0 / static_cast<double>(k));
    const auto combine = [&] {
      std::fill(sum.begin(), sum.end(), 0.0);
      for (std::size_t i = 0; i < k; ++i) {
        for (std::size_t j = 0; j < n; ++j) sum[j] += w[i] * g[i * n + j];
      }
      for (std::size_t j = 0; j < n; ++j) {
        // At a bound only what points inwards counts.
        if (x[j] <= view_.lower(j)) sum[j] = std::min(sum[j], 0.0);
        if (x[j] >= view_.upper(j)) sum[j] = std::max(sum[j], 0.0);
      }
    };
    // Frank-Wolfe with exact steps and pairwise moves; linear convergence on a simplex.
    for (int round = 0; round < 500; ++round) {
      combine();
      std::size_t best = 0;
      std::size_t away = k;
      std::vector<double> slope(k);
      for (std::size_t i = 0; i < k; ++i) {
        slope[i] = view_.inner(sum, std::span<const double>(g).subspan(i * n, n));
        if (slope[i] < slope[best]) best = i;
        if (w[i] > 0.0 && (away == k || slope[i] > slope[away])) away = i;
      }
      std::vector<double> d(n);
      for (std::size_t j = 0; j < n; ++j) d[j] = g[best * n + j] - g[away * n + j];
      const double curvature = view_.inner(d, d);
      if (best == away || !(curvature > 0.0)) break;
      const double step = std::clamp((slope[away] - slope[best]) / curvature, 0.0, w[away]);
      if (step < 1e-17) break;
      w[best] += step;
      w[away] -= step;
    }
    combine();
    worst = std::max(worst, std::sqrt(view_.inner(sum, sum)));
  }
  return worst;
}

std::vector<std::string> FrontInstance::export_csv(state::Stateful& solution,
                                                   const std::string& directory) {
  const pareto::Front front = read_front(solution);
  const std::vector<std::string> paths{directory + "/front_objectives.csv",
                                       directory + "/front_points.csv"};
  parallel::agree(comm_, [&] {
    if (comm_.rank() != 0) return;
    write_rows(paths[0], columns('f', front.objectives), front.f, front.objectives);
    write_rows(paths[1], columns('x', front.variables), front.x, front.variables);
  });
  return paths;
}

}  // namespace equipoise::problems
