#include <equipoise/bilevel/descent.hpp>
#include <equipoise/bilevel/vectors.hpp>

#include <cmath>

namespace equipoise::bilevel {
namespace {

constexpr std::string_view needed[] = {"hvp_yy_g", "jvp_xy_g"};

}  // namespace

void DescentOptions::describe(state::OptionVisitor& visit) {
  visit.option("step", step, "step of x", state::positive);
  visit.option("accuracy", accuracy, "accuracy of lower and linear solves", state::positive);
  implicit.describe(visit);
  exchange.describe(visit);
}

ImplicitDescent::ImplicitDescent(const Setup& setup, DescentOptions options)
    : MethodBase(setup, options.exchange.setting(setup.seed), "implicit", needed),
      options_(std::move(options)),
      implicit_(blocks_, oracle_, exchange_, options_.implicit),
      q_(blocks_.zeros()),
      p_(x_.size()) {}

void ImplicitDescent::step() {
  // Constants serve the solves' tolerances; every tenth iteration renews those that are estimated.
  const bool renew = iteration_ % 10 == 0;
  const auto at =
      implicit_.gradient(x_, y_, q_, options_.accuracy, options_.accuracy, p_, renew, iteration_);
  report_.fresh = true;
  report_.objective = at.value;
  if (options_.exchange.exact()) report_.residual = at.norm + at.bound;
  report_.failed = !std::isfinite(at.norm);
  if (report_.failed) {
    report_.message = "the hypergradient left the finite numbers; take a smaller step";
    return;
  }
  axpy(-options_.step, p_, x_);
  oracle_.view().proj_x(x_);
  ++iteration_;
}

void ImplicitDescent::fields(state::FieldVisitor& visit) {
  base_fields(visit);
  block_field(visit, "q", q_);
  row_field(visit, "constants", Implicit::width, implicit_.constants());
  if (implicit_.kept_width() > 0)
    row_field(visit, "kept", implicit_.kept_width(), implicit_.kept());
}

}  // namespace equipoise::bilevel
