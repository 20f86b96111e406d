#include "codec_support.hpp"

#include <zstd.h>

// Codecs made of codecs.
namespace equipoise::compress::detail {
namespace {

using Kind = Descriptor::Kind;

/// A quantizer packs the values that a sparsifier keeps. Positions in the list of kept values take
/// the place of coordinates: they are the same however the pieces are cut, and the cuts between
/// chunks carry over.
class Composition final : public Codec {
 public:
  Composition(CodecPointer quantizer, SparsifierPointer sparsifier, CodecSetting setting)
      : quantizer_(std::move(quantizer)), sparsifier_(std::move(sparsifier)), setting_(setting) {}

  [[nodiscard]] std::string name() const override {
    return quantizer_->name() + "+" + sparsifier_->name();
  }
  [[nodiscard]] bool sparse() const override { return true; }

  [[nodiscard]] Descriptor describe(std::int64_t d, std::int64_t agents) const override {
    const Descriptor outer = sparsifier_->describe(d, agents);
    const std::int64_t kept = std::max<std::int64_t>(1, sparsifier_->kept(d));
    const Descriptor inner = quantizer_->describe(
        std::min(kept, std::max<std::int64_t>(1, largest_chunk(d, setting_))), agents);
    Descriptor result = outer;
    // Of the bits for one kept value, those above 64 are for its index.
    const double full = 64.0 * static_cast<double>(d);
    const double value_bits = static_cast<double>(kept) * 64.0;
    result.beta = full / (full / outer.beta - value_bits + value_bits / inner.beta);
    if (outer.kind == Kind::unbiased) {
      result.q = outer.q * inner.q;
      result.omega = result.q - 1.0;
      // The quantizer's errors are independent: (1/M^2) sum omega_1 q_2 norm(v_m)^2.
      result.collection_a =
          outer.collection_a + inner.omega * outer.q / static_cast<double>(agents);
    } else {
      result.alpha = outer.alpha * (inner.kind == Kind::unbiased ? 1.0 - inner.omega : inner.alpha);
      result.delta = 1.0 / result.alpha;
    }
    return result;
  }

  void prepare(std::span<const double> v, const parallel::Draw& draw, std::int64_t agent,
               Selection& selection) const override {
    sparsifier_->prepare(v, draw, agent, selection);
  }

  void encode(std::span<const double>, const Selection& selection, Range range,
              const partition::Partition& chunks, const parallel::Draw& draw,
              std::vector<std::byte>& out) const override {
    const auto [first, last] = kept_inside(selection, range);
    if (first == last) return;
    sparsifier_->encode_support(selection, range, out);
    std::vector<std::int64_t> offsets{0};
    if (first > 0) offsets.push_back(static_cast<std::int64_t>(first));
    for_each_chunk(range, chunks, [&](Range chunk) {
      offsets.push_back(static_cast<std::int64_t>(kept_inside(selection, chunk).second));
    });
    if (last < selection.index.size()) offsets.push_back(std::ssize(selection.index));
    quantizer_->encode(selection.value, selection,
                       {static_cast<std::int64_t>(first), static_cast<std::int64_t>(last)},
                       partition::Partition::from_offsets(std::move(offsets)), draw, out);
  }

  void decode_add(std::span<const std::byte> in, Range range, const partition::Partition& chunks,
                  const parallel::Draw& draw, std::int64_t agent, double weight,
                  std::span<double> out) const override {
    Reader reader{in};
    const auto index = sparsifier_->decode_support(reader, range, chunks.size(), draw, agent);
    if (index.empty()) return require_length(reader.in, 0);
    std::vector<double> value(index.size(), 0.0);
    quantizer_->decode_add(reader.in, {0, std::ssize(index)}, positions(index, range, chunks), draw,
                           agent, 1.0, value);
    for (std::size_t j = 0; j < index.size(); ++j)
      out[static_cast<std::size_t>(index[j])] += weight * value[j];
  }

  [[nodiscard]] std::optional<std::int64_t> bytes(Range range, const partition::Partition& chunks,
                                                  const parallel::Draw& draw,
                                                  std::int64_t agent) const override {
    if (!sparsifier_->bytes(range, chunks, draw, agent)) return std::nullopt;
    Reader nothing{};
    const auto index = sparsifier_->decode_support(nothing, range, chunks.size(), draw, agent);
    if (index.empty()) return 0;
    return quantizer_->bytes({0, std::ssize(index)}, positions(index, range, chunks), draw, agent);
  }

