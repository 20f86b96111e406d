#include "codec_support.hpp"

// Natural compression.
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

}  // namespace

CodecPointer make_natural() { return std::make_shared<Natural>(); }

}  // namespace equipoise::compress::detail
