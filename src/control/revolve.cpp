#include <equipoise/control/revolve.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>

namespace equipoise::control {
namespace {

constexpr std::int64_t huge = std::int64_t{1} << 40;

/// The binomial coefficient, or `huge` where it is larger.
std::int64_t binomial(std::int64_t n, std::int64_t k) {
  if (k < 0 || k > n) return 0;
  k = std::min(k, n - k);
  std::int64_t value = 1;
  for (std::int64_t i = 1; i <= k; ++i) {
    value = value * (n - k + i) / i;
    if (value >= huge) return huge;
  }
  return value;
}

/// The number of times that a step is repeated at most.
std::int64_t repetitions(std::int64_t steps, std::int64_t snapshots) {
  std::int64_t r = 0;
  while (binomial(snapshots + r, snapshots) < steps) ++r;
  return r;
}

/// How far to advance before the next snapshot; every value between the bounds of the source is
/// optimal.
std::int64_t split(std::int64_t steps, std::int64_t snapshots) {
  const std::int64_t s = snapshots;
  const std::int64_t r = repetitions(steps, s);
  const std::int64_t low = std::max(binomial(s + r - 2, s), steps - binomial(s + r - 1, s - 1));
  return std::clamp<std::int64_t>(low, 1, steps - 1);
}

class Reversal {
 public:
  explicit Reversal(ReversibleSteps& scheme) : scheme_(&scheme) {}
  ReversalCount count;

  /// Reverses [begin, end) with the state `begin` both at work and in snapshot `base`, and `free`
  /// further ones.
  void run(std::int64_t begin, std::int64_t end, std::int64_t base, std::int64_t free) {
    count.live = std::max(count.live, base + 1);
    bool at_begin = true;
    while (end > begin) {
      if (!at_begin) scheme_->load(base);
      at_begin = false;
      if (end - begin == 1) {
        scheme_->adjoint(begin);
        return;
      }
      if (free == 0) {
        advance(begin, end - 1);
        scheme_->adjoint(--end);
        continue;
      }
      const std::int64_t middle = begin + split(end - begin, free + 1);
      advance(begin, middle);
      scheme_->save(base + 1);
      run(middle, end, base + 1, free - 1);
      end = middle;
    }
  }

 private:
  void advance(std::int64_t from, std::int64_t to) {
    scheme_->advance(from, to);
    count.advances += to - from;
  }
  ReversibleSteps* scheme_;
};

void validate(std::int64_t steps, std::int64_t snapshots) {
  if (steps < 0) throw ConfigurationError("{} time steps cannot be reversed", steps);
  if (snapshots < 1) {
    throw ConfigurationError("a reversal needs at least one snapshot, the initial state; got {}",
                             snapshots);
  }
}

}  // namespace

ReversalCount reverse(std::int64_t steps, std::int64_t snapshots, ReversibleSteps& scheme) {
  validate(steps, snapshots);
  Reversal reversal(scheme);
  if (steps == 0) return reversal.count;
  scheme.save(0);
  reversal.run(0, steps, 0, std::min(snapshots, steps) - 1);
  return reversal.count;
}

std::int64_t reversal_advances(std::int64_t steps, std::int64_t snapshots) {
  validate(steps, snapshots);
  if (steps == 0) return 0;
  snapshots = std::min(snapshots, steps);
  const std::int64_t r = repetitions(steps, snapshots);
  return r * steps - binomial(snapshots + r, snapshots + 1);
}

}  // namespace equipoise::control
