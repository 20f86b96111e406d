#include "codec_support.hpp"

// Identity, and casts to shorter floating-point types.
namespace equipoise::compress::detail {
namespace {

constexpr std::int64_t block = 512;  ///< entries of a chunk that share one scale

class Identity final : public Codec {
 public:
  [[nodiscard]] std::string name() const override { return "identity"; }
  [[nodiscard]] bool entrywise() const override { return true; }
  [[nodiscard]] Descriptor describe(std::int64_t, std::int64_t) const override { return {}; }
  void encode(std::span<const double> v, const Selection&, Range range, const partition::Partition&,
              const parallel::Draw&, std::vector<std::byte>& out) const override {
    append(out, v.data() + range.begin, range.size());
  }
  void decode_add(std::span<const std::byte> in, Range range, const partition::Partition&,
                  const parallel::Draw&, std::int64_t, double weight,
                  std::span<double> out) const override {
    require_length(in, 8 * range.size());
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] += weight * finite_or_nan(load<double>(in.data() + 8 * i));
  }
  [[nodiscard]] std::optional<std::int64_t> bytes(Range range, const partition::Partition&,
                                                  const parallel::Draw&,
                                                  std::int64_t) const override {
    return 8 * range.size();
  }
};

/// How a float becomes a `Word` and back. `significand` bits include the hidden one.
struct Float32 {
  using Word = float;
  static constexpr int significand = 24;
  static constexpr bool scaled = false;
  static constexpr double largest = std::numeric_limits<float>::max();
  static constexpr double smallest_normal = 0.0;  ///< nothing is rounded on the grid of subnormals
  static Word nearest(float x) { return x; }
  static float value(Word word) { return word; }
};

struct Bfloat16 {
  using Word = std::uint16_t;
  static constexpr int significand = 8;
  static constexpr bool scaled = false;
  static constexpr double largest = 0x1.FEp127;
  static constexpr double smallest_normal = 0.0;
  /// Round half to even on the bits of a float; a quiet NaN stays one.
  static Word nearest(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U;
    return static_cast<Word>((bits & 0x7FFFFFFFU) > 0x7F800000U ? 0x7FC0U : rounded);
  }
  static float value(Word word) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(word) << 16U);
  }
};

/// An IEEE-like type of few bits: sign, exponent, and `Significand` - 1 bits of fraction, with
/// subnormals. Entries arrive scaled by a power of two so that the largest of a block is just below
/// `Largest`: no overflow, and no code for infinity is needed.
template <class Code, int Significand, int Bias, int Largest>
struct MiniFloat {
  using Word = Code;
  static constexpr int significand = Significand;
  static constexpr bool scaled = true;
  static constexpr double largest = Largest;
  static constexpr double smallest_normal = 1.0 / static_cast<double>(1U << (Bias - 1U));
  static constexpr int dropped = 24 - significand;
  static constexpr int sign_shift = 32 - 8 * static_cast<int>(sizeof(Word));
  static constexpr std::uint32_t sign_bit = 0x80000000U >> sign_shift;

  static Word nearest(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t size = bits & 0x7FFFFFFFU;
    // Added to a number whose last place is the step of the subnormals, a subnormal leaves its
    // multiple of that step in the low bits, rounded half to even.
    constexpr auto anchor =
        static_cast<float>(smallest_normal * (1U << static_cast<unsigned>(dropped)));
    const std::uint32_t tiny = std::bit_cast<std::uint32_t>(std::bit_cast<float>(size) + anchor) -
                               std::bit_cast<std::uint32_t>(anchor);
    constexpr std::uint32_t rebias = static_cast<std::uint32_t>(127 - Bias) << 23U;
    const std::uint32_t normal =
        (size + ((1U << (dropped - 1)) - 1U) + ((size >> dropped) & 1U) - rebias) >> dropped;
    return static_cast<Word>((std::bit_cast<float>(size) < smallest_normal ? tiny : normal) |
                             ((bits >> sign_shift) & sign_bit));
  }
  static float value(Word word) {
    const auto wide = static_cast<std::uint32_t>(word);
    constexpr auto unbias = std::bit_cast<float>(static_cast<std::uint32_t>(254 - Bias) << 23U);
    return std::bit_cast<float>((wide & (sign_bit - 1U)) << dropped | (wide & sign_bit)
                                                                          << sign_shift) *
           unbias;
  }
};

