#include <equipoise/parallel/agree.hpp>
#include <equipoise/pareto/dominance.hpp>
#include <equipoise/pareto/evaluation.hpp>
#include <equipoise/pareto/hypervolume.hpp>
#include <equipoise/pareto/islands.hpp>
#include <equipoise/problems/pareto/front_instance.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>

namespace equipoise::problems {
namespace {

/// Receives the fields of any method's solution that are a front.
const pareto::Front& as_front(state::Stateful& solution) {
  auto* front = dynamic_cast<pareto::Front*>(&solution);
  if (!front) throw CheckpointError("the stored solution is no front of a multiobjective problem");
  return *front;
}

struct StopOptions {
  std::string measure = "hypervolume_growth";
  void describe(state::OptionVisitor& visit) {
    visit.choice("measure", measure, {"hypervolume_growth"},
                 "relative growth of the front's hypervolume over method.window generations");
  }
};

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
  auto names = pareto::algorithm_names();
  if (view_.objectives() > 6) {
    // Exact hypervolumes are too dear there: reference directions lead.
    names = {"nsga3", "nsga2", "moead"};
  }
  return names;
}

std::unique_ptr<solve::Method> FrontInstance::make_method(const std::string& name,
                                                          state::Config& config) {
  const auto names = methods();
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    throw ConfigurationError("method `{}` does not fit the problem {}; the default is `{}`{}", name,
                             fingerprint(), names.front(), [&] {
                               const std::string close = state::nearest(name, names);
                               return close.empty() ? close
                                                    : fmt::format(", did you mean `{}`?", close);
                             }());
  }
  pareto::AlgorithmOptions algorithm;
  pareto::IslandOptions islands;
  StopOptions stop;
  config.read("method", [&](state::OptionVisitor& visit) {
    algorithm.describe(visit);
    islands.describe(visit);
  });
  config.read("stop", stop);
  return std::make_unique<pareto::Islands>(comm_, view_, name, algorithm, islands,
                                           static_cast<std::uint64_t>(seed_));
}

std::unique_ptr<state::Stateful> FrontInstance::solution_storage() {
  return std::make_unique<pareto::Front>();
}

solve::Certificate FrontInstance::certify(state::Stateful& solution) {
  const pareto::Front& front = as_front(solution);
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

std::vector<std::string> FrontInstance::export_csv(state::Stateful& solution,
                                                   const std::string& directory) {
  const pareto::Front& front = as_front(solution);
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
