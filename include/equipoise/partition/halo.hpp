#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/parallel/traffic.hpp>
#include <equipoise/partition/partition.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace equipoise::partition {

/// Brings foreign entries of a partitioned vector: the values of this rank's ghosts, in ascending
/// order of their global indices.
///
/// Ten entries over three ranks, each rank needing the neighbours of what it owns, in a ring:
///
///     global    0  1  2  3 | 4  5  6 | 7  8  9
///     rank 0    o  o  o  o   g               g      owned()  0..3, ghosts 4 9
///     rank 1             g   o  o  o   g            owned()  4..6, ghosts 3 7
///     rank 2    g                  g   o  o  o      owned()  7..9, ghosts 0 6
///
/// Rank 0 says once, when the halo is made, that it needs 4 from rank 1 and 9 from rank 2; rank 1
/// never learns of anybody but its neighbours (no array has the length of the number of ranks
/// beside the partition itself). After that an exchange is one message from each owner to each
/// reader. Vectors hold owned entries only, so no ghost can be stale: ghosts are what the last
/// exchange returned.
///
/// Nothing is allocated after construction. Halos on one communicator may overlap as long as all
/// ranks begin them in the same order.
class Halo {
 public:
  /// `ghosts`: ascending, no repeats, none owned by this rank; empty is fine.
  /// Throws a ConfigurationError (on all ranks) otherwise.
  /// **Collective**, a sparse exchange: 8 bytes a ghost.
  Halo(const parallel::Comm& comm, const Partition& coordinates, std::vector<std::int64_t> ghosts);
  Halo(Halo&&) = default;
  Halo& operator=(Halo&&) = default;
  Halo(const Halo&) = delete;
  Halo& operator=(const Halo&) = delete;
  ~Halo() = default;

  /// Sends what others need of `owned` [owned(rank).size()], which may be changed as soon as this
  /// returns.
  /// **Collective** among neighbours: 8 bytes a ghost, one message a neighbour.
  void begin(std::span<const double> owned);
  /// Waits, and returns the ghosts' values, valid until the next `begin`. **Collective** among
  /// neighbours.
  std::span<const double> end();
  /// `begin` and `end`. **Collective** among neighbours.
  std::span<const double> exchange(std::span<const double> owned) {
    begin(owned);
    return end();
  }

  /// The ghosts' global indices, ascending.
  [[nodiscard]] std::span<const std::int64_t> ghosts() const { return ghosts_; }
  /// Bytes moved so far: values are payload, the index lists of the construction are headers.
  [[nodiscard]] const parallel::Traffic& traffic() const { return traffic_; }

 private:
  /// Entries offset..offset+count of a buffer, exchanged with one rank.
  struct Neighbour {
    int rank = 0;
    int count = 0;
    std::size_t offset = 0;
  };

  parallel::Comm comm_;
  std::vector<std::int64_t> ghosts_;
  std::vector<Neighbour> owners_;         // of the ghosts, in their order
  std::vector<Neighbour> readers_;        // of owned entries
  std::vector<std::int64_t> send_index_;  // positions in the owned entries, reader by reader
  std::vector<double> send_buffer_;
  std::vector<double> ghost_values_;
  std::vector<MPI_Request> requests_;
  parallel::Traffic traffic_;
};

}  // namespace equipoise::partition
