#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/points.hpp>

#include <algorithm>

namespace equipoise::pareto {

Range range_of(PointView points) {
  if (points.size() == 0)
    throw ConfigurationError("the range of an empty set of points is undefined");
  const auto first = points[0];
  Range range{{first.begin(), first.end()}, {first.begin(), first.end()}};
  for (std::size_t i = 1; i < points.size(); ++i) {
    for (std::size_t j = 0; j < points.objectives; ++j) {
      range.ideal[j] = std::min(range.ideal[j], points[i][j]);
      range.nadir[j] = std::max(range.nadir[j], points[i][j]);
    }
  }
  return range;
}

PointSet normalized(PointView points, const Range& range) {
  PointSet result{{points.values.begin(), points.values.end()}, points.objectives};
  for (std::size_t i = 0; i < result.values.size(); ++i) {
    const std::size_t j = i % points.objectives;
    const double width = range.nadir[j] - range.ideal[j];
    result.values[i] = (result.values[i] - range.ideal[j]) / (width > 0.0 ? width : 1.0);
  }
  return result;
}

}  // namespace equipoise::pareto