using Float16 = MiniFloat<std::uint16_t, 11, 15, 65504>;
using E4m3 = MiniFloat<std::uint8_t, 4, 7, 448>;
using E5m2 = MiniFloat<std::uint8_t, 3, 15, 57344>;

/// Rounds to the grid of `Type` at random, up with the probability of the dropped fraction: random
/// bits are added below the last bit that stays, then dropped. Exact for float, to 2^-32 of a last
/// place otherwise.
template <class Type>
float round_at_random(double x, std::uint32_t word) {
  constexpr int dropped = 53 - Type::significand;
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const std::uint64_t noise = dropped >= 32
                                  ? std::uint64_t{word} << (dropped >= 32 ? dropped - 32 : 0)
                                  : word >> (dropped < 32 ? 32 - dropped : 0);
  const auto normal = std::bit_cast<double>((bits + noise) >> dropped << dropped);
  if constexpr (Type::smallest_normal > 0.0) {
    // Below the normal numbers the grid is even: its step is smallest_normal 2^(1 - significand).
    constexpr double step = Type::smallest_normal * 2.0 / (1 << Type::significand);
    const double size = std::fabs(x);
    const double place = std::min(size, Type::smallest_normal) * (1.0 / step) + word * 0x1p-32;
    const double tiny = std::copysign(static_cast<std::int32_t>(place) * step, x);
    return static_cast<float>(size < Type::smallest_normal ? tiny : normal);
  }
  return static_cast<float>(normal);
}

/// The smallest power of two that brings `largest_entry` to at most `limit`; 0 for a block of
/// zeros, NaN where an entry is not finite.
double power_scale(double largest_entry, double limit) {
  if (largest_entry == 0.0) return 0.0;
  if (!std::isfinite(largest_entry)) return std::numeric_limits<double>::quiet_NaN();
  int exponent = std::ilogb(largest_entry) - std::ilogb(limit);
  if (std::ldexp(largest_entry, -exponent) > limit) ++exponent;
  // A smaller scale would make 1/scale overflow; what lies that low keeps fewer digits.
  return std::ldexp(1.0, std::max(exponent, -1022));
}

template <class Type>
class Cast final : public Codec {
 public:
  using Word = typename Type::Word;
  static constexpr std::int64_t word_bytes = sizeof(Word);

