#include "codec_support.hpp"

// Natural compression and QSGD: every entry becomes a short code, rounded at random.
namespace equipoise::compress::detail {
namespace {

constexpr std::uint64_t magnitude_bits = ~std::uint64_t{0} >> 1U;

/// Rounds to a power of two, up with the probability of the fraction: q = 9/8.
/// Horvath et al., Natural compression for distributed deep learning (2019).
class Natural final : public Codec {
 public:
  static constexpr int width = 12;  ///< sign, then the 11 bits of the exponent, 0 for zero

  [[nodiscard]] std::string name() const override { return "natural"; }
  [[nodiscard]] Descriptor describe(std::int64_t, std::int64_t agents) const override {
    Descriptor result;
    result.kind = Descriptor::Kind::unbiased;
    result.q = 9.0 / 8.0;
    result.omega = 1.0 / 8.0;
    result.collection_a = result.omega / static_cast<double>(agents);
    result.beta = 64.0 / width;
    return result;
  }

  void encode(std::span<const double> v, const Selection& selection, Range range,
              const partition::Partition&, const parallel::Draw& draw,
              std::vector<std::byte>& out) const override {
    const parallel::Draw own = draw.with_agent(selection.agent);
    out.reserve(out.size() + static_cast<std::size_t>(packed_bytes(range.size(), width)));
    std::uint32_t noise[batch_size];
    std::uint16_t codes[batch_size];
    for (std::int64_t at = range.begin; at < range.end; at += batch_size) {
      const auto n = static_cast<std::size_t>(std::min(batch_size, range.end - at));
      own.fill_words(static_cast<std::uint64_t>(at), std::span(noise).first(n));
      const double* from = v.data() + at;
      for (std::size_t i = 0; i < n; ++i) {
        // The noise carries into the exponent with the probability of the upper 32 bits of the
        // fraction; a subnormal number becomes the smallest normal one by the same sum.
        const auto bits = std::bit_cast<std::uint64_t>(from[i]);
        const std::uint64_t exponent =
            ((bits & magnitude_bits) + (std::uint64_t{noise[i]} << 20U)) >> 52U;
        codes[i] =
            static_cast<std::uint16_t>(bits >> 63U | std::min<std::uint64_t>(exponent, 2047) << 1U);
      }
      append_codes(std::span(codes).first(n), width, out);
    }
  }

  void decode_add(std::span<const std::byte> in, Range range, const partition::Partition&,
                  const parallel::Draw&, std::int64_t, double weight,
                  std::span<double> out) const override {
    require_length(in, packed_bytes(range.size(), width));
    std::uint16_t codes[batch_size];
    for (std::int64_t at = 0; at < range.size(); at += batch_size) {
      const auto n = static_cast<std::size_t>(std::min(batch_size, range.size() - at));
      read_codes(in.subspan(static_cast<std::size_t>(packed_bytes(at, width))), width,
                 std::span(codes).first(n));
      double* to = out.data() + at;
      for (std::size_t i = 0; i < n; ++i) {
        const std::uint64_t code = codes[i];
        to[i] +=
            weight * finite_or_nan(std::bit_cast<double>((code & 1U) << 63U | code >> 1U << 52U));
      }
    }
  }

  [[nodiscard]] std::optional<std::int64_t> bytes(Range range, const partition::Partition&,
                                                  const parallel::Draw&,
                                                  std::int64_t) const override {
    return packed_bytes(range.size(), width);
  }
};

/// norm * sign * level / S, one norm per chunk, the level rounded at random: unbiased.
/// Alistarh et al., QSGD: communication-efficient SGD via gradient quantization (2017).
class Qsgd final : public Codec {
 public:
  Qsgd(int levels, CodecSetting setting)
      : levels_(levels),
        width_(1 + std::bit_width(static_cast<unsigned>(levels))),
        setting_(setting) {}

  [[nodiscard]] std::string name() const override { return fmt::format("qsgd:{}", levels_); }
  [[nodiscard]] Descriptor describe(std::int64_t d, std::int64_t agents) const override {
    const auto bucket = static_cast<double>(std::max<std::int64_t>(1, largest_chunk(d, setting_)));
    const double s = levels_;
    Descriptor result;
    result.kind = Descriptor::Kind::unbiased;
    result.omega = std::min(bucket / (s * s), std::sqrt(bucket) / s);
    result.q = 1.0 + result.omega;
    result.collection_a = result.omega / static_cast<double>(agents);
    result.beta = 64.0 / (width_ + 64.0 / bucket);
    return result;
  }

