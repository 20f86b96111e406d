#include "codec_support.hpp"

// Quantizers: one scale per bucket, then a short code per entry.
namespace equipoise::compress::detail {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

std::uint16_t sign_of(double x) {
  return static_cast<std::uint16_t>(std::bit_cast<std::uint64_t>(x) >> 63U);
}

Descriptor unbiased(double omega, std::int64_t agents) {
  Descriptor result;
  result.kind = Descriptor::Kind::unbiased;
  result.omega = omega;
  result.q = 1.0 + omega;
  result.collection_a = omega / static_cast<double>(agents);
  return result;
}

/// Codes: the sign in the lowest bit, then a level 0..levels.
int signed_width(int levels) { return 1 + std::bit_width(static_cast<unsigned>(levels)); }

/// scale * sign * level / S, the level rounded at random.
struct EvenLevels {
  int levels;
  [[nodiscard]] std::uint16_t code(double x, double scale, std::uint32_t noise) const {
    const double top = levels;
    const double place = std::min(std::fabs(x) / scale, 1.0) * top + noise * 0x1p-32;
    const auto level = static_cast<std::int32_t>(std::min(place, top));
    return static_cast<std::uint16_t>(static_cast<std::uint32_t>(level) << 1U | sign_of(x));
  }
  [[nodiscard]] double value(double scale, std::uint16_t code) const {
    const int level = code >> 1U;
    return scale / levels * (level * (1 - 2 * (code & 1)));
  }
  [[nodiscard]] int width() const { return signed_width(levels); }
  [[nodiscard]] std::uint16_t largest_code() const {
    return static_cast<std::uint16_t>(2 * levels + 1);
  }
};

/// The norm of a chunk is the scale.
/// Alistarh et al., QSGD: communication-efficient SGD via gradient quantization (2017).
struct Qsgd : EvenLevels {
  static constexpr std::int64_t block = 0;
  static double scale(const double* v, std::int64_t n) { return euclidean_norm(v, n); }
  [[nodiscard]] std::string name() const { return fmt::format("qsgd:{}", levels); }
  [[nodiscard]] Descriptor constants(double bucket, std::int64_t agents) const {
    const double s = levels;
    return unbiased(std::min(bucket / (s * s), std::sqrt(bucket) / s), agents);
  }
};

/// The largest magnitude of 512 entries is the scale: an entry's variance is a quarter of a squared
/// step.
struct MaxNorm : EvenLevels {
  static constexpr std::int64_t block = 512;
  static double scale(const double* v, std::int64_t n) { return largest_magnitude(v, n); }
  [[nodiscard]] std::string name() const { return fmt::format("max-norm:{}", levels); }
  [[nodiscard]] Descriptor constants(double bucket, std::int64_t agents) const {
    return unbiased(bucket / (4.0 * levels * levels), agents);
  }
};

/// Levels 2^(1-S), ..., 1/2, 1 of the chunk's norm, and 0.
/// Horvath et al., Natural compression for distributed deep learning (2019).
struct NaturalDithering {
  static constexpr std::int64_t block = 0;
  int levels;
  static double scale(const double* v, std::int64_t n) { return euclidean_norm(v, n); }
  [[nodiscard]] std::uint16_t code(double x, double scale, std::uint32_t noise) const {
    const double part = std::min(std::fabs(x) / scale, 1.0);
    const int smallest = 1023 + 1 - levels;  // biased exponent of the smallest level
    const auto rounded = static_cast<int>(
        (std::bit_cast<std::uint64_t>(part) + (std::uint64_t{noise} << 20U)) >> 52U);
    const auto floor = std::bit_cast<double>(static_cast<std::uint64_t>(smallest) << 52U);
    const bool kept = part >= floor || part > floor * (noise * 0x1p-32);
    const int level = kept ? std::max(rounded, smallest) - smallest + 1 : 0;
    return static_cast<std::uint16_t>(level << 1 | sign_of(x));
  }
  [[nodiscard]] double value(double scale, std::uint16_t code) const {
    const int level = code >> 1U;
    const auto exponent = static_cast<std::uint64_t>(level == 0 ? 0 : 1023 - levels + level);
    const double size = scale * std::bit_cast<double>(exponent << 52U);
    return (code & 1U) != 0 ? -size : size;
  }
  [[nodiscard]] int width() const { return signed_width(levels); }
  [[nodiscard]] std::uint16_t largest_code() const {
    return static_cast<std::uint16_t>(2 * levels + 1);
  }
  [[nodiscard]] std::string name() const { return fmt::format("natural-dithering:{}", levels); }
  [[nodiscard]] Descriptor constants(double bucket, std::int64_t agents) const {
    const double t = std::ldexp(std::sqrt(bucket), 1 - levels);
    return unbiased(1.0 / 8.0 + t * std::min(1.0, t), agents);
  }
};

/// max * sign * b with P(b = 1) = abs(v_i) / max: q = norm1 max / norm2^2 <= (1 + sqrt(bucket))
/// / 2. Wen et al., TernGrad: ternary gradients to reduce communication (2017).
struct Ternary {
  static constexpr std::int64_t block = 0;
  static double scale(const double* v, std::int64_t n) { return largest_magnitude(v, n); }
  [[nodiscard]] static std::uint16_t code(double x, double scale, std::uint32_t noise) {
    const bool kept = std::fabs(x) / scale > noise * 0x1p-32;
    return static_cast<std::uint16_t>(!kept ? 1 : x < 0.0 ? 0 : 2);
  }
  [[nodiscard]] static double value(double scale, std::uint16_t code) { return scale * (code - 1); }
  [[nodiscard]] static int width() { return 0; }  ///< five trits a byte
  [[nodiscard]] static std::uint16_t largest_code() { return 2; }
  [[nodiscard]] static std::string name() { return "ternary"; }
  [[nodiscard]] static Descriptor constants(double bucket, std::int64_t agents) {
    return unbiased((1.0 + std::sqrt(bucket)) / 2.0 - 1.0, agents);
  }
};

/// (norm1 / n) sign(v), sign(0) = +1: alpha = norm1^2 / (n norm2^2) >= 1 / n.
/// Karimireddy et al., Error feedback fixes SignSGD (2019).
struct Sign {
  static constexpr std::int64_t block = 0;
  static double scale(const double* v, std::int64_t n) {
    double sum[8] = {};
    std::int64_t i = 0;
    for (; i + 8 <= n; i += 8)
      for (std::int64_t j = 0; j < 8; ++j) sum[j] += std::fabs(v[i + j]);
    for (; i < n; ++i) sum[0] += std::fabs(v[i]);
    return (((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]))) /
           static_cast<double>(n);
  }
  [[nodiscard]] static std::uint16_t code(double x, double, std::uint32_t) {
    return x < 0.0 ? 1 : 0;
  }
  [[nodiscard]] static double value(double scale, std::uint16_t code) {
    return code != 0 ? -scale : scale;
  }
  [[nodiscard]] static int width() { return 1; }
  [[nodiscard]] static std::uint16_t largest_code() { return 1; }
  [[nodiscard]] static std::string name() { return "sign"; }
  [[nodiscard]] static Descriptor constants(double bucket, std::int64_t) {
    Descriptor result;
    result.kind = Descriptor::Kind::contractive;
    result.alpha = 1.0 / bucket;
    result.delta = bucket;
    result.q = result.omega = result.collection_a = result.collection_b = Descriptor::unknown;
    result.needs_error_feedback = true;
    return result;
  }
};

