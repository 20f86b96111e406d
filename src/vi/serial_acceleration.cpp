#include "serial_acceleration.hpp"

#include <equipoise/partition/distributed_vector.hpp>

#include <cmath>

namespace equipoise::vi {
namespace {

/// Inner products in one reduction where z is partitioned.
Anderson::Products products(Evaluation& f) {
  if (!f.problem().partitioned()) return {};
  return [&f](std::span<const partition::DotPair> pairs, std::span<double> out) {
    partition::dots(f.setting().comm, f.problem().layout(), pairs, out);
  };
}

}  // namespace

Acceleration::Acceleration(Evaluation& f, std::int64_t memory)
    : f_(f), anderson_(f.size(), memory, products(f)), r_(f.size()) {}

void Acceleration::clear() {
  anderson_.clear();
  best_ = std::numeric_limits<double>::infinity();
}

bool Acceleration::accelerate(std::span<const double> z, std::vector<double>& next) {
  for (std::size_t i = 0; i < next.size(); ++i) r_[i] = next[i] - z[i];
  const double size = f_.norm(r_);
  const bool sound = std::isfinite(size) && size <= 2.0 * best_;
  if (!sound) {
    anderson_.clear();
    best_ = size;
    return false;
  }
  best_ = std::min(best_, size);
  anderson_.propose(z, r_, next);
  return !anderson_.empty();
}

void Acceleration::fields(state::FieldVisitor& visit) {
  visit.scalar("anderson/best_residual", best_);
  anderson_.fields(visit, "anderson",
                   [&](std::string_view name, auto& v) { f_.visit(visit, name, v); });
}

}  // namespace equipoise::vi
