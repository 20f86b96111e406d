#include "codec_support.hpp"

// Random sparsifiers whose masks any rank can draw again: their indices cost no bytes.
namespace equipoise::compress::detail {
namespace {

template <class Use>
void for_each_member(const std::vector<std::uint64_t>& set, Range range, Use use) {
  for (std::int64_t word = range.begin / 64; 64 * word < range.end; ++word)
    for (std::uint64_t rest = set[static_cast<std::size_t>(word)]; rest != 0; rest &= rest - 1) {
      const std::int64_t i = 64 * word + std::countr_zero(rest);
      if (range.contains(i)) use(i);
    }
}

/// What all codecs with a regenerable mask do: pick values in mask order, send them plain, scale on
/// arrival.
class Masked : public Sparsifier {
 public:
  void prepare(std::span<const double> v, const parallel::Draw& draw, std::int64_t agent,
               Selection& selection) const override {
    Codec::prepare(v, draw, agent, selection);
    selection.finite = all_finite(v);
    const double factor =
        selection.finite ? scale(std::ssize(v)) : std::numeric_limits<double>::quiet_NaN();
    for_each_kept({0, std::ssize(v)}, std::ssize(v), draw, agent, [&](std::int64_t i) {
      selection.index.push_back(i);
      selection.value.push_back(factor * v[static_cast<std::size_t>(i)]);
    });
  }

  void encode(std::span<const double> v, const Selection& selection, Range range,
              const partition::Partition&, const parallel::Draw&,
              std::vector<std::byte>& out) const override {
    const auto [first, last] = kept_inside(selection, range);
    out.reserve(out.size() + 8 * (last - first));
    for (std::size_t j = first; j < last; ++j) {
      const double value = selection.finite ? v[static_cast<std::size_t>(selection.index[j])]
                                            : std::numeric_limits<double>::quiet_NaN();
      append(out, &value, 1);
    }
  }

  void decode_add(std::span<const std::byte> in, Range range, const partition::Partition& chunks,
                  const parallel::Draw& draw, std::int64_t agent, double weight,
                  std::span<double> out) const override {
    if (in.size() % 8 != 0) throw WireError("{} bytes are no whole number of values", in.size());
    const std::byte* from = in.data();
    const std::byte* const end = from + in.size();
    const double factor = scale(chunks.size());
    for_each_kept(range, chunks.size(), draw, agent, [&](std::int64_t i) {
      if (from == end) throw WireError("{} values are fewer than its mask has", in.size() / 8);
      out[static_cast<std::size_t>(i - range.begin)] +=
          weight * (factor * finite_or_nan(load<double>(from)));
      from += 8;
    });
    if (from != end) throw WireError("{} values are more than its mask has", in.size() / 8);
  }

  [[nodiscard]] std::optional<std::int64_t> bytes(Range range, const partition::Partition& chunks,
                                                  const parallel::Draw& draw,
                                                  std::int64_t agent) const override {
    std::int64_t kept = 0;
    for_each_kept(range, chunks.size(), draw, agent, [&](std::int64_t) { ++kept; });
    return 8 * kept;
  }

  void encode_support(const Selection&, Range, std::vector<std::byte>&) const override {}
  [[nodiscard]] std::vector<std::int64_t> decode_support(Reader&, Range range, std::int64_t d,
                                                         const parallel::Draw& draw,
                                                         std::int64_t agent) const override {
    std::vector<std::int64_t> index;
    for_each_kept(range, d, draw, agent, [&](std::int64_t i) { index.push_back(i - range.begin); });
    return index;
  }

 protected:
  /// What a kept value is multiplied by.
  [[nodiscard]] virtual double scale(std::int64_t d) const = 0;
  /// The mask as a set; the default `for_each_kept` walks it.
  [[nodiscard]] virtual std::vector<std::uint64_t> mask(std::int64_t d, const parallel::Draw& draw,
                                                        std::int64_t agent) const = 0;

 private:
  template <class Use>
  void for_each_kept(Range range, std::int64_t d, const parallel::Draw& draw, std::int64_t agent,
                     Use use) const {
    if (range.size() > 0) for_each_member(mask(d, draw, agent), range, use);
  }
};

class RandK final : public Masked {
 public:
  RandK(Amount amount, Mask kind) : amount_(amount), kind_(kind) {}

