#include <equipoise/bilevel/exchange.hpp>
#include <equipoise/parallel/virtual_ranks.hpp>

#include <mpi.h>

#include <algorithm>
#include <cstring>

namespace equipoise::bilevel {
namespace {

compress::MeanSetting complete(const Blocks& blocks, std::int64_t dimension,
                               compress::MeanSetting setting) {
  setting.dimension = dimension;
  setting.weights = blocks.class_weights();
  return setting;
}

}  // namespace

Exchange::Exchange(const Blocks& blocks, std::int64_t dimension, compress::MeanSetting setting)
    : blocks_(&blocks),
      dimension_(static_cast<std::size_t>(dimension)),
      terms_(static_cast<std::size_t>(blocks.hosted().size() * dimension)),
      mean_(blocks.comm(), blocks.classes(), complete(blocks, dimension, std::move(setting))),
      touched_(static_cast<std::size_t>(blocks.hosted().size())) {}

std::span<double> Exchange::row(std::int64_t number) {
  return std::span(terms_).subspan(
      static_cast<std::size_t>(number - blocks_->hosted().begin) * dimension_, dimension_);
}

void Exchange::clear() {
  for (std::size_t c = 0; c < touched_.size() && !dense_terms_; ++c) {
    for (const auto k : touched_[c]) terms_[c * dimension_ + static_cast<std::size_t>(k)] = 0.0;
  }
  if (dense_terms_) std::fill(terms_.begin(), terms_.end(), 0.0);
  for (auto& list : touched_) list.clear();
  dense_terms_ = false;
}

void Exchange::add(std::int64_t block, double weight, std::span<const double> h) {
  const std::int64_t number = blocks_->class_of(block);
  const double share =
      weight / (blocks_->class_weight(number) * static_cast<double>(blocks_->count()));
  const auto to = row(number);
  for (std::size_t k = 0; k < dimension_; ++k) to[k] += share * h[k];
  dense_terms_ = true;
}

void Exchange::add_sparse(std::int64_t block, double weight, std::span<const double> h,
                          std::span<const std::int64_t> support) {
  if (!sparse_allowed_) return add(block, weight, h);
  const std::int64_t number = blocks_->class_of(block);
  const double share =
      weight / (blocks_->class_weight(number) * static_cast<double>(blocks_->count()));
  const auto to = row(number);
  auto& list = touched_[static_cast<std::size_t>(number - blocks_->hosted().begin)];
  for (const auto k : support) {
    to[static_cast<std::size_t>(k)] += share * h[static_cast<std::size_t>(k)];
    list.push_back(k);
  }
}

/// True on every rank if the pairs of all ranks are few.
bool Exchange::few() {
  constexpr std::int64_t many = std::int64_t{1} << 40U;
  std::int64_t count = dense_terms_ ? many : 0;
  for (auto& list : touched_) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
    count += std::ssize(list);
  }
  return 4 * blocks_->comm().sum(count) < static_cast<std::int64_t>(dimension_) &&
         dimension_ < (std::size_t{1} << 31U);
}

void Exchange::start(std::int64_t iteration, std::span<double> out) {
  out_ = out;
  pairs_ = sparse_allowed_ && few();
  if (!pairs_) mean_.start(iteration, terms_, out);
}

void Exchange::finish() {
  if (pairs_) return mean_of_pairs(out_);
  mean_.finish();
}

/// Every class as its number of pairs, their indices and their values, to all ranks.
void Exchange::mean_of_pairs(std::span<double> out) {
  using Index = std::int32_t;
  constexpr std::size_t pair = sizeof(Index) + sizeof(double);
  packed_.clear();
  const auto put = [&](const auto& value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    packed_.insert(packed_.end(), bytes, bytes + sizeof value);
  };
  for (std::size_t c = 0; c < touched_.size(); ++c) {
    put(static_cast<Index>(touched_[c].size()));
    for (const auto k : touched_[c]) put(static_cast<Index>(k));
    for (const auto k : touched_[c]) put(terms_[c * dimension_ + static_cast<std::size_t>(k)]);
  }
  const auto& comm = blocks_->comm();
  const int ranks = comm.size(), mine = static_cast<int>(packed_.size());
  std::vector<int> sizes(static_cast<std::size_t>(ranks)), places(sizes.size());
  MPI_Allgather(&mine, 1, MPI_INT, sizes.data(), 1, MPI_INT, comm.handle());
  int all = 0;
  for (std::size_t r = 0; r < sizes.size(); all += sizes[r], ++r) places[r] = all;
  gathered_.resize(static_cast<std::size_t>(all));
  MPI_Allgatherv(packed_.data(), mine, MPI_BYTE, gathered_.data(), sizes.data(), places.data(),
                 MPI_BYTE, comm.handle());
  std::fill(out.begin(), out.end(), 0.0);
  const std::byte* at = gathered_.data();
  const auto take = [](const std::byte* from, auto& value) {
    std::memcpy(&value, from, sizeof value);
  };
  std::int64_t largest = 0;
  const auto header = static_cast<std::int64_t>(sizeof(Index));
  auto* const virtually = comm.rank() == 0 ? parallel::VirtualRanks::on(comm) : nullptr;
  const auto classes =
      virtually ? partition::Partition::uniform(blocks_->classes().size(), virtually->size())
                : blocks_->classes();
  for (std::int64_t number = 0; number < blocks_->classes().size(); ++number) {
    Index count = 0;
    take(at, count);
    at += sizeof count;
    const double weight = blocks_->class_weight(number);
    const std::byte* const values = at + static_cast<std::size_t>(count) * sizeof(Index);
    for (std::size_t k = 0; k < static_cast<std::size_t>(count); ++k) {
      Index index = 0;
      double value = 0.0;
      take(at + k * sizeof index, index);
      take(values + k * sizeof value, value);
      out[static_cast<std::size_t>(index)] += weight * value;
    }
    at = values + static_cast<std::size_t>(count) * sizeof(double);
    largest = std::max<std::int64_t>(largest, count);
    if (virtually) {
      virtually->to_all(classes.owner(number), {static_cast<std::int64_t>(pair) * count, header});
    }
  }
  const std::int64_t mine_headers = header * blocks_->hosted().size(),
                     all_headers = header * blocks_->classes().size();
  sparse_traffic_.uplink_per_agent += largest * static_cast<std::int64_t>(pair);
  sparse_traffic_.downlink_per_agent += all - all_headers;
  sparse_traffic_.sent += (ranks - 1) * (mine - mine_headers);
  sparse_traffic_.received += (all - all_headers) - (mine - mine_headers);
  sparse_traffic_.header_sent += (ranks - 1) * mine_headers;
  sparse_traffic_.header_received += all_headers - mine_headers;
  ++sparse_traffic_.rounds;
}

void Exchange::set_class(std::int64_t number, std::span<const double> h) {
  std::copy(h.begin(), h.end(),
            terms_.begin() + static_cast<std::ptrdiff_t>(number - blocks_->hosted().begin) *
                                 static_cast<std::ptrdiff_t>(dimension_));
  dense_terms_ = true;
}

}  // namespace equipoise::bilevel