  Cast(std::string name, bool stochastic) : name_(std::move(name)), stochastic_(stochastic) {}

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] bool entrywise() const override { return !stochastic_ && !Type::scaled; }

  [[nodiscard]] Descriptor describe(std::int64_t d, std::int64_t agents) const override {
    const double u2 = std::ldexp(1.0, -2 * Type::significand);
    Descriptor result;
    result.beta =
        Type::scaled
            ? 8.0 / (word_bytes + 8.0 / static_cast<double>(std::clamp<std::int64_t>(d, 1, block)))
            : 8.0 / word_bytes;
    if (stochastic_) {
      // One step of rounding is 2u, and x(1-x) <= 1/4 of its square: u^2 relative.
      result.kind = Descriptor::Kind::unbiased;
      result.q = 1.0 + u2;
      result.omega = u2;
      result.collection_a = u2 / static_cast<double>(agents);
    } else {
      result.kind = Descriptor::Kind::contractive;
      result.q = result.omega = Descriptor::unknown;
      result.collection_a = result.collection_b = Descriptor::unknown;
      result.alpha = 1.0 - u2;
      result.delta = 1.0 / result.alpha;
    }
    return result;
  }

  void encode(std::span<const double> v, const Selection& selection, Range range,
              const partition::Partition& chunks, const parallel::Draw& draw,
              std::vector<std::byte>& out) const override {
    const parallel::Draw own = draw.with_agent(selection.agent);
    out.reserve(out.size() +
                static_cast<std::size_t>(*bytes(range, chunks, draw, selection.agent)));
    if constexpr (Type::scaled) {
      std::vector<double> scales;
      for_each_block(range, chunks, block,
                     [&](Range part) { scales.push_back(scale_of(v, part)); });
      append(out, scales.data(), std::ssize(scales));
      auto scale = scales.begin();
      for_each_block(range, chunks, block,
                     [&](Range part) { encode_part(v, part, *scale++, own, out); });
    } else {
      for (std::int64_t at = range.begin; at < range.end; at += batch_size)
        encode_part(v, {at, std::min(at + batch_size, range.end)}, 1.0, own, out);
    }
  }

  void decode_add(std::span<const std::byte> in, Range range, const partition::Partition& chunks,
                  const parallel::Draw& draw, std::int64_t agent, double weight,
                  std::span<double> out) const override {
    const std::int64_t expected = *bytes(range, chunks, draw, agent);
    require_length(in, expected);
    const std::byte* words = in.data() + (expected - word_bytes * range.size());
    const auto add = [&](Range part, double scale) {
      const std::byte* from = words + word_bytes * (part.begin - range.begin);
      double* to = out.data() + (part.begin - range.begin);
      for (std::int64_t i = 0; i < part.size(); ++i)
        to[i] += weight * finite_or_nan(scale * Type::value(load<Word>(from + word_bytes * i)));
    };
    if constexpr (Type::scaled) {
      const std::byte* scale = in.data();
      for_each_block(range, chunks, block, [&](Range part) {
        add(part, load<double>(scale));
        scale += 8;
      });
    } else {
      add(range, 1.0);
    }
  }

  [[nodiscard]] std::optional<std::int64_t> bytes(Range range, const partition::Partition& chunks,
                                                  const parallel::Draw&,
                                                  std::int64_t) const override {
    std::int64_t scales = 0;
    if constexpr (Type::scaled) for_each_block(range, chunks, block, [&](Range) { ++scales; });
    return 8 * scales + word_bytes * range.size();
  }

 private:
  static double scale_of(std::span<const double> v, Range part) {
    return power_scale(largest_magnitude(v.data() + part.begin, part.size()), Type::largest);
  }

  void encode_part(std::span<const double> v, Range part, double scale, const parallel::Draw& own,
                   std::vector<std::byte>& out) const {
    const double* from = v.data() + part.begin;
    const auto n = static_cast<std::size_t>(part.size());
    const double inverse = scale == 0.0 || std::isnan(scale) ? 0.0 : 1.0 / scale;
    float rounded[batch_size];
    if (stochastic_) {
      std::uint32_t noise[batch_size];
      own.fill_words(static_cast<std::uint64_t>(part.begin), std::span(noise).first(n));
      for (std::size_t i = 0; i < n; ++i)
        rounded[i] = round_at_random<Type>(from[i] * inverse, noise[i]);
    } else {
      for (std::size_t i = 0; i < n; ++i) rounded[i] = static_cast<float>(from[i] * inverse);
    }
    Word words[batch_size];
    for (std::size_t i = 0; i < n; ++i) words[i] = Type::nearest(rounded[i]);
    append(out, words, part.size());
  }

  std::string name_;
  bool stochastic_;
};

}  // namespace

CodecPointer make_identity() { return std::make_shared<Identity>(); }

CodecPointer make_cast(std::string_view type, bool stochastic) {
  std::string name = std::string(type) + (stochastic ? "s" : "");
  if (type == "fp32") return std::make_shared<Cast<Float32>>(std::move(name), stochastic);
  if (type == "fp16") return std::make_shared<Cast<Float16>>(std::move(name), stochastic);
  if (type == "fp8-e4m3") return std::make_shared<Cast<E4m3>>(std::move(name), stochastic);
  if (type == "fp8-e5m2") return std::make_shared<Cast<E5m2>>(std::move(name), stochastic);
  return std::make_shared<Cast<Bfloat16>>(std::move(name), stochastic);
}

}  // namespace equipoise::compress::detail
