#include "exchange.hpp"

#include <equipoise/compress/wire.hpp>

namespace equipoise::compress {
namespace {

constexpr int header_tag = 1;  // every tag has an even number; its header travels one above

}  // namespace

Exchange::Seal Exchange::seal(std::span<const std::byte> bytes) {
  return bytes.size() > header_threshold ? write_header(Header{}, bytes) : Seal{};
}

void Exchange::send(int peer, int tag, std::span<const std::byte> bytes, const Seal& seal,
                    Ticket& ticket) {
  if (bytes.size() > header_threshold) {
    ticket.header_bytes.assign(seal.begin(), seal.end());
    MPI_Isend(ticket.header_bytes.data(), static_cast<int>(Header::size), MPI_BYTE, peer,
              tag + header_tag, comm_.handle(), &ticket.header);
    traffic_.header_sent += static_cast<std::int64_t>(Header::size);
  }
  MPI_Isend(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, peer, tag, comm_.handle(),
            &ticket.payload);
  ticket.destination = {};
}

void Exchange::receive(int peer, int tag, std::span<std::byte> destination, Ticket& ticket) {
  if (destination.size() > header_threshold) {
    ticket.header_bytes.resize(Header::size);
    MPI_Irecv(ticket.header_bytes.data(), static_cast<int>(Header::size), MPI_BYTE, peer,
              tag + header_tag, comm_.handle(), &ticket.header);
    traffic_.header_received += static_cast<std::int64_t>(Header::size);
  }
  MPI_Irecv(destination.data(), static_cast<int>(destination.size()), MPI_BYTE, peer, tag,
            comm_.handle(), &ticket.payload);
  ticket.destination = destination;
}

void Exchange::finish(Ticket& ticket) {
  const bool checked = ticket.header != MPI_REQUEST_NULL && !ticket.destination.empty();
  MPI_Wait(&ticket.header, MPI_STATUS_IGNORE);
  MPI_Wait(&ticket.payload, MPI_STATUS_IGNORE);
  if (checked) check(ticket);
}

void Exchange::check(const Ticket& ticket) {
  static_cast<void>(read_header(ticket.header_bytes, ticket.destination));
}

void Exchange::receive_any_length(int peer, int tag, std::vector<std::byte>& buffer) {
  MPI_Message message = MPI_MESSAGE_NULL;
  MPI_Status status;
  MPI_Mprobe(peer, tag, comm_.handle(), &message, &status);
  int count = 0;
  MPI_Get_count(&status, MPI_BYTE, &count);
  buffer.resize(static_cast<std::size_t>(count));
  MPI_Mrecv(buffer.data(), count, MPI_BYTE, &message, MPI_STATUS_IGNORE);
  if (buffer.size() > header_threshold) {
    Ticket ticket;
    ticket.header_bytes.resize(Header::size);
    MPI_Recv(ticket.header_bytes.data(), static_cast<int>(Header::size), MPI_BYTE, peer,
             tag + header_tag, comm_.handle(), MPI_STATUS_IGNORE);
    traffic_.header_received += static_cast<std::int64_t>(Header::size);
    ticket.destination = buffer;
    check(ticket);
  }
}

}  // namespace equipoise::compress