 private:
  /// The kept values of one piece, cut where the chunks are cut.
  static partition::Partition positions(const std::vector<std::int64_t>& index, Range range,
                                        const partition::Partition& chunks) {
    std::vector<std::int64_t> offsets{0};
    auto at = index.begin();
    for_each_chunk(range, chunks, [&](Range chunk) {
      at = std::lower_bound(at, index.end(), chunk.end - range.begin);
      offsets.push_back(at - index.begin());
    });
    return partition::Partition::from_offsets(std::move(offsets));
  }

  CodecPointer quantizer_;
  SparsifierPointer sparsifier_;
  CodecSetting setting_;
};

/// C(v) + Q(v - C(v)). Horvath and Richtarik, A better alternative to error feedback (2021).
class Induced final : public Codec {
 public:
  Induced(SparsifierPointer contraction, CodecPointer unbiased)
      : contraction_(std::move(contraction)), unbiased_(std::move(unbiased)) {}

  [[nodiscard]] std::string name() const override {
    return "induced:" + contraction_->name() + "+" + unbiased_->name();
  }
  [[nodiscard]] bool sparse() const override { return unbiased_->sparse(); }

  [[nodiscard]] Descriptor describe(std::int64_t d, std::int64_t agents) const override {
    const Descriptor c = contraction_->describe(d, agents), q = unbiased_->describe(d, agents);
    Descriptor result;
    result.kind = Kind::unbiased;
    result.omega = q.omega * (1.0 - c.alpha);
    result.q = 1.0 + result.omega;
    // The residuals have (1 - alpha) of the squared norms; a negative B is bounded by the mean of
    // squares too.
    result.collection_a = (q.collection_a - std::min(0.0, q.collection_b)) * (1.0 - c.alpha);
    result.beta = 1.0 / (1.0 / c.beta + 1.0 / q.beta);
    return result;
  }

  void prepare(std::span<const double> v, const parallel::Draw& draw, std::int64_t agent,
               Selection& selection) const override {
    contraction_->prepare(v, draw, agent, selection);
    selection.residual.assign(v.begin(), v.end());
    for (const std::int64_t i : selection.index)
      selection.residual[static_cast<std::size_t>(i)] = 0.0;
    selection.rest.resize(1);
    unbiased_->prepare(selection.residual, draw, agent, selection.rest[0]);
  }

  void encode(std::span<const double> v, const Selection& selection, Range range,
              const partition::Partition& chunks, const parallel::Draw& draw,
              std::vector<std::byte>& out) const override {
    if (range.size() == 0) return;
    std::vector<std::byte> first;
    contraction_->encode(v, selection, range, chunks, draw, first);
    append_varint(first.size(), out);
    append(out, first.data(), std::ssize(first));
    unbiased_->encode(selection.residual, selection.rest[0], range, chunks, draw, out);
  }

  void decode_add(std::span<const std::byte> in, Range range, const partition::Partition& chunks,
                  const parallel::Draw& draw, std::int64_t agent, double weight,
                  std::span<double> out) const override {
    if (range.size() == 0) return require_length(in, 0);
    Reader reader{in};
    const std::uint64_t first = reader.varint();
    const auto part = reader.take(static_cast<std::int64_t>(first));
    contraction_->decode_add(part, range, chunks, draw, agent, weight, out);
    unbiased_->decode_add(reader.in, range, chunks, draw, agent, weight, out);
  }

  [[nodiscard]] std::optional<std::int64_t> bytes(Range, const partition::Partition&,
                                                  const parallel::Draw&,
                                                  std::int64_t) const override {
    return std::nullopt;
  }

 private:
  SparsifierPointer contraction_;
  CodecPointer unbiased_;
};

/// A byte that says whether what follows went through zstd; it does only where that is shorter.
class Zstd final : public Codec {
 public:
  static constexpr int level = 1;

  explicit Zstd(CodecPointer inner) : inner_(std::move(inner)) {}

  [[nodiscard]] std::string name() const override { return inner_->name() + "|zstd"; }
  [[nodiscard]] bool sparse() const override { return inner_->sparse(); }
  [[nodiscard]] bool shared_mask() const override { return inner_->shared_mask(); }
  [[nodiscard]] Descriptor describe(std::int64_t d, std::int64_t agents) const override {
    return inner_->describe(d, agents);
  }
  void prepare(std::span<const double> v, const parallel::Draw& draw, std::int64_t agent,
               Selection& selection) const override {
    inner_->prepare(v, draw, agent, selection);
  }