  [[nodiscard]] std::string name() const override {
    const std::string_view suffix = kind_ == Mask::shared     ? "-shared"
                                    : kind_ == Mask::unscaled ? "-unscaled"
                                                              : "";
    return fmt::format("randk{}:{}", suffix, amount_.text());
  }
  [[nodiscard]] bool shared_mask() const override { return kind_ == Mask::shared; }
  [[nodiscard]] std::int64_t kept(std::int64_t d) const override { return amount_.of(d); }

  [[nodiscard]] Descriptor describe(std::int64_t d, std::int64_t agents) const override {
    Descriptor result;
    result.beta = inverse_density(d);
    if (kind_ == Mask::unscaled) {
      result.kind = Descriptor::Kind::contractive;
      result.delta = result.beta;
      result.alpha = 1.0 / result.beta;
      result.q = result.omega = result.collection_a = result.collection_b = Descriptor::unknown;
      result.needs_error_feedback = true;
      return result;
    }
    result.kind = Descriptor::Kind::unbiased;
    result.q = result.beta;
    result.omega = result.q - 1.0;
    // A shared mask averages nothing out: E norm(Q vbar - vbar)^2 = omega norm(vbar)^2 is all that
    // is left, which A = 0 and B = -omega state exactly.
    const bool shared = kind_ == Mask::shared;
    result.collection_a = shared ? 0.0 : result.omega / static_cast<double>(agents);
    result.collection_b = shared ? -result.omega : 0.0;
    return result;
  }

 protected:
  [[nodiscard]] double scale(std::int64_t d) const override {
    return kind_ == Mask::unscaled ? 1.0 : inverse_density(d);
  }
  [[nodiscard]] std::vector<std::uint64_t> mask(std::int64_t d, const parallel::Draw& draw,
                                                std::int64_t agent) const override {
    return random_set(d, amount_.of(d), draw.with_agent(kind_ == Mask::shared ? 0 : agent));
  }

 private:
  [[nodiscard]] double inverse_density(std::int64_t d) const {
    return d == 0 ? 1.0 : static_cast<double>(d) / static_cast<double>(amount_.of(d));
  }

  Amount amount_;
  Mask kind_;
};

/// The agents share the coordinates out among themselves: parts of floor(d/M) or ceil(d/M), scale
/// always M. Contiguous parts in a random rotation (RotK), or parts of a random permutation,
/// rotated as well so that every agent gets every coordinate with probability 1/M also where M does
/// not divide d. With more agents than coordinates each coordinate goes to M/d agents, dealt by a
/// random permutation of the agents, and the scale is d; where d does not divide M, every agent
/// keeps one coordinate drawn on its own.
class PermK final : public Masked {
 public:
  /// `listed`: blocks too are listed in the selection, for another codec to pack their values.
  PermK(std::int64_t agents, bool full, bool listed)
      : agents_(agents), full_(full), listed_(listed) {}

  [[nodiscard]] std::string name() const override { return full_ ? "permk:full" : "permk"; }

  [[nodiscard]] std::int64_t kept(std::int64_t d) const override {
    return std::min(d, (d + agents_ - 1) / agents_);
  }

  [[nodiscard]] Descriptor describe(std::int64_t d, std::int64_t) const override {
    Descriptor result;
    result.kind = Descriptor::Kind::unbiased;
    result.q = result.beta = scale(d);
    result.omega = result.q - 1.0;
    const auto m = static_cast<double>(agents_);
    if (agents_ <= d) {
      result.collection_a = result.collection_b = agents_ == 1 ? 0.0 : 1.0;
    } else if (d > 0 && agents_ % d == 0) {
      result.collection_a = result.collection_b = static_cast<double>(d - 1) / (m - 1.0);
    } else {
      result.collection_a = result.omega / m;
    }
    return result;
  }

  void prepare(std::span<const double> v, const parallel::Draw& draw, std::int64_t agent,
               Selection& selection) const override {
    if (!by_blocks(std::ssize(v))) return Masked::prepare(v, draw, agent, selection);
    Codec::prepare(v, draw, agent, selection);
    selection.finite = all_finite(v);
  }

  [[nodiscard]] std::optional<Range> plain_part(const Selection& selection, std::int64_t d,
                                                const parallel::Draw& draw) const override {
    if (!by_blocks(d) || !selection.finite) return std::nullopt;
    return block_inside({0, d}, d, draw, selection.agent);
  }

