#include "../../src/compress/collectives/exchange.hpp"

#include <equipoise/compress/wire.hpp>
#include <equipoise/parallel/error.hpp>

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace equipoise::compress {
namespace {

std::vector<std::byte> some_bytes(std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 37 + 11);
  return bytes;
}

/// A rank that sends to itself: both ends of a channel in one place.
struct Channel {
  parallel::Comm comm;
  parallel::Traffic traffic;
  Exchange exchange{comm, traffic};

  /// Sends `header` and `message` as they are, and receives them as `expected` bytes.
  std::string complaint(std::vector<std::byte> header, std::vector<std::byte> message,
                        std::size_t expected) {
    std::vector<std::byte> to(expected);
    Exchange::Ticket ticket;
    exchange.receive(0, 4, to, ticket);
    MPI_Send(header.data(), static_cast<int>(header.size()), MPI_BYTE, 0, 5, comm.handle());
    MPI_Send(message.data(), static_cast<int>(message.size()), MPI_BYTE, 0, 4, comm.handle());
    try {
      Exchange::wait(ticket);
      Exchange::check(ticket);
    } catch (const Error& error) {
      return error.what();
    }
    return to == message ? "accepted" : "wrong bytes";
  }
};

std::vector<std::byte> header_of(const std::vector<std::byte>& message) {
  const auto header = write_header(Header{}, message);
  return {header.begin(), header.end()};
}

TEST(Exchange, MessagesOfKnownLengthArriveAndAreCounted) {
  for (const std::size_t size : {0U, 1U, 4096U, 4097U, 100000U}) {
    Channel channel;
    const auto message = some_bytes(size);
    std::vector<std::byte> to(size);
    Exchange::Ticket out;
    Exchange::Ticket in;
    channel.exchange.receive(0, 8, to, in);
    channel.exchange.send(0, 8, message, Exchange::seal(message), out);
    Exchange::wait(in);
    Exchange::check(in);
    Exchange::wait(out);
    EXPECT_EQ(to, message);
    EXPECT_EQ(channel.traffic.header_sent, size > 4096 ? 40 : 0);
    EXPECT_EQ(channel.traffic.header_received, size > 4096 ? 40 : 0);
  }
}

TEST(Exchange, MessagesOfAnyLengthArriveAndAreCounted) {
  for (const std::size_t size : {0U, 4096U, 4097U, 50000U}) {
    Channel channel;
    const auto message = some_bytes(size);
    std::vector<std::byte> to;
    Exchange::Ticket out;
    channel.exchange.send(0, 8, message, Exchange::seal(message), out);
    Exchange::Ticket in;
    channel.exchange.receive_any_length(0, 8, to, in);
    Exchange::check(in);
    Exchange::wait(out);
    EXPECT_EQ(to, message);
    EXPECT_EQ(channel.traffic.header_received, size > 4096 ? 40 : 0);
  }
}

TEST(Exchange, DamagedMessagesAreRefused) {
  Channel channel;
  const auto message = some_bytes(5000);
  EXPECT_EQ(channel.complaint(header_of(message), message, 5000), "accepted");
  auto flipped = message;
  flipped[4999] ^= std::byte{1};
  EXPECT_NE(channel.complaint(header_of(message), flipped, 5000).find("CRC-32C"),
            std::string::npos);
  auto header = header_of(message);
  header[0] = std::byte{'X'};
  EXPECT_NE(channel.complaint(header, message, 5000).find("EQC1"), std::string::npos);
  EXPECT_NE(channel.complaint(header_of(some_bytes(4999)), message, 5000).find("4999"),
            std::string::npos);
}

TEST(Exchange, DamagedMessagesOfAnyLengthAreRefused) {
  Channel channel;
  const auto message = some_bytes(5000);
  auto header = header_of(message);
  header[39] ^= std::byte{4};  // the checksum itself
  MPI_Request sends[2];
  MPI_Isend(header.data(), 40, MPI_BYTE, 0, 9, channel.comm.handle(), &sends[0]);
  MPI_Isend(message.data(), 5000, MPI_BYTE, 0, 8, channel.comm.handle(), &sends[1]);
  std::vector<std::byte> to;
  Exchange::Ticket in;
  channel.exchange.receive_any_length(0, 8, to, in);
  EXPECT_THROW(Exchange::check(in), Error);
  MPI_Waitall(2, sends, MPI_STATUSES_IGNORE);
}

}  // namespace
}  // namespace equipoise::compress