  void encode(std::span<const double> v, const Selection& selection, Range range,
              const partition::Partition& chunks, const parallel::Draw& draw,
              std::vector<std::byte>& out) const override {
    std::vector<std::byte> plain;
    inner_->encode(v, selection, range, chunks, draw, plain);
    if (plain.empty()) return;
    const std::size_t start = out.size();
    out.resize(start + 1 + ZSTD_compressBound(plain.size()));
    const std::size_t size = ZSTD_compress(out.data() + start + 1, out.size() - start - 1,
                                           plain.data(), plain.size(), level);
    const bool shorter = ZSTD_isError(size) == 0 && size < plain.size();
    out[start] = shorter ? std::byte{1} : std::byte{0};
    out.resize(start + 1 + (shorter ? size : 0));
    if (!shorter) append(out, plain.data(), std::ssize(plain));
  }

  void decode_add(std::span<const std::byte> in, Range range, const partition::Partition& chunks,
                  const parallel::Draw& draw, std::int64_t agent, double weight,
                  std::span<double> out) const override {
    if (in.empty()) return inner_->decode_add(in, range, chunks, draw, agent, weight, out);
    const auto packed = in.subspan(1);
    if (packed.empty()) throw WireError("it ends after its first byte");
    if (in[0] == std::byte{0})
      return inner_->decode_add(packed, range, chunks, draw, agent, weight, out);
    if (in[0] != std::byte{1})
      throw WireError("no codec marks a piece with {}", std::to_integer<int>(in[0]));
    const auto size = ZSTD_getFrameContentSize(packed.data(), packed.size());
    // No codec needs 64 bytes an entry: a forged size must not take all memory. An error is the
    // largest number.
    if (size > 64 + 64 * static_cast<std::uint64_t>(range.size()))
      throw WireError("its entropy-coded part has no credible length");
    std::vector<std::byte> plain(static_cast<std::size_t>(size));
    if (ZSTD_decompress(plain.data(), plain.size(), packed.data(), packed.size()) != plain.size())
      throw WireError("its entropy-coded part does not decode");
    inner_->decode_add(plain, range, chunks, draw, agent, weight, out);
  }

  [[nodiscard]] std::optional<std::int64_t> bytes(Range, const partition::Partition&,
                                                  const parallel::Draw&,
                                                  std::int64_t) const override {
    return std::nullopt;
  }

 private:
  CodecPointer inner_;
};

}  // namespace

CodecPointer make_composition(CodecPointer quantizer, SparsifierPointer sparsifier,
                              const CodecSetting& setting) {
  const std::string text = quantizer->name() + "+" + sparsifier->name();
  if (quantizer->sparse())
    throw ConfigurationError(
        "codec '{}': {} keeps coordinates itself; a composition is a quantizer, +, and a "
        "sparsifier",
        text, quantizer->name());
  const Descriptor inner = quantizer->describe(setting.dimension, setting.agents);
  const Descriptor outer = sparsifier->describe(setting.dimension, setting.agents);
  if (inner.kind == Kind::absolute || inner.needs_error_feedback)
    throw ConfigurationError(
        "codec '{}': {} has no constant that composes with a sparsifier; use an unbiased quantizer",
        text, quantizer->name());
  if (outer.kind == Kind::unbiased && inner.kind == Kind::contractive)
    throw ConfigurationError(
        "codec '{}': {} is biased, and the result would be neither unbiased nor contractive; use "
        "its stochastic "
        "variant",
        text, quantizer->name());
  auto made = std::make_shared<Composition>(std::move(quantizer), std::move(sparsifier), setting);
  if (outer.kind == Kind::contractive &&
      !(made->describe(setting.dimension, setting.agents).alpha > 0.0) && !std::isnan(outer.alpha))
    throw ConfigurationError(
        "codec '{}': a quantizer after a biased sparsifier needs omega < 1 to stay a contraction; "
        "use more levels",
        text);
  return made;
}

CodecPointer make_induced(SparsifierPointer contraction, CodecPointer unbiased) {
  return std::make_shared<Induced>(std::move(contraction), std::move(unbiased));
}

CodecPointer make_zstd(CodecPointer inner) { return std::make_shared<Zstd>(std::move(inner)); }

}  // namespace equipoise::compress::detail
