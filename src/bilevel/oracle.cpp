#include <equipoise/bilevel/calls.hpp>
#include <equipoise/bilevel/oracle.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>

namespace equipoise::bilevel {

bool OracleView::has(std::string_view call) const {
  const Table& t = *table_;
  const std::pair<std::string_view, bool> known[] = {{"hvp_yy_g", t.hvp_yy_g},
                                                     {"jvp_xy_g", t.jvp_xy_g},
                                                     {"jvp_yx_g", t.jvp_yx_g},
                                                     {"hess_yy_g", t.hess_yy_g},
                                                     {"grad_x_g", t.grad_x_g},
                                                     {"f", t.f},
                                                     {"g", t.g},
                                                     {"lower_pass", t.lower_pass},
                                                     {"proj_joint", t.proj_joint},
                                                     {"con", t.con},
                                                     {"x_support", t.x_support},
                                                     {"response", t.response},
                                                     {"bounds", t.bounds},
                                                     {"exact", t.exact},
                                                     {"optimum", t.optimum}};
  const auto found = std::find_if(std::begin(known), std::end(known),
                                  [&](const auto& entry) { return entry.first == call; });
  return found != std::end(known) && found->second;
}

void OracleView::need(std::string_view method, std::span<const std::string_view> calls) const {
  for (const auto call : calls) {
    if (!has(call)) {
      throw ConfigurationError(
          "method {} needs the oracle call `{}`, which this problem does not have; add it to the "
          "problem, or take a method that does without (`equipoise list bilevel`)",
          method, call);
    }
  }
}

void OracleView::start(Out x) const {
  std::fill(x.begin(), x.end(), 0.0);
  if (table_->start) table_->start(self_, x);
}

void OracleView::start_inner(std::int64_t i, Out y) const {
  std::fill(y.begin(), y.end(), 0.0);
  if (table_->start_inner) table_->start_inner(self_, i, y);
}

solve::Counters CountedOracle::named(const Counts& counts) {
  return {{"lower_gradient", counts[lower_gradient]},
          {"upper_gradient", counts[upper_gradient]},
          {"hessian_vector", counts[hessian_vector]},
          {"cross_vector", counts[cross_vector]},
          {"value", counts[value]}};
}

void CountedOracle::lower_pass(std::int64_t i, Batch b, In x, In y, In v, Out gradient, Out hv,
                               Out jv) {
  if (!table_->lower_pass) {
    grad_y_g(i, b, x, y, gradient);
    hvp_yy_g(i, b, x, y, v, hv);
    jvp_xy_g(i, b, x, y, v, jv);
    return;
  }
  count(lower_gradient, i, b, Level::lower);
  count(hessian_vector, i, b, Level::lower);
  count(cross_vector, i, b, Level::lower);
  table_->lower_pass(self_, i, b, x, y, v, gradient, hv, jv);
}

}  // namespace equipoise::bilevel
