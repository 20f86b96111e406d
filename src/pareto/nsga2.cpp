#include "generational.hpp"

#include <equipoise/pareto/dominance.hpp>

#include <algorithm>
#include <numeric>

namespace equipoise::pareto {
namespace {

/// NSGA-II (Deb, Pratap, Agarwal, Meyarivan 2002) with the pruning of Kukkonen and Deb (2006): the
/// front that does not fit any more loses its most crowded member again and again, not all at once;
/// from three objectives on the distances to the nearest neighbours say what is crowded.
class Nsga2 final : public Generational {
 public:
  using Generational::Generational;

 protected:
  void prepare() override {
    rank_ = nondominated_sort(population_.values(), population_.violation);
    crowding_.assign(population_.size(), 0.0);
    const std::int64_t last = *std::max_element(rank_.begin(), rank_.end());
    for (std::int64_t r = 0; r <= last; ++r) {
      std::vector<std::size_t> members;
      for (std::size_t i = 0; i < rank_.size(); ++i) {
        if (rank_[i] == r) members.push_back(i);
      }
      const auto distance = population_.objectives == 2
                                ? crowding_distance(population_.values(), members)
                                : vicinity_distance(population_.values(), members);
      for (std::size_t i = 0; i < members.size(); ++i) crowding_[members[i]] = distance[i];
    }
  }

  void vary(Population& children) const override {
    // Two random orders of the population: every member meets two others.
    std::vector<std::size_t> parents;
    std::vector<std::size_t> order(population_.size());
    for (std::size_t round = 0; round < 2; ++round) {
      std::iota(order.begin(), order.end(), std::size_t{0});
      Stream draw = stream(round);
      for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[draw.below(i)]);
      for (std::size_t i = 0; i < order.size(); i += 2) {
        const std::size_t b = order[i + 1 < order.size() ? i + 1 : 0];
        parents.push_back(crowded_tournament(rank_, crowding_, order[i], b));
      }
    }
    parents.resize(population_.size());
    recombine(space_, options_, mutation_probability(), population_, parents, seed_, island_,
              generation_, children);
  }

  std::vector<std::size_t> survive(const Population& merged) override {
    std::vector<std::size_t> keep;
    for (auto& front : fronts_until(merged, size())) {
      front = thin_out(merged.values(), front, size() - keep.size());
      keep.insert(keep.end(), front.begin(), front.end());
    }
    return keep;
  }

 private:
  std::vector<std::int64_t> rank_;
  std::vector<double> crowding_;
};

}  // namespace

std::unique_ptr<Algorithm> make_nsga2(const Space& space, const AlgorithmOptions& options,
                                      std::uint64_t seed, std::int64_t island) {
  return std::make_unique<Nsga2>(space, options, seed, island);
}

}  // namespace equipoise::pareto
