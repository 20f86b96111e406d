#include "program_spread.hpp"

#include <cstddef>

namespace equipoise::problems {
namespace {

struct Blocks {
  std::vector<int> counts, offsets;
};

Blocks blocks(const partition::Layout& layout) {
  Blocks b;
  const auto& owners = layout.coordinates();
  for (int r = 0; r < owners.parts(); ++r) {
    b.counts.push_back(static_cast<int>(owners.range(r).size()));
    b.offsets.push_back(static_cast<int>(owners.range(r).begin));
  }
  return b;
}

}  // namespace

std::vector<double> gather(const parallel::Comm& comm, const partition::Layout& layout,
                           const std::vector<double>& owned) {
  const Blocks b = blocks(layout);
  std::vector<double> whole(comm.rank() == 0 ? static_cast<std::size_t>(layout.dimension()) : 0);
  MPI_Gatherv(owned.data(), static_cast<int>(owned.size()), MPI_DOUBLE, whole.data(),
              b.counts.data(), b.offsets.data(), MPI_DOUBLE, 0, comm.handle());
  return whole;
}

std::vector<partition::Triplet> gather(const parallel::Comm& comm,
                                       const std::vector<partition::Triplet>& owned) {
  MPI_Datatype triplet = MPI_DATATYPE_NULL;
  MPI_Type_contiguous(static_cast<int>(sizeof(partition::Triplet)), MPI_BYTE, &triplet);
  MPI_Type_commit(&triplet);
  const int mine = static_cast<int>(owned.size());
  std::vector<int> counts(static_cast<std::size_t>(comm.size())), offsets(counts.size());
  MPI_Gather(&mine, 1, MPI_INT, counts.data(), 1, MPI_INT, 0, comm.handle());
  int total = 0;
  for (std::size_t r = 0; r < counts.size(); ++r) {
    offsets[r] = total;
    total += counts[r];
  }
  std::vector<partition::Triplet> whole(comm.rank() == 0 ? static_cast<std::size_t>(total) : 0);
  MPI_Gatherv(owned.data(), mine, triplet, whole.data(), counts.data(), offsets.data(), triplet, 0,
              comm.handle());
  MPI_Type_free(&triplet);
  return whole;
}

std::vector<double> scatter(const parallel::Comm& comm, const partition::Layout& layout,
                            const std::vector<double>& whole) {
  const Blocks b = blocks(layout);
  std::vector<double> owned(static_cast<std::size_t>(layout.owned(comm.rank()).size()));
  MPI_Scatterv(whole.data(), b.counts.data(), b.offsets.data(), MPI_DOUBLE, owned.data(),
               static_cast<int>(owned.size()), MPI_DOUBLE, 0, comm.handle());
  return owned;
}

}  // namespace equipoise::problems
