#include <equipoise/bilevel/driver.hpp>

namespace equipoise::bilevel {

void DriverOptions::describe(state::OptionVisitor& visit) {
  visit.choice("lower", lower, estimator_names(), "estimator of the lower variable's direction");
  visit.choice("linear", linear, estimator_names(), "estimator of the linear system's residual");
  visit.choice("outer", outer, estimator_names(), "estimator of the hypergradient");
  visit.choice("sampler", sampler, {"global", "stratified"},
               "how the blocks of an iteration are drawn");
  visit.option("blocks", blocks, "blocks per iteration I, 0 for all", state::non_negative);
  visit.option("batch", batch, "samples per block and level B, 0 for min(64, samples)",
               state::non_negative);
  visit.option("lower_step", lower_step, "step of y, 0 for 1 / L, less where estimates get stale",
               state::non_negative);
  visit.option("linear_step", linear_step, "step of v, 0 for the step of y", state::non_negative);
  visit.option("outer_step", outer_step,
               "step of x, 0 for 0.4 I / m times the step of y, less where estimates get stale",
               state::non_negative);
  visit.option("warm_up", warm_up, "iterations of y and v alone before x moves",
               state::non_negative);
  visit.option("decay", decay, "steps fall like (t + 1)^-decay", {0.0, 1.0});
  visit.option("outer_decay", outer_decay, "the step of x falls like (t + 1)^-outer_decay besides",
               {0.0, 1.0});
  visit.option("fade", fade, "alpha and beta fall like (t + 1)^-fade", {0.0, 1.0});
  visit.choice(
      "policy", policy, StepPolicy::names(),
      "how x moves along the hypergradient; auto: plainly by a given step, else by entries "
      "with factors it finds");
  visit.option("window", window,
               "iterations of a window of the policies auto and resilient, 0 for all samples",
               state::non_negative);
  visit.option("longest", longest,
               "most an entry of x moves in a window of the policies auto and resilient",
               state::positive);
  visit.option("most", most, "largest factor on a step of the resilient policy", {1.0, 1e9});
  visit.option("beta", constants.beta, "constant of moving average and STORM", state::probability);
  visit.option("alpha", constants.alpha, "constant of MSVR", state::probability);
  visit.option("gamma", constants.gamma, "correction of MSVR, negative for 1 - alpha");
  visit.option("radius", radius, "bound on the norm of v", state::positive);
  visit.option("move_all", move_all, "move blocks that were not sampled, too (lazily)");
  visit.option("period", period, "iterations between full passes of SARAH, 0 for samples / (2 B)",
               state::non_negative);
  visit.option("coin", coin, "probability of a full pass of PAGE, 0 for B / samples", {0.0, 1.0});
  visit.option("stage", stage, "first stage length of the restarted version, 0 for none",
               state::non_negative);
  visit.option("track_hessian", track_hessian, "estimate Hyy instead of v (dy <= 500)");
  visit.option("hessian_low", hessian_low, "smallest eigenvalue of the tracked Hessian",
               state::positive);
  visit.option("hessian_high", hessian_high, "largest eigenvalue of the tracked Hessian",
               state::positive);
  visit.option("table_limit", table_limit, "bytes of SAGA tables a rank may hold", state::positive);
  visit.option("evaluate_every", evaluate_every,
               "iterations between evaluations of the hypergradient, 0 for never",
               state::non_negative);
  exchange.describe(visit);
}

}  // namespace equipoise::bilevel
