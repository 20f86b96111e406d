#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/dominance.hpp>
#include <equipoise/pareto/population.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::pareto {

void Population::push(const Population& from, std::size_t i) {
  const auto p = from.point(i);
  const auto v = from.value(i);
  x.insert(x.end(), p.begin(), p.end());
  f.insert(f.end(), v.begin(), v.end());
  violation.push_back(from.violation[i]);
}

void Population::assign(std::size_t to, const Population& from, std::size_t i) {
  std::copy_n(from.x.begin() + static_cast<std::ptrdiff_t>(i * variables), variables,
              x.begin() + static_cast<std::ptrdiff_t>(to * variables));
  std::copy_n(from.f.begin() + static_cast<std::ptrdiff_t>(i * objectives), objectives,
              f.begin() + static_cast<std::ptrdiff_t>(to * objectives));
  violation[to] = from.violation[i];
}

void Population::append(const Population& other) {
  x.insert(x.end(), other.x.begin(), other.x.end());
  f.insert(f.end(), other.f.begin(), other.f.end());
  violation.insert(violation.end(), other.violation.begin(), other.violation.end());
}

Population Population::subset(std::span<const std::size_t> members) const {
  Population result{variables, objectives, {}, {}, {}};
  for (const std::size_t i : members) result.push(*this, i);
  return result;
}

Population best_of(const Population& population) {
  if (population.size() == 0) return population;
  const auto rank = nondominated_sort(population.values(), population.violation);
  std::vector<std::size_t> best;
  for (std::size_t i = 0; i < rank.size(); ++i) {
    if (rank[i] == 0) best.push_back(i);
  }
  return population.subset(best);
}

Space space_of(const ProblemView& problem) {
  require_valid(problem, true);
  Space space;
  space.objectives = problem.objectives();
  for (std::size_t i = 0; i < problem.dimension(); ++i) {
    space.lower.push_back(problem.lower(i));
    space.upper.push_back(problem.upper(i));
    space.integer.push_back(problem.integer(i));
    if (space.integer[i] && std::ceil(space.lower[i]) > std::floor(space.upper[i])) {
      throw ConfigurationError("variable {} takes whole numbers, and none lies in [{}, {}]", i,
                               space.lower[i], space.upper[i]);
    }
  }
  return space;
}

}  // namespace equipoise::pareto
