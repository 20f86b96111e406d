#pragma once

#include <equipoise/compress/codec.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

// What the codecs of this room share: bytes in and out, packed codes, finiteness, masks, sparse
// pieces.
namespace equipoise::compress::detail {

/// Entries handled at once by dense codecs: what is being worked on stays in the first cache.
constexpr std::int64_t batch_size = 1280;  // whole bytes of codes of any width, and of trits

/// A message that cannot be what the sender wrote.
struct WireError : Error {
  template <class... Args>
  explicit WireError(fmt::format_string<Args...> text, Args&&... args)
      : Error(Exit::defect, "a compressed message is damaged: " +
                                fmt::format(text, std::forward<Args>(args)...)) {}
};

inline void require_length(std::span<const std::byte> in, std::int64_t expected) {
  if (std::ssize(in) != expected)
    throw WireError("{} bytes came where {} were expected", in.size(), expected);
}

template <class T>
void append(std::vector<std::byte>& out, const T* from, std::int64_t count) {
  const auto* bytes = reinterpret_cast<const std::byte*>(from);
  out.insert(out.end(), bytes, bytes + count * static_cast<std::int64_t>(sizeof(T)));
}

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

/// x for finite x, NaN for Inf and NaN.
inline double finite_or_nan(double x) { return x + (x - x); }

/// True if no entry is NaN or Inf. One pass.
bool all_finite(std::span<const double> v);

/// max abs(v_i); NaN or Inf if an entry is.
double largest_magnitude(const double* v, std::int64_t n);
/// norm(v), without overflow or underflow on the way; NaN or Inf if an entry is.
double euclidean_norm(const double* v, std::int64_t n);

/// Calls use(chunk) for every chunk of a range of whole chunks, empty ones left out.
template <class Use>
void for_each_chunk(Range range, const partition::Partition& chunks, Use use) {
  if (range.size() == 0) return;
  for (int c = chunks.owner(range.begin); c < chunks.parts() && chunks.range(c).begin < range.end;
       ++c)
    if (chunks.range(c).size() > 0) use(chunks.range(c));
}

/// Blocks of at most `size` entries (0: the whole chunk). They start with their chunk, so they do
/// not depend on how pieces are cut.
template <class Use>
void for_each_block(Range range, const partition::Partition& chunks, std::int64_t size, Use use) {
  for_each_chunk(range, chunks, [&](Range chunk) {
    const std::int64_t step = size > 0 ? size : chunk.size();
    for (std::int64_t at = chunk.begin; at < chunk.end; at += step)
      use(Range{at, std::min(at + step, chunk.end)});
  });
}

/// Bytes of `count` codes of `width` bits.
constexpr std::int64_t packed_bytes(std::int64_t count, int width) {
  return (count * width + 7) / 8;
}

/// Appends codes of `width` <= 16 bits, least significant bit first. All codes are below 2^width.
/// A batch whose size is a multiple of 8 ends at a whole byte, so batches may follow each other.
void append_codes(std::span<const std::uint16_t> codes, int width, std::vector<std::byte>& out);
/// Reads codes.size() codes from packed_bytes(codes.size(), width) bytes.
void read_codes(std::span<const std::byte> in, int width, std::span<std::uint16_t> codes);

/// `count` of the coordinates 0..d-1, every such set equally likely, as a bitmap of ceil(d/64)
/// words. Floyd's algorithm. Cost: `count` draws and d/64 words.
std::vector<std::uint64_t> random_set(std::int64_t d, std::int64_t count,
                                      const parallel::Draw& draw);
/// A uniformly random permutation of 0..n-1 (Fisher and Yates), O(n).
std::vector<std::int64_t> random_permutation(std::int64_t n, const parallel::Draw& draw);
/// A uniform integer below n that depends on no agent: the rotation of RotK.
std::int64_t random_shift(std::int64_t n, const parallel::Draw& draw);

/// Reads what it is given, and never past it.
struct Reader {
  std::span<const std::byte> in;
  std::span<const std::byte> take(std::int64_t count);
  std::uint64_t varint();
};
void append_varint(std::uint64_t x, std::vector<std::byte>& out);

/// Appends a set of indices inside `range`, ascending and not empty: a mode byte, the count as a
/// varint, and the indices relative to the range in the smallest of three layouts (fixed width,
/// bitmap, gaps as varints). Nothing is appended, and false returned, where that would take more
/// than `limit` bytes.
bool append_index_set(std::span<const std::int64_t> index, Range range, std::vector<std::byte>& out,
                      std::int64_t limit = std::numeric_limits<std::int64_t>::max());
/// The indices, relative to a range of n: ascending and below n, or WireError.
std::vector<std::int64_t> read_index_set(Reader& reader, std::int64_t n);

/// Appends the kept coordinates of one range with their values; nothing at all where none is kept.
/// The index set, then the values; or a mode byte and the whole range, zeros included, where that
/// is not longer.
void append_sparse(std::span<const std::int64_t> index, std::span<const double> value, Range range,
                   std::vector<std::byte>& out);
/// Adds weight * value into out. Checks everything it reads.
void decode_add_sparse(std::span<const std::byte> in, Range range, double weight,
                       std::span<double> out);
/// Appends the entries of a piece that `append_sparse` wrote to lists, indices absolute. Checks
/// everything it reads.
void read_sparse(std::span<const std::byte> in, Range range, std::vector<std::int64_t>& index,
                 std::vector<double>& value);
/// The entries of `selection` inside `range`: offsets [first, last) into its arrays.
std::pair<std::size_t, std::size_t> kept_inside(const Selection& selection, Range range);

/// A count, or a fraction of the dimension: `0.05`, `5`.
struct Amount {
  double fraction = 0.0;   ///< in (0, 1), or 0 where a count was given
  std::int64_t count = 0;  ///< >= 1, or 0 where a fraction was given
  /// Clamped to 1..n; 0 for n = 0.
  [[nodiscard]] std::int64_t of(std::int64_t n) const;
  [[nodiscard]] std::string text() const;
};

/// Entries of the largest chunk.
std::int64_t largest_chunk(std::int64_t d, const CodecSetting& setting);

/// A codec that keeps some coordinates, and can say which without the values: another codec may
/// then pack those.
class Sparsifier : public Codec {
 public:
  [[nodiscard]] bool sparse() const override { return true; }
  /// How many of d coordinates are kept at most.
  [[nodiscard]] virtual std::int64_t kept(std::int64_t d) const = 0;
  /// Appends what the receiver needs to know the coordinates kept inside `range`; nothing where
  /// none is.
  virtual void encode_support(const Selection& selection, Range range,
                              std::vector<std::byte>& out) const = 0;
  /// The coordinates kept inside `range`, relative to it; leaves `reader` at the values.
  [[nodiscard]] virtual std::vector<std::int64_t> decode_support(Reader& reader, Range range,
                                                                 std::int64_t d,
                                                                 const parallel::Draw& draw,
                                                                 std::int64_t agent) const = 0;
};

using CodecPointer = std::shared_ptr<const Codec>;
using SparsifierPointer = std::shared_ptr<const Sparsifier>;
enum class Mask { independent, shared, unscaled };

CodecPointer make_identity();
CodecPointer make_cast(std::string_view type, bool stochastic);
SparsifierPointer make_randk(Amount amount, Mask mask);
SparsifierPointer make_permk(std::int64_t agents, bool full, bool listed);
SparsifierPointer make_topk(Amount amount);
SparsifierPointer make_threshold(double threshold);
SparsifierPointer make_nonzero();
SparsifierPointer make_block_topk(Amount amount);
CodecPointer make_natural();
CodecPointer make_qsgd(int levels, const CodecSetting& setting);
CodecPointer make_max_norm(int levels, const CodecSetting& setting);
CodecPointer make_natural_dithering(int levels, const CodecSetting& setting);
CodecPointer make_ternary(const CodecSetting& setting);
CodecPointer make_sign(const CodecSetting& setting);
CodecPointer make_zfp_rate(double bits);
CodecPointer make_zfp_accuracy(double tolerance);
/// `quantizer` packs the values that `sparsifier` keeps. Throws ConfigurationError where theory
/// knows no constant.
CodecPointer make_composition(CodecPointer quantizer, SparsifierPointer sparsifier,
                              const CodecSetting& setting);
/// C(v) + Q(v - C(v)): unbiased, omega_Q (1 - alpha_C).
CodecPointer make_induced(SparsifierPointer contraction, CodecPointer unbiased);
/// The pieces of another codec behind an entropy coder.
CodecPointer make_zstd(CodecPointer inner);

}  // namespace equipoise::compress::detail
