#include "generational.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/dominance.hpp>
#include <equipoise/pareto/hypervolume.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

namespace equipoise::pareto {
namespace {

constexpr std::size_t operators = 4;
constexpr std::size_t rivals = 3;     // operators whose shares follow their success
constexpr double reset_share = 0.04;  // of the fourth
constexpr double least_share = 0.02;  // so that no rival is ever forgotten
constexpr double selectivity = 8.0;   // shares go with this power of the survival rate
constexpr double memory = 800.0;      // children over which survival is averaged

/// Selection by hypervolume contribution (Beume, Naujoks, Emmerich 2007) in small batches, with
/// three ways to make children whose shares follow their success: simulated binary crossover with
/// polynomial mutation; a difference of two members added to a few variables (which keeps lattices
/// of local minima aligned); and differential evolution on most variables.
class HypervolumeSelection final : public Generational {
 public:
  using Generational::Generational;

 protected:
  void prepare() override {
    rank_ = nondominated_sort(population_.values(), population_.violation);
  }

  void vary(Population& children) const override {
    const std::size_t n = space_.variables();
    const std::size_t count = batch();
    std::vector<double> child(n);
    for (std::size_t i = 0; i < count; ++i) {
      Stream draw = stream(i);
      switch (pick(draw)) {
        case 0:
          cross(draw, child);
          break;
        case 1:
          differ(draw, child, 1.0, 1.5 / static_cast<double>(n));
          break;
        default:
          differ(draw, child, 0.4 + 0.5 * draw.uniform(), 0.9);
      }
      repair(space_, child);
      children.x.insert(children.x.end(), child.begin(), child.end());
    }
  }

  std::vector<std::size_t> survive(const Population& merged) override {
    std::vector<std::size_t> keep;
    for (const auto& front : fronts_until(merged, size())) {
      const auto chosen = reduce(merged, front, size() - keep.size());
      keep.insert(keep.end(), chosen.begin(), chosen.end());
    }
    return keep;
  }

  void learn(std::span<const std::size_t> keep, std::size_t first_child) override {
    std::array<double, operators> tried{};
    std::array<double, operators> stayed{};
    const std::size_t count = batch();
    std::vector<std::size_t> used(count);
    for (std::size_t i = 0; i < count; ++i) {
      Stream draw = stream(i);
      used[i] = pick(draw);
      tried[used[i]] += 1.0;
    }
    for (const std::size_t member : keep) {
      if (member >= first_child) stayed[used[member - first_child]] += 1.0;
    }
    const double fade = std::exp(-static_cast<double>(count) / memory);
    for (std::size_t o = 0; o < operators; ++o) {
      tried_[o] = fade * tried_[o] + tried[o];
      stayed_[o] = fade * stayed_[o] + stayed[o];
    }
  }

  [[nodiscard]] std::vector<double> extra() const override {
    std::vector<double> numbers(tried_.begin(), tried_.end());
    numbers.insert(numbers.end(), stayed_.begin(), stayed_.end());
    return numbers;
  }
  void set_extra(std::span<const double> numbers) override {
    std::copy_n(numbers.begin(), operators, tried_.begin());
    std::copy_n(numbers.begin() + operators, operators, stayed_.begin());
  }

 private:
  [[nodiscard]] std::size_t batch() const {
    return options_.offspring > 0 ? static_cast<std::size_t>(options_.offspring)
                                  : std::max<std::size_t>(1, size() / 10);
  }

  /// The operator of a child: the first draw of its stream.
  [[nodiscard]] std::size_t pick(Stream& draw) const {
    double u = draw.uniform();
    if (u < reset_share) return operators - 1;
    u = (u - reset_share) / (1.0 - reset_share);
    std::array<double, rivals> share{};
    double sum = 0.0;
    for (std::size_t o = 0; o < rivals; ++o) {
      share[o] = std::pow((stayed_[o] + 1.0) / (tried_[o] + 2.0), selectivity);
      sum += share[o];
    }
    for (std::size_t o = 0; o + 1 < rivals; ++o) {
      const double p =
          least_share + (1.0 - least_share * static_cast<double>(rivals)) * share[o] / sum;
      if (u < p) return o;
      u -= p;
    }
    return rivals - 1;
  }

