#include <equipoise/parallel/error.hpp>
#include <equipoise/partition/grid.hpp>

#include <limits>

namespace equipoise::partition {

Layout grid(std::int64_t n0, std::int64_t n1, std::int64_t n2, int ranks) {
  if (n0 < 1 || n1 < 1 || n2 < 1 || n0 > std::numeric_limits<int>::max()) {
    throw ConfigurationError(
        "a grid needs positive sizes and fewer than 2^31 slabs, got {} x {} x {}", n0, n1, n2);
  }
  return Layout::uniform(n0 * n1 * n2, static_cast<int>(n0), ranks);
}

Layout grid(std::int64_t n0, std::int64_t n1, int ranks) { return grid(n0, n1, 1, ranks); }

}  // namespace equipoise::partition