std::int64_t code_bytes(std::int64_t count, int width) {
  return width == 0 ? (count + 4) / 5 : packed_bytes(count, width);
}

void append_trits(std::span<const std::uint16_t> codes, std::vector<std::byte>& out) {
  for (std::size_t i = 0; i < codes.size(); i += 5) {
    unsigned byte = 0;
    for (std::size_t j = std::min(codes.size(), i + 5); j-- > i;) byte = 3 * byte + codes[j];
    out.push_back(static_cast<std::byte>(byte));
  }
}

void read_trits(std::span<const std::byte> in, std::span<std::uint16_t> codes) {
  for (std::size_t i = 0; i < codes.size(); ++i) {
    static constexpr unsigned power[] = {1, 3, 9, 27, 81};
    const auto byte = std::to_integer<unsigned>(in[i / 5]);
    if (byte > 242) throw WireError("{} is no five trits", byte);
    codes[i] = static_cast<std::uint16_t>(byte / power[i % 5] % 3);
  }
}

/// Scales first, one per bucket, then the packed codes. A bucket of zeros has scale 0; one with a
/// NaN or Inf has a NaN.
template <class Rule>
class Quantizer final : public Codec {
 public:
  Quantizer(Rule rule, const CodecSetting& setting) : rule_(rule), setting_(setting) {}

  [[nodiscard]] std::string name() const override { return rule_.name(); }

