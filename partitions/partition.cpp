#include <equipoise/parallel/error.hpp>
#include <equipoise/partition/partition.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::partition {
namespace {

void check_parts(int parts) {
  if (parts < 1) throw ConfigurationError("a partition needs at least one part, got {}", parts);
}

}  // namespace

Partition Partition::uniform(std::int64_t items, int parts) {
  check_parts(parts);
  if (items < 0) throw ConfigurationError("a partition cannot have {} items", items);
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(parts) + 1, 0);
  const std::int64_t base = items / parts;
  const std::int64_t extra = items % parts;
  for (std::int64_t p = 0; p < parts; ++p) {
    const auto at = static_cast<std::size_t>(p);
    offsets[at + 1] = offsets[at] + base + (p < extra ? 1 : 0);
  }
  return Partition(std::move(offsets));
}

Partition Partition::by_cost(std::span<const double> costs, int parts) {
  check_parts(parts);
  double total = 0.0;
  for (std::size_t i = 0; i < costs.size(); ++i) {
    if (!(costs[i] >= 0.0) || std::isinf(costs[i])) {
      throw ConfigurationError("the cost of item {} is {}; costs must be finite and not negative",
                               i, costs[i]);
    }
    total += costs[i];
  }
  if (total == 0.0) return uniform(static_cast<std::int64_t>(costs.size()), parts);
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(parts) + 1,
                                    static_cast<std::int64_t>(costs.size()));
  offsets[0] = 0;
  double prefix = 0.0;
  std::size_t part = 1;
  for (std::size_t i = 0; i < costs.size() && part < static_cast<std::size_t>(parts); ++i) {
    // An item belongs to the part in which its middle lies.
    const double middle = prefix + 0.5 * costs[i];
    while (part < static_cast<std::size_t>(parts) &&
           middle >= total * static_cast<double>(part) / parts) {
      offsets[part++] = static_cast<std::int64_t>(i);
    }
    prefix += costs[i];
  }
  return Partition(std::move(offsets));
}

Partition Partition::from_offsets(std::vector<std::int64_t> offsets) {
  if (offsets.size() < 2 || offsets.front() != 0 ||
      !std::is_sorted(offsets.begin(), offsets.end())) {
    throw ConfigurationError(
        "partition offsets must start at 0, ascend, and name at least one part");
  }
  return Partition(std::move(offsets));
}

int Partition::owner(std::int64_t i) const {
  const auto after = std::upper_bound(offsets_.begin(), offsets_.end(), i);
  return static_cast<int>(after - offsets_.begin()) - 1;
}

Layout::Layout(Partition chunks, Partition owners)
    : chunks_(std::move(chunks)), owners_(std::move(owners)) {
  if (owners_.size() != chunks_.parts()) {
    throw ConfigurationError("a layout of {} chunks got owners for {}", chunks_.parts(),
                             owners_.size());
  }
  std::vector<std::int64_t> offsets;
  for (const std::int64_t chunk : owners_.offsets()) {
    offsets.push_back(chunks_.offsets()[static_cast<std::size_t>(chunk)]);
  }
  coordinates_ = Partition::from_offsets(std::move(offsets));
}

Layout Layout::uniform(std::int64_t dimension, int chunk_count, int ranks) {
  return {Partition::uniform(dimension, chunk_count), Partition::uniform(chunk_count, ranks)};
}

int default_chunks(std::int64_t dimension) {
  return static_cast<int>(std::clamp<std::int64_t>((dimension + 63) / 64, 1, 4096));
}

}  // namespace equipoise::partition
