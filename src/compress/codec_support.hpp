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
constexpr std::int64_t batch_size = 1024;

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

/// Appends the kept coordinates of one range, with their values, in the smallest of four layouts;
/// nothing at all where none is kept. Layout: mode byte, count as a varint, indices relative to the
/// range, values; or a mode byte and the whole range, zeros included, where that is shorter.
void append_sparse(std::span<const std::int64_t> index, std::span<const double> value, Range range,
                   std::vector<std::byte>& out);
/// Adds weight * value into out. Checks everything it reads.
void decode_add_sparse(std::span<const std::byte> in, Range range, double weight,
                       std::span<double> out);
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

using CodecPointer = std::shared_ptr<const Codec>;
CodecPointer make_identity();
CodecPointer make_cast(std::string_view type, bool stochastic);
CodecPointer make_randk(Amount amount, bool shared);
CodecPointer make_permk(std::int64_t agents, bool full);
CodecPointer make_topk(Amount amount);
CodecPointer make_natural();
CodecPointer make_qsgd(int levels, const CodecSetting& setting);

}  // namespace equipoise::compress::detail
