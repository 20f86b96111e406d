#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/exact_sum.hpp>
#include <equipoise/partition/distributed_vector.hpp>

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <utility>

namespace equipoise::partition {
namespace {

constexpr std::size_t width = 8;   // accumulators of a chunk
constexpr std::size_t batch = 16;  // pairs in one reduction

/// Sum of term(0..count-1): term i goes to accumulator i mod 8, and these are added pairwise.
template <class Term>
double chunk_sum(std::size_t count, Term term) {
  std::array<double, width> part{};
  std::size_t i = 0;
  for (; i + width <= count; i += width) {
    for (std::size_t k = 0; k < width; ++k) part[k] += term(i + k);
  }
  for (std::size_t k = 0; i < count; ++i, ++k) part[k] += term(i);
  return ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
}

/// Adds term(0..) over this rank's coordinates to `total`, chunk by chunk.
template <class Term>
void add_chunks(const Layout& layout, int rank, Term term, parallel::ExactSum& total) {
  const Range chunks = layout.owners().range(rank);
  const std::int64_t first = layout.owned(rank).begin;
  for (std::int64_t c = chunks.begin; c < chunks.end; ++c) {
    const Range chunk = layout.chunks().range(static_cast<int>(c));
    const auto offset = static_cast<std::size_t>(chunk.begin - first);
    total.add(chunk_sum(static_cast<std::size_t>(chunk.size()),
                        [&](std::size_t i) { return term(offset + i); }));
  }
}

}  // namespace

void dots(const parallel::Comm& comm, const Layout& layout, std::span<const DotPair> pairs,
          std::span<double> out) {
  assert(pairs.size() == out.size());
  std::array<parallel::ExactSum, batch> totals;
  for (std::size_t begin = 0; begin < pairs.size(); begin += batch) {
    const std::size_t count = std::min(batch, pairs.size() - begin);
    for (std::size_t k = 0; k < count; ++k) {
      const auto [a, b] = pairs[begin + k];
      assert(a.size() == b.size());
      assert(static_cast<std::int64_t>(a.size()) == layout.owned(comm.rank()).size());
      totals[k].clear();
      add_chunks(
          layout, comm.rank(), [x = a.data(), y = b.data()](std::size_t i) { return x[i] * y[i]; },
          totals[k]);
    }
    parallel::exact_sums(comm, std::span(totals).first(count), out.subspan(begin, count));
  }
}

double dot(const parallel::Comm& comm, const Layout& layout, std::span<const double> a,
           std::span<const double> b) {
  const DotPair pair{a, b};
  double result = 0.0;
  dots(comm, layout, {&pair, 1}, {&result, 1});
  return result;
}

double norm(const parallel::Comm& comm, const Layout& layout, std::span<const double> a) {
  return std::sqrt(dot(comm, layout, a, a));
}

double sum(const parallel::Comm& comm, const Layout& layout, std::span<const double> a) {
  parallel::ExactSum total;
  add_chunks(
      layout, comm.rank(), [x = a.data()](std::size_t i) { return x[i]; }, total);
  double result = 0.0;
  parallel::exact_sums(comm, {&total, 1}, {&result, 1});
  return result;
}

DistributedVector::DistributedVector(const parallel::Comm& comm, Layout layout)
    : comm_(comm), layout_(std::move(layout)) {
  if (layout_.coordinates().parts() != comm_.size()) {
    throw ConfigurationError("a vector over {} ranks needs a layout for as many, got one for {}",
                             comm_.size(), layout_.coordinates().parts());
  }
  data_.resize(static_cast<std::size_t>(range().size()));
}

double DistributedVector::dot(const DistributedVector& other) const {
  return partition::dot(comm_, layout_, data_, other.data_);
}

double DistributedVector::norm() const { return partition::norm(comm_, layout_, data_); }

}  // namespace equipoise::partition
