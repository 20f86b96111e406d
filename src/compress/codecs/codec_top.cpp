#include "codec_support.hpp"

// TopK: the k largest magnitudes of the whole vector, exactly, the lower index first among equals.
// Threshold.
namespace equipoise::compress::detail {
namespace {

constexpr std::uint64_t magnitude_bits = ~std::uint64_t{0} >> 1U;
constexpr std::int64_t sample_size = std::int64_t{1} << 15U;

/// Magnitudes order like these integers; anything at or above `not_finite` is no number.
std::uint64_t magnitude(double x) { return std::bit_cast<std::uint64_t>(x) & magnitude_bits; }
constexpr std::uint64_t not_finite = 0x7FF0000000000000U;

/// A magnitude that a few more than k entries probably reach, from a sample; at least the smallest
/// positive one.
std::uint64_t probable_bound(std::span<const double> v, std::int64_t k) {
  const std::int64_t d = std::ssize(v);
  const double expected = static_cast<double>(k) / static_cast<double>(d) * sample_size;
  const auto rank = static_cast<std::int64_t>(expected + 4.0 * std::sqrt(expected)) + 8;
  if (d < 4 * sample_size || rank >= sample_size) return 1;
  // One entry from each stride, its place scattered so that no pattern of the vector can follow it.
  const std::int64_t stride = d / sample_size;
  std::vector<std::uint64_t> sample(sample_size);
  for (std::int64_t i = 0; i < sample_size; ++i) {
    const std::uint64_t mixed = (static_cast<std::uint64_t>(i) * 0x9E3779B97F4A7C15U) >> 40U;
    const std::int64_t offset = static_cast<std::int64_t>(mixed) % stride;
    sample[static_cast<std::size_t>(i)] =
        magnitude(v[static_cast<std::size_t>(i * stride + offset)]);
  }
  std::nth_element(sample.begin(), sample.begin() + rank, sample.end(), std::greater<>());
  return std::max<std::uint64_t>(sample[static_cast<std::size_t>(rank)], 1);
}

/// The entries whose magnitude reaches `bound`, NaN and Inf among them, in order. One pass.
void collect(std::span<const double> v, std::uint64_t bound, Selection& found) {
  constexpr std::size_t group = 16;
  found.index.clear();
  found.value.clear();
  const auto keep = [&](std::size_t i) {
    if (magnitude(v[i]) < bound) return;
    found.index.push_back(static_cast<std::int64_t>(i));
    found.value.push_back(v[i]);
  };
  std::size_t i = 0;
  const auto limit = static_cast<std::int64_t>(bound);
  for (; i + group <= v.size(); i += group) {
    std::int64_t hits = 0;
    for (std::size_t j = 0; j < group; ++j)
      hits |= (limit - 1) - static_cast<std::int64_t>(magnitude(v[i + j]));
    if (hits >= 0) continue;  // no difference was negative
    for (std::size_t j = 0; j < group; ++j) keep(i + j);
  }
  for (; i < v.size(); ++i) keep(i);
}

/// Keeps the k largest of what was found, all of them where there are no more.
void reduce_to(std::int64_t k, Selection& found) {
  if (std::ssize(found.index) <= k) return;
  std::vector<std::uint64_t> order(found.value.size());
  std::transform(found.value.begin(), found.value.end(), order.begin(), magnitude);
  std::nth_element(order.begin(), order.begin() + (k - 1), order.end(), std::greater<>());
  const std::uint64_t smallest = order[static_cast<std::size_t>(k - 1)];
  auto equals = k - std::count_if(order.begin(), order.begin() + (k - 1),
                                  [&](std::uint64_t m) { return m > smallest; });
  std::size_t to = 0;
  for (std::size_t from = 0; from < found.index.size(); ++from) {
    const std::uint64_t m = magnitude(found.value[from]);
    if (m < smallest || (m == smallest && equals-- <= 0)) continue;
    found.index[to] = found.index[from];
    found.value[to++] = found.value[from];
  }
  found.index.resize(to);
  found.value.resize(to);
}

/// Sparsifiers that look at the vector: what they keep travels with its indices.
class Chosen : public Sparsifier {
 public:
  void encode(std::span<const double>, const Selection& selection, Range range,
              const partition::Partition&, const parallel::Draw&,
              std::vector<std::byte>& out) const override {
    const auto [first, last] = kept_inside(selection, range);
    append_sparse(std::span(selection.index).subspan(first, last - first),
                  std::span(selection.value).subspan(first, last - first), range, out);
  }
  void decode_add(std::span<const std::byte> in, Range range, const partition::Partition&,
                  const parallel::Draw&, std::int64_t, double weight,
                  std::span<double> out) const override {
    decode_add_sparse(in, range, weight, out);
  }
  [[nodiscard]] std::optional<std::int64_t> bytes(Range, const partition::Partition&,
                                                  const parallel::Draw&,
                                                  std::int64_t) const override {
    return std::nullopt;
  }
  void encode_support(const Selection& selection, Range range,
                      std::vector<std::byte>& out) const override {
    const auto [first, last] = kept_inside(selection, range);
    if (first < last)
      append_index_set(std::span(selection.index).subspan(first, last - first), range, out);
  }
  [[nodiscard]] std::vector<std::int64_t> decode_support(Reader& reader, Range range, std::int64_t,
                                                         const parallel::Draw&,
                                                         std::int64_t) const override {
    return reader.in.empty() ? std::vector<std::int64_t>{} : read_index_set(reader, range.size());
  }

