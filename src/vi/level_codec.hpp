#pragma once

#include <equipoise/compress/codec.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace equipoise::vi {

/// Unbiased rounding of abs(v_i) / norm(chunk of v) to levels that may be changed between rounds:
/// 0 = l_0 < ... < l_S = 1. A chunk travels as its norm (8 bytes) and a sign and a level per entry:
/// 4 bits for up to 7 levels above 0, 8 bits for up to 127.
class LevelCodec final : public compress::Codec {
 public:
  static constexpr std::int64_t bins = 1024;

  /// Even levels. `count` is S, 1 to 127.
  explicit LevelCodec(std::int64_t count);
  [[nodiscard]] const std::vector<double>& levels() const { return levels_; }
  void set_levels(std::vector<double> levels) { levels_ = std::move(levels); }
  /// Adds the entries of v, divided by the norm of their chunk, to a histogram of `bins` bins.
  static void count_entries(std::span<const double> v, const partition::Partition& chunks,
                            std::span<std::int64_t> histogram);

  [[nodiscard]] std::string name() const override;
  [[nodiscard]] compress::Descriptor describe(std::int64_t d, std::int64_t agents) const override;
  void encode(std::span<const double> v, const compress::Selection& selection,
              compress::Range range, const partition::Partition& chunks, const parallel::Draw& draw,
              std::vector<std::byte>& out) const override;
  void decode_add(std::span<const std::byte> in, compress::Range range,
                  const partition::Partition& chunks, const parallel::Draw& draw,
                  std::int64_t agent, double weight, std::span<double> out) const override;
  [[nodiscard]] std::optional<std::int64_t> bytes(compress::Range range,
                                                  const partition::Partition& chunks,
                                                  const parallel::Draw& draw,
                                                  std::int64_t agent) const override;

 private:
  [[nodiscard]] bool packed() const { return levels_.size() <= 8; }  // two codes a byte
  [[nodiscard]] std::int64_t chunk_bytes(std::int64_t entries) const {
    return 8 + (packed() ? (entries + 1) / 2 : entries);
  }
  std::vector<double> levels_;
};

}  // namespace equipoise::vi
