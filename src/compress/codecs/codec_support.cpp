#include "codec_support.hpp"

namespace equipoise::compress::detail {

bool all_finite(std::span<const double> v) {
  // x - x is 0 for finite x and NaN otherwise; eight sums keep the additions independent.
  double sum[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= v.size(); i += 8)
    for (std::size_t j = 0; j < 8; ++j) sum[j] += v[i + j] - v[i + j];
  for (; i < v.size(); ++i) sum[0] += v[i] - v[i];
  double total = 0.0;
  for (const double s : sum) total += s;
  return total == 0.0;
}

double largest_magnitude(const double* v, std::int64_t n) {
  // Magnitudes order like the integers of their bits, NaN above Inf above all numbers.
  constexpr std::uint64_t magnitude = ~std::uint64_t{0} >> 1U;
  std::uint64_t best[8] = {};
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (std::int64_t j = 0; j < 8; ++j)
      best[j] = std::max(best[j], std::bit_cast<std::uint64_t>(v[i + j]) & magnitude);
  for (; i < n; ++i) best[0] = std::max(best[0], std::bit_cast<std::uint64_t>(v[i]) & magnitude);
  return std::bit_cast<double>(*std::max_element(best, best + 8));
}

double euclidean_norm(const double* v, std::int64_t n) {
  const auto sum_of_squares = [&](double factor) {
    double sum[8] = {};
    std::int64_t i = 0;
    for (; i + 8 <= n; i += 8)
      for (std::int64_t j = 0; j < 8; ++j) sum[j] += (v[i + j] * factor) * (v[i + j] * factor);
    for (; i < n; ++i) sum[0] += (v[i] * factor) * (v[i] * factor);
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
  };
  const double plain = sum_of_squares(1.0);
  if (plain > 0x1p-900 && plain < 0x1p1000) return std::sqrt(plain);
  const double largest = largest_magnitude(v, n);
  if (largest == 0.0 || !std::isfinite(largest)) return largest;
  const int exponent = std::clamp(std::ilogb(largest), -1020, 1020);
  return std::ldexp(std::sqrt(sum_of_squares(std::ldexp(1.0, -exponent))), exponent);
}

namespace {

__extension__ typedef unsigned __int128 Wide;

/// Four codes, one in each 16-bit lane, moved together.
std::uint64_t squeeze(std::uint64_t lanes, int width) {
  const std::uint64_t mask = (std::uint64_t{1} << width) - 1;
  const int gap = 16 - width;
  return (lanes & mask) | ((lanes >> gap) & (mask << width)) |
         ((lanes >> 2 * gap) & (mask << 2 * width)) | ((lanes >> 3 * gap) & (mask << 3 * width));
}

std::uint64_t spread(std::uint64_t bits, int width) {
  const std::uint64_t mask = (std::uint64_t{1} << width) - 1;
  const int gap = 16 - width;
  return (bits & mask) | ((bits & (mask << width)) << gap) |
         ((bits & (mask << 2 * width)) << 2 * gap) | ((bits & (mask << 3 * width)) << 3 * gap);
}

}  // namespace

void append_codes(std::span<const std::uint16_t> codes, int width, std::vector<std::byte>& out) {
  std::byte buffer[2 * batch_size + 16];
  const auto w = static_cast<std::size_t>(width);
  std::size_t done = 0;
  while (done < codes.size()) {
    const std::size_t count = std::min<std::size_t>(batch_size, codes.size() - done);
    std::byte* to = buffer;
    for (std::size_t i = 0; i < count; i += 8, to += w) {
      std::uint16_t eight[8] = {};
      std::memcpy(eight, codes.data() + done + i, 2 * std::min<std::size_t>(8, count - i));
      std::uint64_t half[2];
      std::memcpy(half, eight, sizeof half);
      const Wide bits = squeeze(half[0], width) | static_cast<Wide>(squeeze(half[1], width))
                                                      << 4 * width;
      std::memcpy(to, &bits, sizeof bits);
    }
    append(out, buffer, packed_bytes(static_cast<std::int64_t>(count), width));
    done += count;
  }
}

void read_codes(std::span<const std::byte> in, int width, std::span<std::uint16_t> codes) {
  const auto w = static_cast<std::size_t>(width);
  std::size_t at = 0;
  for (std::size_t i = 0; i < codes.size(); i += 8, at += w) {
    Wide bits = 0;
    std::memcpy(&bits, in.data() + at, std::min(sizeof bits, in.size() - at));
    const std::uint64_t half[2] = {spread(static_cast<std::uint64_t>(bits), width),
                                   spread(static_cast<std::uint64_t>(bits >> 4 * width), width)};
    std::memcpy(codes.data() + i, half, 2 * std::min<std::size_t>(8, codes.size() - i));
  }
}

namespace {

/// Counters of masks, far above those of rounding (one word a coordinate).
constexpr std::uint64_t set_counter = std::uint64_t{1} << 38U;
constexpr std::uint64_t permutation_counter = std::uint64_t{2} << 38U;
constexpr std::uint64_t shift_counter = std::uint64_t{3} << 38U;

/// Draw::below(n(i), first + i) for i = 0, 1, ..., with the words drawn in bulk.
template <class Bound, class Use>
void for_each_below(std::int64_t count, std::uint64_t first, const parallel::Draw& draw,
                    Bound bound, Use use) {
  std::uint32_t words[2 * batch_size];
  for (std::int64_t start = 0; start < count; start += batch_size) {
    const std::int64_t size = std::min(batch_size, count - start);
    const std::uint64_t at = first + static_cast<std::uint64_t>(start);
    draw.fill_words(2 * at, std::span(words).first(static_cast<std::size_t>(2 * size)));
    for (std::int64_t i = 0; i < size; ++i) {
      const auto n = static_cast<std::uint64_t>(bound(start + i));
      const std::uint64_t bits = static_cast<std::uint64_t>(words[2 * i]) << 32U | words[2 * i + 1];
      const Wide wide = static_cast<Wide>(bits) * n;
      const bool clear = static_cast<std::uint64_t>(wide) >= n;
      use(start + i,
          static_cast<std::int64_t>(clear ? static_cast<std::uint64_t>(wide >> 64U)
                                          : draw.below(n, at + static_cast<std::uint64_t>(i))));
    }
  }
}

}  // namespace

std::vector<std::uint64_t> random_set(std::int64_t d, std::int64_t count,
                                      const parallel::Draw& draw) {
  std::vector<std::uint64_t> bits(static_cast<std::size_t>((d + 63) / 64), 0);
  const auto bit = [](std::int64_t i) {
    return std::uint64_t{1} << (static_cast<std::uint64_t>(i) % 64);
  };
  const std::int64_t base = d - count;
  for_each_below(
      count, set_counter, draw, [&](std::int64_t i) { return base + i + 1; },
      [&](std::int64_t i, std::int64_t pick) {
        const bool taken = (bits[static_cast<std::size_t>(pick / 64)] & bit(pick)) != 0;
        const std::int64_t chosen = taken ? base + i : pick;
        bits[static_cast<std::size_t>(chosen / 64)] |= bit(chosen);
      });
  return bits;
}

std::vector<std::int64_t> random_permutation(std::int64_t n, const parallel::Draw& draw) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  for_each_below(
      n, permutation_counter, draw, [](std::int64_t i) { return i + 1; },
      [&](std::int64_t i, std::int64_t pick) {
        order[static_cast<std::size_t>(i)] = order[static_cast<std::size_t>(pick)];
        order[static_cast<std::size_t>(pick)] = i;
      });
  return order;
}

std::int64_t random_shift(std::int64_t n, const parallel::Draw& draw) {
  return static_cast<std::int64_t>(
      draw.with_agent(0).below(static_cast<std::uint64_t>(n), shift_counter));
}

std::pair<std::size_t, std::size_t> kept_inside(const Selection& selection, Range range) {
  const auto& index = selection.index;
  const auto first = std::lower_bound(index.begin(), index.end(), range.begin);
  const auto last = std::lower_bound(first, index.end(), range.end);
  return {static_cast<std::size_t>(first - index.begin()),
          static_cast<std::size_t>(last - index.begin())};
}

std::int64_t Amount::of(std::int64_t n) const {
  const std::int64_t wanted = count > 0 ? count : std::llround(fraction * static_cast<double>(n));
  return std::clamp<std::int64_t>(wanted, std::min<std::int64_t>(1, n), n);
}

std::string Amount::text() const {
  return count > 0 ? fmt::format("{}", count) : fmt::format("{}", fraction);
}

std::int64_t largest_chunk(std::int64_t d, const CodecSetting& setting) {
  const int chunks = setting.chunks > 0 ? setting.chunks : partition::default_chunks(d);
  return (d + chunks - 1) / chunks;
}

}  // namespace equipoise::compress::detail
