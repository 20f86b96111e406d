#pragma once

#include <equipoise/parallel/random.hpp>
#include <equipoise/partition/partition.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace equipoise::compress {

using partition::Range;

/// What theory knows of a compressor on vectors of one dimension. Unknown (data-dependent)
/// constants are NaN.
struct Descriptor {
  enum class Kind { exact, unbiased, contractive, absolute };
  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

  Kind kind = Kind::exact;
  double q = 1.0;      ///< E norm(Q v)^2 <= q norm(v)^2, unbiased only
  double omega = 0.0;  ///< q - 1
  double alpha = 1.0;  ///< E norm(C v - v)^2 <= (1 - alpha) norm(v)^2, contractive only
  double delta = 1.0;  ///< 1 / alpha
  double collection_a =
      0.0;  ///< E norm(mean Q_m v_m - mean v_m)^2 <= A (1/M) sum norm(v_m)^2 - B norm(mean)^2
  double collection_b = 0.0;
  double beta = 1.0;                  ///< full bits / compressed bits
  bool needs_error_feedback = false;  ///< biased: refuse without error feedback
};

/// The coordinates of a vector that a sparse codec kept, ascending, with the values as the receiver
/// sees them. Dense codecs, and PermK by blocks, leave index and value empty.
struct Selection {
  std::vector<std::int64_t> index;
  std::vector<double> value;
  double scale = 1.0;            ///< a whole-vector scale, where the codec has one
  std::int64_t agent = 0;        ///< whose vector it is: keys the masks and the random rounding
  std::vector<double> residual;  ///< [d] what a first codec left for a second one (`induced`)
  std::vector<Selection> rest;   ///< the second codec's selection
  bool finite = true;  ///< false: the vector holds a NaN or Inf, and so will what is decoded
};

/// How one agent's vector becomes bytes, and bytes become the vector that every receiver sees.
///
/// A vector is encoded in pieces, one per destination: a piece is a range of whole chunks. The
/// decoded vector must not depend on how the ranges were cut, so selection and scales belong to the
/// whole vector
/// (`prepare`) or to a chunk, and random rounding is keyed by the coordinate. Codecs are stateless
/// and `const`; error feedback lives in `Mean`. Usage: prepare once, encode each piece, decode each
/// piece anywhere. The zero vector decodes to zero exactly. A vector with a NaN or Inf decodes to a
/// vector with a NaN (never to finite numbers): a dense codec puts it into the same piece, a sparse
/// one into every coordinate it keeps. `draw` names seed, purpose and iteration; the agent goes
/// into it here (`Selection::agent`). Masks use other counters than rounding, so one `draw` serves
/// both.
class Codec {
 public:
  virtual ~Codec() = default;
  /// The codec string that makes this codec.
  [[nodiscard]] virtual std::string name() const = 0;
  /// Constants for dimension d and a mean over `agents` agents.
  [[nodiscard]] virtual Descriptor describe(std::int64_t d, std::int64_t agents) const = 0;
  /// True if a message holds a small set of coordinates (indices or a regenerable mask).
  [[nodiscard]] virtual bool sparse() const { return false; }
  /// True if all agents keep the same coordinates: those of `prepare` for any agent. Then the mean
  /// of the kept values, scaled, is the mean of the decoded vectors.
  [[nodiscard]] virtual bool shared_mask() const { return false; }
  /// True if every entry is encoded by itself and without chance: pieces that follow each other are
  /// then one piece.
  [[nodiscard]] virtual bool entrywise() const { return false; }
  /// Scans the whole vector: selection, whole-vector scale. Dense codecs only note the agent.
  virtual void prepare(std::span<const double> v, const parallel::Draw& draw, std::int64_t agent,
                       Selection& selection) const;
  /// The part of the whole vector whose plain values are the whole message, where there is one: it
  /// can then be sent without a copy.
  [[nodiscard]] virtual std::optional<Range> plain_part(const Selection& selection, std::int64_t d,
                                                        const parallel::Draw& draw) const;
  /// Appends the encoding of v[range] (v is the whole vector) to `out`. `chunks` cuts the
  /// coordinates.
  virtual void encode(std::span<const double> v, const Selection& selection, Range range,
                      const partition::Partition& chunks, const parallel::Draw& draw,
                      std::vector<std::byte>& out) const = 0;
  /// Adds weight * decoded value to out[i - range.begin] for i in range. Throws Error on a piece it
  /// cannot trust (wrong length, index out of range): lengths and indices from the wire are
  /// checked.
  virtual void decode_add(std::span<const std::byte> in, Range range,
                          const partition::Partition& chunks, const parallel::Draw& draw,
                          std::int64_t agent, double weight, std::span<double> out) const = 0;
  /// The exact length of an encoded piece if the receiver can tell without being told; nothing if
  /// it varies.
  [[nodiscard]] virtual std::optional<std::int64_t> bytes(Range range,
                                                          const partition::Partition& chunks,
                                                          const parallel::Draw& draw,
                                                          std::int64_t agent) const = 0;
};

/// What a codec must know besides its text.
struct CodecSetting {
  std::int64_t dimension = 0;
  std::int64_t agents = 1;
  int chunks =
      0;  ///< number of chunks, for the constants of codecs with a scale per chunk; 0 = the default
};

/// Makes a codec from its text: `identity`, `fp32`, `randk:0.05`, `topk:5`, `permk`, `natural`,
/// `qsgd:8`, ... Numbers: in (0,1) a fraction of the dimension, an integer >= 1 a count; anything
/// else is a ConfigurationError that names the codec and the remedy.
std::shared_ptr<const Codec> make_codec(std::string_view text, const CodecSetting& setting);

/// One line of `equipoise list compressors`.
struct CodecInfo {
  std::string form, help;
};
std::vector<CodecInfo> list_codecs();

}  // namespace equipoise::compress
