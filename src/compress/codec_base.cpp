#include <equipoise/compress/codec.hpp>

namespace equipoise::compress {

void Codec::prepare(std::span<const double>, const parallel::Draw&, std::int64_t, Selection&) const {}

}  // namespace equipoise::compress