  void encode(std::span<const double> v, const Selection& selection, Range range,
              const partition::Partition& chunks, const parallel::Draw& draw,
              std::vector<std::byte>& out) const override {
    if (!by_blocks(chunks.size())) return Masked::encode(v, selection, range, chunks, draw, out);
    const Range kept = block_inside(range, chunks.size(), draw, selection.agent);
    if (selection.finite) return append(out, v.data() + kept.begin, kept.size());
    const std::vector<double> poison(static_cast<std::size_t>(kept.size()),
                                     std::numeric_limits<double>::quiet_NaN());
    append(out, poison.data(), kept.size());
  }

  void decode_add(std::span<const std::byte> in, Range range, const partition::Partition& chunks,
                  const parallel::Draw& draw, std::int64_t agent, double weight,
                  std::span<double> out) const override {
    if (!by_blocks(chunks.size()))
      return Masked::decode_add(in, range, chunks, draw, agent, weight, out);
    const Range kept = block_inside(range, chunks.size(), draw, agent);
    require_length(in, 8 * kept.size());
    const double factor = scale(chunks.size());
    double* to = out.data() + (kept.begin - range.begin);
    for (std::int64_t i = 0; i < kept.size(); ++i)
      to[i] += weight * (factor * finite_or_nan(load<double>(in.data() + 8 * i)));
  }

  [[nodiscard]] std::optional<std::int64_t> bytes(Range range, const partition::Partition& chunks,
                                                  const parallel::Draw& draw,
                                                  std::int64_t agent) const override {
    if (!by_blocks(chunks.size())) return Masked::bytes(range, chunks, draw, agent);
    return 8 * block_inside(range, chunks.size(), draw, agent).size();
  }

 protected:
  [[nodiscard]] double scale(std::int64_t d) const override {
    return static_cast<double>(std::max<std::int64_t>(1, std::min(agents_, d)));
  }

  [[nodiscard]] std::vector<std::uint64_t> mask(std::int64_t d, const parallel::Draw& draw,
                                                std::int64_t agent) const override {
    if (agents_ > d && agents_ % d != 0) return random_set(d, 1, draw.with_agent(agent));
    std::vector<std::uint64_t> set(static_cast<std::size_t>((d + 63) / 64), 0);
    const auto insert = [&](std::int64_t i) {
      set[static_cast<std::size_t>(i / 64)] |= std::uint64_t{1}
                                               << (static_cast<std::uint64_t>(i) % 64);
    };
    const Range part = agents_ > d ? Range{} : part_of(d, draw, agent);
    if (agents_ <= d && !full_) {
      for (std::int64_t i = part.begin; i < part.end; ++i) insert(i);
      return set;
    }
    const auto order = random_permutation(std::max(d, agents_), draw.with_agent(0));
    if (agents_ > d) insert(order[static_cast<std::size_t>(agent)] % d);
    for (std::int64_t i = part.begin; i < part.end; ++i) insert(order[static_cast<std::size_t>(i)]);
    return set;
  }

 private:
  [[nodiscard]] bool by_blocks(std::int64_t d) const {
    return d == 0 || (!full_ && !listed_ && agents_ <= d);
  }

  [[nodiscard]] Range part_of(std::int64_t d, const parallel::Draw& draw,
                              std::int64_t agent) const {
    const std::int64_t part = (agent + random_shift(agents_, draw)) % agents_;
    const std::int64_t size = d / agents_, longer = d % agents_;
    const std::int64_t begin = part * size + std::min(part, longer);
    return {begin, begin + size + (part < longer ? 1 : 0)};
  }

  [[nodiscard]] Range block_inside(Range range, std::int64_t d, const parallel::Draw& draw,
                                   std::int64_t agent) const {
    if (d == 0) return {range.begin, range.begin};
    const Range part = part_of(d, draw, agent);
    const std::int64_t begin = std::clamp(part.begin, range.begin, range.end);
    return {begin, std::clamp(part.end, begin, range.end)};
  }

  std::int64_t agents_;
  bool full_, listed_;
};

}  // namespace

SparsifierPointer make_randk(Amount amount, Mask mask) {
  return std::make_shared<RandK>(amount, mask);
}
SparsifierPointer make_permk(std::int64_t agents, bool full, bool listed) {
  return std::make_shared<PermK>(agents, full, listed);
}

}  // namespace equipoise::compress::detail
