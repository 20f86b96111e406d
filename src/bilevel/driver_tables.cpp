// The SAGA tables of the stochastic driver: one entry per minibatch and level, and their weighted
// means.
#include <equipoise/bilevel/driver.hpp>
#include <equipoise/bilevel/vectors.hpp>

#include <algorithm>

namespace equipoise::bilevel {
namespace {

/// Where things lie in the list of one block: the lower mean and entries (grad_y g, Hyy v, Hxy v: 2
/// dy + dx each), then the upper mean and entries (grad_y f, grad_x f: dy + dx each).
struct Shape {
  std::size_t lower_width, upper_width, lower_slots, upper_slots;
  [[nodiscard]] std::size_t size() const {
    return (lower_slots + 1) * lower_width + (upper_slots + 1) * upper_width;
  }
  [[nodiscard]] std::size_t lower(std::size_t slot) const { return (slot + 1) * lower_width; }
  [[nodiscard]] std::size_t upper_mean() const { return (lower_slots + 1) * lower_width; }
  [[nodiscard]] std::size_t upper(std::size_t slot) const {
    return upper_mean() + (slot + 1) * upper_width;
  }
};

Shape shape(const OracleView& view, std::int64_t i, std::int64_t batch) {
  const auto slots = [&](Level level) {
    const auto n = view.num_samples(i, level);
    const auto b = batch == 0 ? std::min<std::int64_t>(64, n) : batch;
    return static_cast<std::size_t>((n + b - 1) / b);
  };
  const auto dy = static_cast<std::size_t>(view.dim_inner(i)),
             dx = static_cast<std::size_t>(view.dim_outer());
  return {2 * dy + dx, dy + dx, slots(Level::lower), slots(Level::upper)};
}

std::vector<std::int64_t> slice(std::int64_t n, std::int64_t batch, std::size_t slot) {
  const auto b = batch == 0 ? std::min<std::int64_t>(64, n) : batch;
  std::vector<std::int64_t> out;
  for (auto j = static_cast<std::int64_t>(slot) * b;
       j < std::min(n, (static_cast<std::int64_t>(slot) + 1) * b); ++j) {
    out.push_back(j);
  }
  return out;
}

}  // namespace

/// Fills the tables of a block at its first visit, in one pass over its samples.
void Driver::build_tables(std::int64_t i, In x, In y, In v) {
  const Shape form = shape(oracle_.view(), i, options_.batch);
  auto& table = tables_[static_cast<std::size_t>(i - blocks_.owned().begin)];
  table.assign(form.size(), 0.0);
  const auto dy = y.size();
  const Out all(table);
  const auto lower_samples = oracle_.view().num_samples(i, Level::lower);
  for (std::size_t slot = 0; slot < form.lower_slots; ++slot) {
    const auto batch = slice(lower_samples, options_.batch, slot);
    const Out entry = all.subspan(form.lower(slot), form.lower_width);
    oracle_.lower_pass(i, batch, x, y, v, entry.first(dy), entry.subspan(dy, dy),
                       entry.subspan(2 * dy));
    axpy(static_cast<double>(batch.size()) / static_cast<double>(lower_samples), entry,
         all.subspan(0, form.lower_width));
  }
  const auto upper_samples = oracle_.view().num_samples(i, Level::upper);
  for (std::size_t slot = 0; slot < form.upper_slots; ++slot) {
    const auto batch = slice(upper_samples, options_.batch, slot);
    const Out entry = all.subspan(form.upper(slot), form.upper_width);
    oracle_.grad_y_f(i, batch, x, y, entry.first(dy));
    oracle_.grad_x_f(i, batch, x, y, entry.subspan(dy));
    axpy(static_cast<double>(batch.size()) / static_cast<double>(upper_samples), entry,
         all.subspan(form.upper_mean(), form.upper_width));
  }
}

/// Sets raw to the SAGA estimates (value - entry + mean), and the entries to the values.
void Driver::evaluate_tables(std::int64_t i, In x, In y, In v, Raw& raw) {
  const Shape form = shape(oracle_.view(), i, options_.batch);
  auto& table = tables_[static_cast<std::size_t>(i - blocks_.owned().begin)];
  const auto dy = y.size(), dx = x.size();
  const Out all(table);
  const Out low = Out(entries_).first(form.lower_width),
            up = Out(entries_).subspan(form.lower_width, form.upper_width);
  oracle_.lower_pass(i, lower_batch_, x, y, v, low.first(dy), low.subspan(dy, dy),
                     low.subspan(2 * dy));
  oracle_.grad_y_f(i, upper_batch_, x, y, up.first(dy));
  oracle_.grad_x_f(i, upper_batch_, x, y, up.subspan(dy));
  const auto exchange_entry = [](Out value, Out entry, Out mean, double share) {
    for (std::size_t k = 0; k < value.size(); ++k) {
      const double change = value[k] - entry[k];
      entry[k] = value[k];
      value[k] = change + mean[k];
      mean[k] += share * change;
    }
  };
  const double lower_share = static_cast<double>(lower_batch_.size()) /
                             static_cast<double>(oracle_.view().num_samples(i, Level::lower));
  const double upper_share = static_cast<double>(upper_batch_.size()) /
                             static_cast<double>(oracle_.view().num_samples(i, Level::upper));
  exchange_entry(low,
                 all.subspan(form.lower(static_cast<std::size_t>(lower_slot_)), form.lower_width),
                 all.subspan(0, form.lower_width), lower_share);
  exchange_entry(up,
                 all.subspan(form.upper(static_cast<std::size_t>(upper_slot_)), form.upper_width),
                 all.subspan(form.upper_mean(), form.upper_width), upper_share);
  for (std::size_t k = 0; k < dy; ++k) {
    raw.lower[k] = low[k];
    raw.linear[k] = low[dy + k] - up[k];
  }
  for (std::size_t k = 0; k < dx; ++k) raw.outer[k] = up[dy + k] - low[2 * dy + k];
}

}  // namespace equipoise::bilevel