 protected:
  /// Notes NaN and Inf among what was collected.
  static void judge(Selection& selection) {
    selection.finite = std::none_of(selection.value.begin(), selection.value.end(),
                                    [](double x) { return magnitude(x) >= not_finite; });
  }
  static void poison(Selection& selection) {
    if (!selection.finite)
      std::fill(selection.value.begin(), selection.value.end(),
                std::numeric_limits<double>::quiet_NaN());
  }
  static Descriptor contraction(double alpha, std::int64_t d, double kept) {
    Descriptor result;
    result.kind = Descriptor::Kind::contractive;
    result.alpha = alpha;
    result.delta = 1.0 / alpha;
    result.q = result.omega = result.collection_a = result.collection_b = Descriptor::unknown;
    const double index_bits = d < 2 ? 0.0 : std::ceil(std::log2(static_cast<double>(d)));
    result.beta =
        d == 0 ? 1.0 : std::max(1.0, 64.0 * static_cast<double>(d) / (kept * (64.0 + index_bits)));
    result.needs_error_feedback = true;
    return result;
  }
};

class TopK final : public Chosen {
 public:
  explicit TopK(Amount amount) : amount_(amount) {}

  [[nodiscard]] std::string name() const override { return "topk:" + amount_.text(); }
  [[nodiscard]] std::int64_t kept(std::int64_t d) const override { return amount_.of(d); }
  [[nodiscard]] Descriptor describe(std::int64_t d, std::int64_t) const override {
    const auto k = static_cast<double>(kept(d));
    return contraction(d == 0 ? 1.0 : k / static_cast<double>(d), d, k);
  }

  void prepare(std::span<const double> v, const parallel::Draw& draw, std::int64_t agent,
               Selection& selection) const override {
    Codec::prepare(v, draw, agent, selection);
    const std::int64_t k = amount_.of(std::ssize(v));
    if (k == 0) return;
    const std::uint64_t bound = probable_bound(v, k);
    collect(v, bound, selection);
    if (std::ssize(selection.index) < k && bound > 1) collect(v, 1, selection);
    judge(selection);
    reduce_to(k, selection);
    poison(selection);
  }

 private:
  Amount amount_;
};

/// All entries above a magnitude: how many, and alpha, depend on the vector.
class Threshold final : public Chosen {
 public:
  explicit Threshold(double threshold) : threshold_(threshold) {}

  [[nodiscard]] std::string name() const override {
    return fmt::format("threshold:{}", threshold_);
  }
  [[nodiscard]] std::int64_t kept(std::int64_t d) const override { return d; }
  [[nodiscard]] Descriptor describe(std::int64_t d, std::int64_t) const override {
    Descriptor result = contraction(Descriptor::unknown, d, 1.0);
    result.beta = Descriptor::unknown;
    return result;
  }
  void prepare(std::span<const double> v, const parallel::Draw& draw, std::int64_t agent,
               Selection& selection) const override {
    Codec::prepare(v, draw, agent, selection);
    collect(v, magnitude(threshold_) + 1, selection);
    judge(selection);
    poison(selection);
  }

 private:
  double threshold_;
};

/// All entries but the zeros: nothing is lost, and a vector of many zeros is short.
class NonZero final : public Chosen {
 public:
  [[nodiscard]] std::string name() const override { return "nonzero"; }
  [[nodiscard]] std::int64_t kept(std::int64_t d) const override { return d; }
  [[nodiscard]] Descriptor describe(std::int64_t, std::int64_t) const override { return {}; }
  void prepare(std::span<const double> v, const parallel::Draw& draw, std::int64_t agent,
               Selection& selection) const override {
    Codec::prepare(v, draw, agent, selection);
    collect(v, 1, selection);
    judge(selection);
    poison(selection);
  }
};

/// The blocks of 64 consecutive coordinates with the largest norms; one index for a whole block.
class BlockTopK final : public Chosen {
 public:
  static constexpr std::int64_t size = 64;

