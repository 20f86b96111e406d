#include "program_spread.hpp"

namespace equipoise::problems {

RankCounts::RankCounts(const parallel::Comm& comm, std::size_t mine)
    : counts(static_cast<std::size_t>(comm.size())), offsets(counts.size()) {
  const int count = static_cast<int>(mine);
  MPI_Gather(&count, 1, MPI_INT, counts.data(), 1, MPI_INT, 0, comm.handle());
  if (comm.rank() != 0) return;
  for (std::size_t r = 0; r < counts.size(); ++r) {
    offsets[r] = total;
    total += counts[r];
  }
}

ItemType::ItemType(std::size_t size) {
  MPI_Type_contiguous(static_cast<int>(size), MPI_BYTE, &type_);
  MPI_Type_commit(&type_);
}

}  // namespace equipoise::problems