  [[nodiscard]] Descriptor describe(std::int64_t d, std::int64_t agents) const override {
    std::int64_t bucket = std::max<std::int64_t>(1, largest_chunk(d, setting_));
    if (Rule::block > 0) bucket = std::min(bucket, Rule::block);
    Descriptor result = rule_.constants(static_cast<double>(bucket), agents);
    const double code_bits = rule_.width() == 0 ? 1.6 : rule_.width();
    result.beta = 64.0 / (code_bits + 64.0 / static_cast<double>(bucket));
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
    for_each_block(range, chunks, Rule::block, [&](Range bucket) {
      double scale = Rule::scale(v.data() + bucket.begin, bucket.size());
      if (!std::isfinite(scale)) scale = nan;
      std::memcpy(out.data() + scale_at, &scale, 8);
      scale_at += 8;
      for (std::int64_t at = bucket.begin; at < bucket.end;) {
        const Range part{at, std::min(at + batch_size - filled, bucket.end)};
        code(v, part, scale, own, codes + filled);
        filled += part.size();
        at = part.end;
        if (filled < batch_size && at < range.end) continue;
        const auto full = std::span(codes).first(static_cast<std::size_t>(filled));
        rule_.width() == 0 ? append_trits(full, out) : append_codes(full, rule_.width(), out);
        filled = 0;
      }
    });
  }

  void decode_add(std::span<const std::byte> in, Range range, const partition::Partition& chunks,
                  const parallel::Draw& draw, std::int64_t agent, double weight,
                  std::span<double> out) const override {
    require_length(in, *bytes(range, chunks, draw, agent));
    const int width = rule_.width();
    auto rest = in.subspan(8 * static_cast<std::size_t>(scale_count(range, chunks)));
    std::uint16_t codes[batch_size];
    std::int64_t start = -batch_size,
                 end = 0;  // the entries whose codes are at hand, within the piece
    const std::byte* scale_at = in.data();
    for_each_block(range, chunks, Rule::block, [&](Range bucket) {
      const double scale = load<double>(scale_at);
      if (scale < 0.0) throw WireError("a scale of {}", scale);
      scale_at += 8;
      for (std::int64_t at = bucket.begin - range.begin; at < bucket.end - range.begin;) {
        if (at == end) {
          start = end;
          end = std::min(start + batch_size, range.size());
          const auto batch = std::span(codes).first(static_cast<std::size_t>(end - start));
          width == 0 ? read_trits(rest, batch) : read_codes(rest, width, batch);
          rest = rest.subspan(static_cast<std::size_t>(code_bytes(end - start, width)));
          if (*std::max_element(batch.begin(), batch.end()) > rule_.largest_code())
            throw WireError("a code above {}", rule_.largest_code());
        }
        const std::int64_t stop = std::min(end, bucket.end - range.begin);
        const Rule rule = rule_;
        double* const to = out.data() + at;
        const std::uint16_t* const from = codes + (at - start);
        for (std::int64_t i = 0; i < stop - at; ++i)
          to[i] += weight * finite_or_nan(rule.value(scale, from[i]));
        at = stop;
      }
    });
  }

  [[nodiscard]] std::optional<std::int64_t> bytes(Range range, const partition::Partition& chunks,
                                                  const parallel::Draw&,
                                                  std::int64_t) const override {
    return 8 * scale_count(range, chunks) + code_bytes(range.size(), rule_.width());
  }

 private:
  static std::int64_t scale_count(Range range, const partition::Partition& chunks) {
    std::int64_t count = 0;
    for_each_block(range, chunks, Rule::block, [&](Range) { ++count; });
    return count;
  }

  void code(std::span<const double> v, Range part, double scale, const parallel::Draw& own,
            std::uint16_t* codes) const {
    const auto n = static_cast<std::size_t>(part.size());
    if (!(scale > 0.0)) {
      std::fill_n(codes, n, std::uint16_t{0});
      return;
    }
    std::uint32_t noise[batch_size];
    own.fill_words(static_cast<std::uint64_t>(part.begin), std::span(noise).first(n));
    const double* from = v.data() + part.begin;
    const Rule rule = rule_;
    for (std::size_t i = 0; i < n; ++i) codes[i] = rule.code(from[i], scale, noise[i]);
  }

  Rule rule_;
  CodecSetting setting_;
};

}  // namespace

CodecPointer make_qsgd(int levels, const CodecSetting& setting) {
  return std::make_shared<Quantizer<Qsgd>>(Qsgd{levels}, setting);
}
CodecPointer make_max_norm(int levels, const CodecSetting& setting) {
  return std::make_shared<Quantizer<MaxNorm>>(MaxNorm{levels}, setting);
}
CodecPointer make_natural_dithering(int levels, const CodecSetting& setting) {
  return std::make_shared<Quantizer<NaturalDithering>>(NaturalDithering{levels}, setting);
}
CodecPointer make_ternary(const CodecSetting& setting) {
  return std::make_shared<Quantizer<Ternary>>(Ternary{}, setting);
}
CodecPointer make_sign(const CodecSetting& setting) {
  return std::make_shared<Quantizer<Sign>>(Sign{}, setting);
}

}  // namespace equipoise::compress::detail
