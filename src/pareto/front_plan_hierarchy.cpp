#include <equipoise/pareto/front_plan.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>

// Fronts of more than two objectives (specs: hierarchical Pascoletti-Serafini). The fronts of all
// subsets of the objectives, small subsets first; the front of a subset is bounded by those of its
// own subsets. A line along (1, ..., 1) in scaled objectives is named by the differences of its
// points from the last objective, which are multiples of the spacing: a lattice. The lines next to
// the points of the bounding fronts begin; lines whose point has positive multipliers alone pass on
// to their neighbours; where a multiplier vanishes the point lies on a bounding front, and nothing
// further out is asked for.
namespace equipoise::pareto {
namespace {

bool contains(std::int64_t subset, std::size_t objective) {
  return (static_cast<std::uint64_t>(subset) >> objective & 1U) != 0;
}
int count(std::int64_t subset) { return std::popcount(static_cast<std::uint64_t>(subset)); }
std::size_t last_of(std::int64_t subset) {
  return static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(subset))) - 1;
}

/// The range of an objective; 1 for one that does not vary.
double width_of(const Range& range, std::size_t i) {
  const double width = range.nadir[i] - range.ideal[i];
  return width > 1e-12 * (1.0 + std::abs(range.nadir[i])) ? width : 1.0;
}

}  // namespace

/// The share of every other objective in each: what the ends needed, so that no weight vanishes.
double FrontPlan::rest() const {
  double share = 0.0;
  for (std::size_t i = 0; i < objectives_; ++i) {
    const auto& w = members_[i].answer.weights;
    for (std::size_t j = 0; j < objectives_; ++j) {
      if (j != i && w[i] > 0.0) share = std::max(share, w[j] / w[i]);
    }
  }
  return share;
}

Scalarisation FrontPlan::along(std::int64_t subset, const std::vector<std::int64_t>& key) const {
  const double share = rest();
  std::vector<double> reference;
  std::vector<double> direction;
  std::vector<double> combinations;
  for (std::size_t i = 0; i < objectives_; ++i) {
    if (!contains(subset, i)) continue;
    const double width = width_of(range_, i);
    double at = range_.ideal[i] + static_cast<double>(key[i]) * options_.spacing * width;
    for (std::size_t j = 0; j < objectives_; ++j) {
      combinations.push_back(j == i ? 1.0 : share);
      if (j != i) at += share * range_.ideal[j];
    }
    reference.push_back(at);
    direction.push_back(width);
  }
  Scalarisation s = pascoletti_serafini(std::move(reference), std::move(direction));
  s.combinations = std::move(combinations);
  return s;
}

/// All multipliers of the subset count.
bool FrontPlan::inside(std::int64_t subset, const ScalarAnswer& answer) const {
  const double share = rest();
  const double total = 1.0 / (1.0 + share * static_cast<double>(objectives_ - 1));
  double least = 1.0;
  double sum = 0.0;
  for (std::size_t i = 0; i < objectives_; ++i) {
    if (!contains(subset, i)) continue;
    const double multiplier = (answer.weights[i] - share * total) * width_of(range_, i);
    least = std::min(least, multiplier);
    sum += multiplier;
  }
  return least > 1e-7 * sum;
}

void FrontPlan::spread(std::int64_t subset, const std::vector<std::int64_t>& faces,
                       std::vector<FrontTask>& tasks) {
  using Key = std::vector<std::int64_t>;
  std::set<Key> known;
  for (const auto& line : lines_) {
    if (line.subset == subset) known.insert(line.key);
  }
  const std::size_t last = last_of(subset);
  const auto ask = [&](Key key, std::int64_t parent) {
    const std::int64_t shift = key[last];
    for (std::size_t i = 0; i < objectives_; ++i) key[i] = contains(subset, i) ? key[i] - shift : 0;
    if (!known.insert(key).second) return;
    tasks.push_back({along(subset, key), parent, static_cast<std::int64_t>(asked_.size())});
    asked_.push_back({subset, -1, std::move(key)});
  };
  for (const auto& line : lines_) {
    if (line.subset != subset || line.member < 0) continue;
    for (std::size_t i = 0; i <= last; ++i) {
      if (!contains(subset, i)) continue;
      for (const std::int64_t step : {-1, 1}) {
        Key key = line.key;
        key[i] += step;
        ask(std::move(key), line.member);
      }
    }
  }
  // From each point of a bounding front to the corners of its cell.
  for (std::size_t m = 0; m < members_.size(); ++m) {
    if ((faces[m] & ~subset) != 0 || count(faces[m]) + 1 != count(subset)) continue;
    const auto& f = members_[m].answer.f;
    const auto scaled = [&](std::size_t i) {
      return (f[i] - range_.ideal[i]) / (width_of(range_, i) * options_.spacing);
    };
    std::vector<Key> corners{Key(objectives_, 0)};
    for (std::size_t i = 0; i < last; ++i) {
      if (!contains(subset, i)) continue;
      const auto low = static_cast<std::int64_t>(std::floor(scaled(i) - scaled(last)));
      const std::size_t before = corners.size();
      for (std::size_t c = 0; c < before; ++c) {
        corners[c][i] = low;
        corners.push_back(corners[c]);
        corners.back()[i] = low + 1;
      }
    }
    for (auto& corner : corners) ask(std::move(corner), static_cast<std::int64_t>(m));
  }
}

std::vector<FrontTask> FrontPlan::lines() {
  std::vector<FrontTask> tasks;
  asked_.clear();
  std::vector<std::int64_t> faces(members_.size(), 0);
  for (std::size_t i = 0; i < objectives_; ++i) faces[i] = std::int64_t{1} << i;
  for (const auto& line : lines_) {
    if (line.member >= 0) faces[static_cast<std::size_t>(line.member)] = line.subset;
  }
  const auto all = std::int64_t{1} << objectives_;
  for (int size = 2; size <= static_cast<int>(objectives_) && tasks.empty(); ++size) {
    for (std::int64_t subset = 1; subset < all; ++subset) {
      if (count(subset) == size) spread(subset, faces, tasks);
    }
  }
  return tasks;
}

void FrontPlan::absorb_lines() {
  for (std::size_t t = 0; t < tasks_.size(); ++t) {
    Line line = asked_[t];
    if (pending_[t].status == ScalarStatus::converged && inside(line.subset, pending_[t])) {
      line.member = static_cast<std::int64_t>(members_.size());
      members_.push_back({std::move(pending_[t]), tasks_[t].parent});
    }
    lines_.push_back(std::move(line));
  }
}

std::vector<std::int64_t> FrontPlan::pack_lines() const {
  std::vector<std::int64_t> numbers;
  for (const auto& line : lines_) {
    numbers.push_back(line.subset);
    numbers.push_back(line.member);
    numbers.insert(numbers.end(), line.key.begin(), line.key.end());
  }
  return numbers;
}

void FrontPlan::unpack_lines(const std::vector<std::int64_t>& numbers) {
  const auto k = static_cast<std::ptrdiff_t>(objectives_);
  lines_.clear();
  for (auto at = numbers.begin(); at != numbers.end(); at += k + 2)
    lines_.push_back({at[0], at[1], {at + 2, at + 2 + k}});
}

}  // namespace equipoise::pareto