  [[nodiscard]] std::size_t parent(Stream& draw) const {
    const std::size_t a = draw.below(population_.size());
    const std::size_t b = draw.below(population_.size());
    return rank_[b] < rank_[a] ? b : a;
  }

  void cross(Stream& draw, std::span<double> child) const {
    const auto a = population_.point(parent(draw));
    const auto b = population_.point(parent(draw));
    std::copy(a.begin(), a.end(), child.begin());
    std::vector<double> other(b.begin(), b.end());
    if (draw.uniform() < options_.crossover) {
      simulated_binary_crossover(space_, options_.crossover_index, draw, child, other);
    }
    polynomial_mutation(space_, mutation_probability(), options_.mutation_index, draw, child);
  }

  void reset(Stream& draw, std::span<double> child) const {
    const auto base = population_.point(parent(draw));
    std::copy(base.begin(), base.end(), child.begin());
    const std::size_t j = draw.below(child.size());
    child[j] = space_.lower[j] + draw.uniform() * (space_.upper[j] - space_.lower[j]);
  }

  void differ(Stream& draw, std::span<double> child, double scale, double share) const {
    const auto base = population_.point(parent(draw));
    const auto b = population_.point(draw.below(population_.size()));
    const auto c = population_.point(draw.below(population_.size()));
    const std::size_t forced = draw.below(child.size());
    for (std::size_t j = 0; j < child.size(); ++j) {
      const bool moves = draw.uniform() < share || j == forced;
      child[j] = base[j] + (moves ? scale * (b[j] - c[j]) : 0.0);
    }
    polynomial_mutation(space_, mutation_probability() * 0.5, options_.mutation_index, draw, child);
  }

  /// `count` members of a front, the least contributor removed again and again. Contributions only
  /// grow as others go, so a stale one is a lower bound: only the smallest is computed anew.
  [[nodiscard]] std::vector<std::size_t> reduce(const Population& merged,
                                                std::span<const std::size_t> front,
                                                std::size_t count) const {
    std::vector<std::size_t> members(front.begin(), front.end());
    if (members.size() <= count) return members;
    if (std::isinf(merged.value(members[0])[0])) {
      members.resize(count);
      return members;
    }
    PointSet points = select(merged.values(), members);
    points = normalized(points, range_of(points));
    const std::vector<double> reference(points.objectives, options_.reference);
    auto share = hypervolume_contributions(points, reference);
    std::vector<bool> fresh(members.size(), true);
    while (members.size() > count) {
      const auto least =
          static_cast<std::size_t>(std::min_element(share.begin(), share.end()) - share.begin());
      if (!fresh[least]) {
        share[least] = exclusive_hypervolume(points, reference, least);
        fresh[least] = true;
        continue;
      }
      const auto at = static_cast<std::ptrdiff_t>(least);
      const auto k = static_cast<std::ptrdiff_t>(points.objectives);
      members.erase(members.begin() + at);
      share.erase(share.begin() + at);
      fresh.erase(fresh.begin() + at);
      points.values.erase(points.values.begin() + at * k, points.values.begin() + (at + 1) * k);
      std::fill(fresh.begin(), fresh.end(), false);
    }
    return members;
  }

  std::vector<std::int64_t> rank_;
  std::array<double, operators> tried_{};
  std::array<double, operators> stayed_{};
};

}  // namespace

std::unique_ptr<Algorithm> make_hypervolume(const Space& space, const AlgorithmOptions& options,
                                            std::uint64_t seed, std::int64_t island) {
  if (space.objectives > 6) {
    throw ConfigurationError(
        "method hypervolume is for up to 6 objectives, the problem has {}: use method.name=nsga3",
        space.objectives);
  }
  return std::make_unique<HypervolumeSelection>(space, options, seed, island);
}

}  // namespace equipoise::pareto
