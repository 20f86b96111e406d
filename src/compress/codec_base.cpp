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

}  // namespace equipoise::compress
