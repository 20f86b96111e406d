#pragma once

#include <equipoise/parallel/comm.hpp>

#include <type_traits>
#include <vector>

namespace equipoise::problems {

/// How many items every rank holds, known on rank 0.
struct RankCounts {
  std::vector<int> counts, offsets;
  int total = 0;
  /// **Collective**, one gather of 4 bytes.
  RankCounts(const parallel::Comm& comm, std::size_t mine);
};

/// An MPI type of `size` bytes.
class ItemType {
 public:
  explicit ItemType(std::size_t size);
  ~ItemType() { MPI_Type_free(&type_); }
  ItemType(const ItemType&) = delete;
  ItemType& operator=(const ItemType&) = delete;
  [[nodiscard]] MPI_Datatype handle() const { return type_; }

 private:
  MPI_Datatype type_ = MPI_DATATYPE_NULL;
};

/// All items on rank 0, rank after rank; empty elsewhere. **Collective**, one gather and one
/// gatherv.
template <class T>
std::vector<T> gather(const parallel::Comm& comm, const std::vector<T>& owned) {
  static_assert(std::is_trivially_copyable_v<T>);
  const RankCounts ranks(comm, owned.size());
  const ItemType type(sizeof(T));
  std::vector<T> whole(static_cast<std::size_t>(ranks.total));
  MPI_Gatherv(owned.data(), static_cast<int>(owned.size()), type.handle(), whole.data(),
              ranks.counts.data(), ranks.offsets.data(), type.handle(), 0, comm.handle());
  return whole;
}

/// The reverse: every rank's `mine` items from those on rank 0. **Collective**, one gather and one
/// scatterv.
template <class T>
std::vector<T> scatter(const parallel::Comm& comm, const std::vector<T>& whole, std::size_t mine) {
  static_assert(std::is_trivially_copyable_v<T>);
  const RankCounts ranks(comm, mine);
  const ItemType type(sizeof(T));
  std::vector<T> owned(mine);
  MPI_Scatterv(whole.data(), ranks.counts.data(), ranks.offsets.data(), type.handle(), owned.data(),
               static_cast<int>(mine), type.handle(), 0, comm.handle());
  return owned;
}

}  // namespace equipoise::problems
