#include <equipoise/pareto/front_plan.hpp>

#include <algorithm>
#include <array>
#include <cmath>

namespace equipoise::pareto {
namespace {

/// How far below the front a reference point lies, in scaled objectives: more than a predicted
/// place can be wrong, and little beside the front's radius of curvature.
constexpr double depth = 0.2;

}  // namespace

Scalarisation FrontPlan::aim(std::span<const double> at, std::span<const double> normal,
                             bool near) const {
  std::array<double, 2> width{};
  for (std::size_t j = 0; j < 2; ++j)
    width[j] = std::max(range_.nadir[j] - range_.ideal[j], 1e-300);
  const std::vector<double> point(at.begin(), at.end());
  if (options_.scalarisation == "weighted_sum") {
    const double w0 = normal[0] / width[0];
    const double w1 = normal[1] / width[1];
    return weighted_sum({w0 / (w0 + w1), w1 / (w0 + w1)});
  }
  if (options_.scalarisation == "epsilon_constraint") return epsilon_constraint(0, {0.0, at[1]});
  if (options_.scalarisation == "chebyshev") {
    return pascoletti_serafini(range_.ideal, {std::max(at[0] - range_.ideal[0], 1e-9 * width[0]),
                                              std::max(at[1] - range_.ideal[1], 1e-9 * width[1])});
  }
  if (options_.scalarisation == "nbi") return pascoletti_serafini(point, {width[0], width[1]});
  if (options_.scalarisation == "nnc") return normal_constraint(1, point, width);
  const std::vector<double> along{normal[0] * width[0], normal[1] * width[1]};
  // A reference point must lie below the front, whose place a chord alone does not tell.
  if (options_.scalarisation == "pascoletti_serafini" || !near)
    return pascoletti_serafini(point, along);
  return euclidean_reference({point[0] - depth * along[0], point[1] - depth * along[1]},
                             {width[0], width[1]});
}

std::vector<FrontTask> FrontPlan::fills() const {
  std::vector<FrontTask> tasks;
  for (std::size_t i = 0; i + 1 < order_.size(); ++i) {
    if (closed_[i]) continue;
    if (!options_.weights.empty()) {
      // By index into the list: the members carry their weights.
      const auto index = [&](std::size_t at) {
        const double a = ordered(at).weights[0];
        std::size_t best = 0;
        for (std::size_t j = 1; j < options_.weights.size(); ++j) {
          if (std::abs(options_.weights[j] - a) < std::abs(options_.weights[best] - a)) best = j;
        }
        return best;
      };
      const std::size_t from = index(i);
      const std::size_t to = index(i + 1);
      if (to <= from + 1) continue;
      const double a = options_.weights[(from + to) / 2];
      tasks.push_back({weighted_sum({a, 1.0 - a}), order_[i], static_cast<std::int64_t>(i)});
    } else if (distance(ordered(i).f, ordered(i + 1).f) > options_.spacing) {
      fill(i, tasks);
    }
  }
  return tasks;
}

namespace {

using Pair = std::array<double, 2>;

/// The cubic curve through two points of a front with the tangents that their weights give, in
/// scaled objectives.
struct Bow {
  Pair a{}, b{}, ta{}, tb{};
  [[nodiscard]] Pair at(double s) const {
    Pair p{};
    for (std::size_t j = 0; j < 2; ++j) {
      p[j] = (1 + 2 * s) * (1 - s) * (1 - s) * a[j] + s * (1 - s) * (1 - s) * ta[j] +
             s * s * (3 - 2 * s) * b[j] - s * s * (1 - s) * tb[j];
    }
    return p;
  }
};

}  // namespace

/// The tasks of one gap. From halving, gaps come in between three and six spacings and are then cut
/// into equal parts of at most one.
void FrontPlan::fill(std::size_t gap, std::vector<FrontTask>& tasks) const {
  const auto& left = ordered(gap);
  const auto& right = ordered(gap + 1);
  const double chord = distance(left.f, right.f);
  Pair width{};
  Bow bow;
  for (std::size_t j = 0; j < 2; ++j) {
    width[j] = std::max(range_.nadir[j] - range_.ideal[j], 1e-300);
    bow.a[j] = left.f[j] / width[j];
    bow.b[j] = right.f[j] / width[j];
  }
  const auto push = [&](const Pair& at, Pair normal, bool near, std::int64_t parent) {
    double length = std::hypot(normal[0], normal[1]);
    for (double& n : normal) n = std::max(n / length, 0.02);
    length = std::hypot(normal[0], normal[1]);
    const Pair unit{normal[0] / length, normal[1] / length};
    const Pair point{at[0] * width[0], at[1] * width[1]};
    tasks.push_back({aim(point, unit, near), parent, static_cast<std::int64_t>(gap)});
  };
  const Pair middle{0.5 * (bow.a[0] + bow.b[0]), 0.5 * (bow.a[1] + bow.b[1])};
  const Pair normal{(bow.a[1] - bow.b[1]) / chord, (bow.b[0] - bow.a[0]) / chord};
  const auto tangent = [&](const ScalarAnswer& answer, Pair& t) {
    const Pair w{answer.weights[0] * width[0], answer.weights[1] * width[1]};
    const double length = std::hypot(w[0], w[1]);
    if (!(length > 0.0)) return false;
    t = {chord * w[1] / length, -chord * w[0] / length};
    return true;
  };
  bool bent = options_.scalarisation != "weighted_sum" && tangent(left, bow.ta) &&
              tangent(right, bow.tb) && chord <= 6.0 * options_.spacing;
  constexpr std::size_t pieces = 96;
  std::vector<double> length(pieces + 1, 0.0);
  if (bent) {
    for (std::size_t i = 1; i <= pieces; ++i) {
      const Pair p = bow.at(static_cast<double>(i - 1) / pieces);
      const Pair q = bow.at(static_cast<double>(i) / pieces);
      length[i] = length[i - 1] + std::hypot(q[0] - p[0], q[1] - p[1]);
      bent = bent && q[0] > p[0] && q[1] < p[1];
    }
    // Three points on a curve that is this long would not be close to it.
    bent = bent && length[pieces] <= 1.2 * chord;
  }
  const auto parts = std::max<std::size_t>(
      2, static_cast<std::size_t>(std::ceil(1.02 * length[pieces] / options_.spacing)));
  if (!bent) {
    push(middle, normal, false, order_[gap]);
    return;
  }
  std::size_t i = 1;
  for (std::size_t part = 1; part < parts; ++part) {
    const double wanted = length[pieces] * static_cast<double>(part) / static_cast<double>(parts);
    while (length[i] < wanted) ++i;
    const double share = (wanted - length[i - 1]) / (length[i] - length[i - 1]);
    const double s = (static_cast<double>(i - 1) + share) / pieces;
    const Pair p = bow.at(std::max(s - 1e-3, 0.0));
    const Pair q = bow.at(std::min(s + 1e-3, 1.0));
    push(bow.at(s), {p[1] - q[1], q[0] - p[0]}, true,
         2 * part <= parts ? order_[gap] : order_[gap + 1]);
  }
}

}  // namespace equipoise::pareto
