#include "sparse_sum.hpp"

#include "../codecs/codec_support.hpp"

#include <algorithm>

namespace equipoise::compress {

std::pair<std::span<const std::int64_t>, std::span<const double>> SparseSum::part(
    Range range) const {
  const auto first = std::lower_bound(index.begin(), index.end(), range.begin);
  const auto last = std::lower_bound(first, index.end(), range.end);
  const auto start = static_cast<std::size_t>(first - index.begin());
  const auto count = static_cast<std::size_t>(last - first);
  return {std::span(index).subspan(start, count), std::span(value).subspan(start, count)};
}

void gather_nonzeros(std::span<const double> dense, std::int64_t first, SparseSum& sum) {
  sum.clear();
  for (std::size_t i = 0; i < dense.size(); ++i) {
    if (dense[i] == 0.0) continue;
    sum.index.push_back(first + static_cast<std::int64_t>(i));
    sum.value.push_back(dense[i]);
  }
}

void merge(const SparseSum& a, const SparseSum& b, SparseSum& sum) {
  sum.clear();
  sum.index.reserve(a.index.size() + b.index.size());
  sum.value.reserve(a.index.size() + b.index.size());
  std::size_t i = 0;
  std::size_t j = 0;
  const auto take = [&](std::int64_t index, double value) {
    sum.index.push_back(index);
    sum.value.push_back(value);
  };
  while (i < a.index.size() && j < b.index.size()) {
    if (a.index[i] < b.index[j]) {
      take(a.index[i], a.value[i]);
      ++i;
    } else if (b.index[j] < a.index[i]) {
      take(b.index[j], b.value[j]);
      ++j;
    } else {
      take(a.index[i], a.value[i] + b.value[j]);
      ++i, ++j;
    }
  }
  for (; i < a.index.size(); ++i) take(a.index[i], a.value[i]);
  for (; j < b.index.size(); ++j) take(b.index[j], b.value[j]);
}

void append(const SparseSum& sum, Range range, std::vector<std::byte>& out) {
  const auto [index, value] = sum.part(range);
  detail::append_sparse(index, value, range, out);
}

void read(std::span<const std::byte> in, Range range, SparseSum& sum) {
  sum.clear();
  detail::read_sparse(in, range, sum.index, sum.value);
}

std::int64_t receive(Round& round, Exchange& exchange, int peer, int tag, Range range,
                     SparseSum& sum) {
  Exchange::Ticket ticket;
  std::vector<std::byte> bytes;
  exchange.receive_any_length(peer, tag, bytes, ticket);
  round.traffic.received += std::ssize(bytes);
  sum.clear();
  round.attempt([&] {
    Exchange::check(ticket);
    read(bytes, range, sum);
  });
  return std::ssize(bytes);
}

void sum_of_hosted(Round& round, std::span<const double> source, std::span<double> out,
                   std::vector<std::byte>& messages, std::vector<std::int64_t>& lengths) {
  std::fill(out.begin(), out.end(), 0.0);
  const Range whole{0, round.dimension()};
  messages.clear();
  lengths.assign(at(round.hosted.size()), 0);
  for (std::int64_t a = 0; a < round.hosted.size(); ++a) {
    const std::int64_t agent = round.hosted.begin + a;
    const auto draw = round.draw->with_agent(agent);
    const auto& chunks = round.layout.chunks();
    const std::size_t start = messages.size();
    round.device->encode(round.row(source, a), round.selections[at(a)], whole, chunks, draw,
                         messages);
    const auto bytes = std::span<const std::byte>(messages).subspan(start);
    lengths[at(a)] = std::ssize(bytes);
    round.uplink[at(a)] += std::ssize(bytes);
    if (round.setting.error_feedback) {
      round.device->decode_add(bytes, whole, chunks, draw, agent, -1.0, round.error_row(a));
    }
    round.device->decode_add(bytes, whole, chunks, draw, agent, round.weight(agent), out);
  }
}

}  // namespace equipoise::compress
