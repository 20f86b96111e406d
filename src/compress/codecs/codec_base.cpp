#include <equipoise/compress/codec.hpp>

namespace equipoise::compress {

void Codec::prepare(std::span<const double>, const parallel::Draw&, std::int64_t agent,
                    Selection& selection) const {
  selection.index.clear();
  selection.value.clear();
  selection.scale = 1.0;
  selection.agent = agent;
  selection.finite = true;
}

std::optional<Range> Codec::plain_part(const Selection&, std::int64_t,
                                       const parallel::Draw&) const {
  return std::nullopt;
}

}  // namespace equipoise::compress