  explicit BlockTopK(Amount amount) : amount_(amount) {}

  [[nodiscard]] std::string name() const override { return "block-topk:" + amount_.text(); }
  [[nodiscard]] std::int64_t kept(std::int64_t d) const override {
    return std::min(d, size * amount_.of(blocks(d)));
  }
  [[nodiscard]] Descriptor describe(std::int64_t d, std::int64_t) const override {
    const auto nb = static_cast<double>(blocks(d)), kb = static_cast<double>(amount_.of(blocks(d)));
    Descriptor result = contraction(d == 0 ? 1.0 : kb / nb, d, 1.0);
    const double bits = nb < 2.0 ? 0.0 : std::ceil(std::log2(nb));
    result.beta = d == 0 ? 1.0 : std::max(1.0, 64.0 * size * nb / (kb * (64.0 * size + bits)));
    return result;
  }

  void prepare(std::span<const double> v, const parallel::Draw& draw, std::int64_t agent,
               Selection& selection) const override {
    Codec::prepare(v, draw, agent, selection);
    const std::int64_t d = std::ssize(v);
    if (d == 0) return;
    Selection norms;
    for (std::int64_t b = 0; b < blocks(d); ++b) {
      const double norm = euclidean_norm(v.data() + size * b, std::min(size, d - size * b));
      if (norm == 0.0) continue;
      norms.index.push_back(b);
      norms.value.push_back(norm);
    }
    reduce_to(amount_.of(blocks(d)), norms);
    judge(norms);
    selection.finite = norms.finite;
    for (const std::int64_t b : norms.index)
      for (std::int64_t i = size * b; i < std::min(d, size * (b + 1)); ++i) {
        selection.index.push_back(i);
        selection.value.push_back(v[static_cast<std::size_t>(i)]);
      }
    poison(selection);
  }

  void encode(std::span<const double>, const Selection& selection, Range range,
              const partition::Partition&, const parallel::Draw&,
              std::vector<std::byte>& out) const override {
    const auto [first, last] = kept_inside(selection, range);
    encode_support(selection, range, out);
    append(out, selection.value.data() + first, static_cast<std::int64_t>(last - first));
  }

  void decode_add(std::span<const std::byte> in, Range range, const partition::Partition& chunks,
                  const parallel::Draw& draw, std::int64_t agent, double weight,
                  std::span<double> out) const override {
    Reader reader{in};
    const auto index = decode_support(reader, range, chunks.size(), draw, agent);
    require_length(reader.in, 8 * std::ssize(index));
    for (std::size_t j = 0; j < index.size(); ++j)
      out[static_cast<std::size_t>(index[j])] +=
          weight * finite_or_nan(load<double>(reader.in.data() + 8 * j));
  }

  void encode_support(const Selection& selection, Range range,
                      std::vector<std::byte>& out) const override {
    const auto [first, last] = kept_inside(selection, range);
    std::vector<std::int64_t> ids;
    for (std::size_t j = first; j < last; ++j)
      if (ids.empty() || ids.back() != selection.index[j] / size)
        ids.push_back(selection.index[j] / size);
    if (!ids.empty()) append_index_set(ids, touched(range), out);
  }

  [[nodiscard]] std::vector<std::int64_t> decode_support(Reader& reader, Range range, std::int64_t,
                                                         const parallel::Draw&,
                                                         std::int64_t) const override {
    std::vector<std::int64_t> index;
    if (reader.in.empty()) return index;
    const Range all = touched(range);
    for (const std::int64_t id : read_index_set(reader, all.size()))
      for (std::int64_t i = std::max(range.begin, size * (all.begin + id));
           i < std::min(range.end, size * (all.begin + id + 1)); ++i)
        index.push_back(i - range.begin);
    return index;
  }

 private:
  static std::int64_t blocks(std::int64_t d) { return (d + size - 1) / size; }
  /// The blocks that a range touches.
  static Range touched(Range range) { return {range.begin / size, blocks(range.end)}; }

  Amount amount_;
};

}  // namespace

SparsifierPointer make_block_topk(Amount amount) { return std::make_shared<BlockTopK>(amount); }
SparsifierPointer make_topk(Amount amount) { return std::make_shared<TopK>(amount); }
SparsifierPointer make_nonzero() { return std::make_shared<NonZero>(); }
SparsifierPointer make_threshold(double threshold) {
  return std::make_shared<Threshold>(threshold);
}

}  // namespace equipoise::compress::detail
