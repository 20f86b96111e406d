#include <equipoise/partition/sparse_exchange.hpp>

#include <algorithm>

namespace equipoise::partition::detail {
namespace {

constexpr int tag = 7301;

}  // namespace

std::vector<Message<std::byte>> sparse_exchange(const parallel::Comm& comm,
                                                const std::vector<Message<std::byte>>& outgoing,
                                                std::size_t size, parallel::Traffic* traffic) {
  MPI_Datatype item = MPI_DATATYPE_NULL;
  MPI_Type_contiguous(static_cast<int>(size), MPI_BYTE, &item);
  MPI_Type_commit(&item);

  std::vector<Message<std::byte>> incoming;
  std::vector<MPI_Request> sends;
  sends.reserve(outgoing.size());
  for (const auto& message : outgoing) {
    if (message.items.empty()) continue;
    if (message.rank == comm.rank()) {
      incoming.push_back(message);
      continue;
    }
    sends.emplace_back();
    MPI_Issend(message.items.data(), static_cast<int>(message.items.size() / size), item,
               message.rank, tag, comm.handle(), &sends.back());
    if (traffic) traffic->header_sent += static_cast<std::int64_t>(message.items.size());
  }

  MPI_Request consensus = MPI_REQUEST_NULL;
  bool entered = false;
  for (int done = 0; done == 0;) {
    int found = 0;
    MPI_Status status;
    MPI_Iprobe(MPI_ANY_SOURCE, tag, comm.handle(), &found, &status);
    if (found != 0) {
      int count = 0;
      MPI_Get_count(&status, item, &count);
      incoming.push_back(
          {status.MPI_SOURCE, std::vector<std::byte>(static_cast<std::size_t>(count) * size)});
      MPI_Recv(incoming.back().items.data(), count, item, status.MPI_SOURCE, tag, comm.handle(),
               MPI_STATUS_IGNORE);
      if (traffic)
        traffic->header_received += static_cast<std::int64_t>(incoming.back().items.size());
    }
    if (entered) {
      MPI_Test(&consensus, &done, MPI_STATUS_IGNORE);
    } else {
      int arrived = 0;
      MPI_Testall(static_cast<int>(sends.size()), sends.data(), &arrived, MPI_STATUSES_IGNORE);
      if (arrived != 0) {
        MPI_Ibarrier(comm.handle(), &consensus);
        entered = true;
      }
    }
  }
  MPI_Type_free(&item);
  // Nobody may start the next exchange while another rank still probes for messages of this one.
  comm.barrier();
  std::sort(incoming.begin(), incoming.end(),
            [](const auto& a, const auto& b) { return a.rank < b.rank; });
  return incoming;
}

}  // namespace equipoise::partition::detail
