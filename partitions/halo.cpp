#include <equipoise/parallel/agree.hpp>
#include <equipoise/partition/halo.hpp>
#include <equipoise/partition/sparse_exchange.hpp>

#include <algorithm>
#include <cassert>
#include <utility>

namespace equipoise::partition {
namespace {

constexpr int tag = 7302;

void check(const Partition& coordinates, const parallel::Comm& comm,
           std::span<const std::int64_t> ghosts) {
  if (coordinates.parts() != comm.size()) {
    throw ConfigurationError("a halo over {} ranks needs a partition of as many parts, got {}",
                             comm.size(), coordinates.parts());
  }
  const Range owned = coordinates.range(comm.rank());
  for (std::size_t i = 0; i < ghosts.size(); ++i) {
    if (ghosts[i] < 0 || ghosts[i] >= coordinates.size()) {
      throw ConfigurationError("ghost {} lies outside 0..{}", ghosts[i], coordinates.size() - 1);
    }
    if (owned.contains(ghosts[i])) {
      throw ConfigurationError("ghost {} is owned by rank {} itself", ghosts[i], comm.rank());
    }
    if (i > 0 && ghosts[i] <= ghosts[i - 1]) {
      throw ConfigurationError("ghosts must ascend without repeats, but {} follows {}", ghosts[i],
                               ghosts[i - 1]);
    }
  }
}

}  // namespace

Halo::Halo(const parallel::Comm& comm, const Partition& coordinates,
           std::vector<std::int64_t> ghosts)
    : comm_(comm), ghosts_(std::move(ghosts)) {
  parallel::agree(comm_, [&] { check(coordinates, comm_, ghosts_); });
  std::vector<Message<std::int64_t>> wanted;
  for (std::size_t i = 0; i < ghosts_.size();) {
    const int owner = coordinates.owner(ghosts_[i]);
    const auto end = std::lower_bound(ghosts_.begin() + static_cast<std::ptrdiff_t>(i),
                                      ghosts_.end(), coordinates.range(owner).end);
    const auto next = static_cast<std::size_t>(end - ghosts_.begin());
    owners_.push_back({owner, static_cast<int>(next - i), i});
    wanted.push_back({owner, {ghosts_.begin() + static_cast<std::ptrdiff_t>(i), end}});
    i = next;
  }
  const std::int64_t first = coordinates.range(comm_.rank()).begin;
  for (const auto& message : sparse_exchange(comm_, wanted, &traffic_)) {
    readers_.push_back({message.rank, static_cast<int>(message.items.size()), send_index_.size()});
    for (const std::int64_t index : message.items) send_index_.push_back(index - first);
  }
  send_buffer_.resize(send_index_.size());
  ghost_values_.resize(ghosts_.size());
  requests_.resize(owners_.size() + readers_.size(), MPI_REQUEST_NULL);
}

void Halo::begin(std::span<const double> owned) {
  auto* request = requests_.data();
  for (const auto& from : owners_) {
    MPI_Irecv(ghost_values_.data() + from.offset, from.count, MPI_DOUBLE, from.rank, tag,
              comm_.handle(), request++);
  }
  for (std::size_t i = 0; i < send_index_.size(); ++i) {
    send_buffer_[i] = owned[static_cast<std::size_t>(send_index_[i])];
  }
  for (const auto& to : readers_) {
    MPI_Isend(send_buffer_.data() + to.offset, to.count, MPI_DOUBLE, to.rank, tag, comm_.handle(),
              request++);
  }
  traffic_.sent += static_cast<std::int64_t>(send_buffer_.size() * sizeof(double));
  traffic_.received += static_cast<std::int64_t>(ghost_values_.size() * sizeof(double));
  ++traffic_.rounds;
}

std::span<const double> Halo::end() {
  MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
  return ghost_values_;
}

}  // namespace equipoise::partition
