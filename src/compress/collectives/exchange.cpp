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
    ticket.header_bytes = seal;
    MPI_Isend(ticket.header_bytes.data(), static_cast<int>(Header::size), MPI_BYTE, peer,
              tag + header_tag, comm_.handle(), &ticket.header);
    traffic_.header_sent += static_cast<std::int64_t>(Header::size);
  }
  MPI_Isend(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, peer, tag, comm_.handle(),
            &ticket.payload);
  ticket.arrived = {};
}

void Exchange::receive(int peer, int tag, std::span<std::byte> destination, Ticket& ticket) {
  ticket.arrived = {};
  if (destination.size() > header_threshold) {
    MPI_Irecv(ticket.header_bytes.data(), static_cast<int>(Header::size), MPI_BYTE, peer,
              tag + header_tag, comm_.handle(), &ticket.header);
    traffic_.header_received += static_cast<std::int64_t>(Header::size);
    ticket.arrived = destination;
  }
  MPI_Irecv(destination.data(), static_cast<int>(destination.size()), MPI_BYTE, peer, tag,
            comm_.handle(), &ticket.payload);
}

void Exchange::wait(Ticket& ticket) {
  MPI_Wait(&ticket.header, MPI_STATUS_IGNORE);
  MPI_Wait(&ticket.payload, MPI_STATUS_IGNORE);
}

void Exchange::check(const Ticket& ticket) {
  if (!ticket.arrived.empty()) static_cast<void>(read_header(ticket.header_bytes, ticket.arrived));
}

void Exchange::receive_any_length(int peer, int tag, std::vector<std::byte>& buffer,
                                  Ticket& ticket) {
  MPI_Message message = MPI_MESSAGE_NULL;
  MPI_Status status;
  MPI_Mprobe(peer, tag, comm_.handle(), &message, &status);
  int count = 0;
  MPI_Get_count(&status, MPI_BYTE, &count);
  buffer.resize(static_cast<std::size_t>(count));
  MPI_Mrecv(buffer.data(), count, MPI_BYTE, &message, MPI_STATUS_IGNORE);
  ticket.arrived = {};
  if (buffer.size() > header_threshold) {
    MPI_Recv(ticket.header_bytes.data(), static_cast<int>(Header::size), MPI_BYTE, peer,
             tag + header_tag, comm_.handle(), MPI_STATUS_IGNORE);
    traffic_.header_received += static_cast<std::int64_t>(Header::size);
    ticket.arrived = buffer;
  }
}

}  // namespace equipoise::compress