  void encode(std::span<const double> v, const Selection& selection, Range range,
              const partition::Partition& chunks, const parallel::Draw& draw,
              std::vector<std::byte>& out) const override {
    const parallel::Draw own = draw.with_agent(selection.agent);
    out.reserve(out.size() +
                static_cast<std::size_t>(*bytes(range, chunks, draw, selection.agent)));
    std::size_t scale_at = out.size();
    out.resize(scale_at + 8 * static_cast<std::size_t>(scale_count(range, chunks)));
    std::uint16_t codes[batch_size];
    std::int64_t filled = 0;
    for_each_chunk(range, chunks, [&](Range chunk) {
      double norm = euclidean_norm(v.data() + chunk.begin, chunk.size());
      if (!std::isfinite(norm)) norm = std::numeric_limits<double>::quiet_NaN();
      std::memcpy(out.data() + scale_at, &norm, 8);
      scale_at += 8;
      for (std::int64_t at = chunk.begin; at < chunk.end;) {
        const Range part{at, std::min(at + batch_size - filled, chunk.end)};
        round(v, part, norm, own, codes + filled);
        filled += part.size();
        at = part.end;
        if (filled == batch_size || at == range.end) {
          append_codes(std::span(codes).first(static_cast<std::size_t>(filled)), width_, out);
          filled = 0;
        }
      }
    });
  }

  void decode_add(std::span<const std::byte> in, Range range, const partition::Partition& chunks,
                  const parallel::Draw& draw, std::int64_t agent, double weight,
                  std::span<double> out) const override {
    require_length(in, *bytes(range, chunks, draw, agent));
    const auto words = in.subspan(8 * static_cast<std::size_t>(scale_count(range, chunks)));
    std::vector<double> unit;  // of one level, by chunk
    std::vector<std::int64_t> ends;
    for_each_chunk(range, chunks, [&](Range chunk) {
      const double norm = load<double>(in.data() + 8 * unit.size());
      if (norm < 0.0) throw WireError("a norm of {}", norm);
      unit.push_back(norm / levels_);
      ends.push_back(chunk.end - range.begin);
    });
    std::uint16_t codes[batch_size];
    std::size_t chunk = 0;
    for (std::int64_t start = 0; start < range.size(); start += batch_size) {
      const std::int64_t end = std::min(start + batch_size, range.size());
      const auto read = std::span(codes).first(static_cast<std::size_t>(end - start));
      read_codes(words.subspan(static_cast<std::size_t>(packed_bytes(start, width_))), width_,
                 read);
      if (*std::max_element(read.begin(), read.end()) > 2 * levels_ + 1)
        throw WireError("a level above {}", levels_);
      for (std::int64_t at = start; at < end; ++chunk) {
        const std::int64_t stop = std::min(ends[chunk], end);
        for (; at < stop; ++at) {
          const int code = codes[at - start];
          const int level = (code & 1) != 0 ? -(code >> 1) : code >> 1;
          out[static_cast<std::size_t>(at)] += weight * finite_or_nan(unit[chunk] * level);
        }
        if (ends[chunk] > end) break;
      }
    }
  }

  [[nodiscard]] std::optional<std::int64_t> bytes(Range range, const partition::Partition& chunks,
                                                  const parallel::Draw&,
                                                  std::int64_t) const override {
    return 8 * scale_count(range, chunks) + packed_bytes(range.size(), width_);
  }

 private:
  static std::int64_t scale_count(Range range, const partition::Partition& chunks) {
    std::int64_t count = 0;
    for_each_chunk(range, chunks, [&](Range) { ++count; });
    return count;
  }

  void round(std::span<const double> v, Range part, double norm, const parallel::Draw& own,
             std::uint16_t* codes) const {
    std::uint32_t noise[batch_size];
    const auto n = static_cast<std::size_t>(part.size());
    own.fill_words(static_cast<std::uint64_t>(part.begin), std::span(noise).first(n));
    const double* from = v.data() + part.begin;
    if (!(norm > 0.0)) {
      std::fill_n(codes, n, std::uint16_t{0});
      return;
    }
    const double top = levels_;
    for (std::size_t i = 0; i < n; ++i) {
      const double place = std::min(std::fabs(from[i]) / norm, 1.0) * top + noise[i] * 0x1p-32;
      const auto level = static_cast<std::int32_t>(std::min(place, top));
      const auto sign = static_cast<std::uint32_t>(std::bit_cast<std::uint64_t>(from[i]) >> 63U);
      codes[i] = static_cast<std::uint16_t>(static_cast<std::uint32_t>(level) << 1U | sign);
    }
  }

  int levels_, width_;
  CodecSetting setting_;
};

}  // namespace

CodecPointer make_natural() { return std::make_shared<Natural>(); }
CodecPointer make_qsgd(int levels, const CodecSetting& setting) {
  return std::make_shared<Qsgd>(levels, setting);
}

}  // namespace equipoise::compress::detail
