#include <equipoise/bilevel/alternating.hpp>
#include <equipoise/bilevel/descent.hpp>
#include <equipoise/bilevel/driver.hpp>
#include <equipoise/bilevel/federated.hpp>
#include <equipoise/bilevel/lvhba.hpp>
#include <equipoise/bilevel/maid.hpp>
#include <equipoise/bilevel/method.hpp>
#include <equipoise/bilevel/penalty.hpp>
#include <equipoise/bilevel/stn.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <functional>

namespace equipoise::bilevel {
namespace {

/// A method by name: its line in lists, the oracle calls it needs, and its maker.
struct Known {
  solve::MethodEntry entry;
  std::vector<std::string_view> calls;
  std::function<std::unique_ptr<solve::Method>(const Setup&, state::Config&)> make;
};

template <class Made, class Options>
Known known(std::string name, std::string help, std::vector<std::string_view> calls,
            Options options) {
  Known out{{"bilevel", std::move(name), std::move(help), {}}, std::move(calls), {}};
  out.entry.describe = [options](state::OptionVisitor& visit) { Options(options).describe(visit); };
  out.make = [options](const Setup& setup,
                       state::Config& config) -> std::unique_ptr<solve::Method> {
    Options read = options;
    config.read("method", read);
    return std::make_unique<Made>(setup, read);
  };
  return out;
}

/// A preset of the stochastic driver.
Known preset(std::string name, std::string help, const DriverOptions& options) {
  return known<Driver>(std::move(name), std::move(help), {"hvp_yy_g", "jvp_xy_g"}, options);
}

DriverOptions streams(const char* lower, const char* linear, const char* outer) {
  DriverOptions options;
  options.lower = lower;
  options.linear = linear;
  options.outer = outer;
  return options;
}

DriverOptions soba(const char* outer) {
  DriverOptions options = streams("sgd", "sgd", outer);
  options.decay = 0.5;
  return options;
}

DriverOptions bsvrb(bool track_hessian, std::int64_t stage) {
  DriverOptions options = streams("msvr", "msvr", "storm");
  options.move_all = true;
  options.track_hessian = track_hessian;
  options.stage = stage;
  return options;
}

AlternatingOptions stocbio() {
  AlternatingOptions options;
  options.from_zero = true;
  return options;
}

AlternatingOptions bo_rep() {
  AlternatingOptions options;
  options.inner = 3;
  options.period = 2;
  options.beta = 0.1;
  options.normalised = true;
  options.warm_up = 200;
  options.outer_step = 0.01;
  return options;
}

PenaltyOptions penalty(bool storm, double growth) {
  PenaltyOptions options;
  options.storm = storm;
  options.growth = growth;
  return options;
}

PenaltyOptions f2ba() {
  PenaltyOptions options;
  options.inner = 50;
  options.penalty = 100.0;
  return options;
}

const std::vector<Known>& all() {
  static const std::vector<Known> list = {
      known<Maid>("maid",
                  "adaptively inexact hypergradient descent with certain decrease (deterministic)",
                  {"hvp_yy_g", "jvp_xy_g", "f"}, MaidOptions{}),
      known<ImplicitDescent>(
          "implicit",
          "hypergradient descent with accurate lower solves and a fixed step; takes codecs",
          {"hvp_yy_g", "jvp_xy_g"}, DescentOptions{}),
      preset("soba", "stochastic gradients in three streams, decaying steps", soba("sgd")),
      preset("ma-soba", "SOBA with a moving average of the hypergradient", soba("average")),
      preset("saba", "SAGA in three streams, constant steps", streams("saga", "saga", "saga")),
      preset("srba", "SARAH in three streams, constant steps", streams("sarah", "sarah", "sarah")),
      preset("spaba", "PAGE in three streams, constant steps", streams("page", "page", "page")),
      preset("storm", "STORM in three streams", streams("storm", "storm", "storm")),
      preset("bsvrb", "multi-block variance reduction: MSVR for y and v, STORM for x (version 2)",
             bsvrb(false, 0)),
      preset("bsvrb-v1", "the same with tracked Hessians in place of v (small blocks)",
             bsvrb(true, 0)),
      preset("re-bsvrb", "bsvrb in stages of halved constants and doubled length",
             bsvrb(false, 1000)),
      known<Federated>("federated",
                       "STORM in three streams, classes of blocks step alone between averages",
                       {"hvp_yy_g", "jvp_xy_g"}, FederatedOptions{}),
      known<Alternating>("amigo", "T steps on y, then on v (warm started), then x",
                         {"hvp_yy_g", "jvp_xy_g"}, AlternatingOptions{}),
      known<Alternating>("stocbio", "T steps on y, v by a Neumann series of T terms, then x",
                         {"hvp_yy_g", "jvp_xy_g"}, stocbio()),
      known<Alternating>("bo-rep",
                         "normalised moving average, periodic lower steps (unbounded smoothness)",
                         {"hvp_yy_g", "jvp_xy_g"}, bo_rep()),
      known<PenaltyMethod>("f2sa", "first-order penalty method, growing penalty", {"grad_x_g"},
                           penalty(false, 1.0 / 7)),
      known<PenaltyMethod>("f3sa", "f2sa with a STORM estimate", {"grad_x_g"},
                           penalty(true, 1.0 / 7)),
      known<PenaltyMethod>("f2ba",
                           "first-order penalty method, fixed large penalty, long lower solves",
                           {"grad_x_g"}, f2ba()),
      known<DifferenceMethod>("f2sa-p", "p-point differences of the penalty path (first order)",
                              {"grad_x_g"}, DifferenceOptions{}),
      known<Bome>("bome", "dynamic-barrier descent on the value function (first order)",
                  {"grad_x_g"}, BomeOptions{}),
      known<SelfTuning>("stn",
                        "self-tuning: a trained model of the lower solution near x (first order)",
                        {}, StnOptions{}),
      known<Lvhba>("lv-hba",
                   "proximal value function, also of lower problems with coupled constraints "
                   "(first order)",
                   {"grad_x_g"}, LvhbaOptions{}),
  };
  return list;
}

/// Whether a method heeds constraints of lower problems.
bool heeds_constraints(const Known& one) { return one.entry.name == "lv-hba"; }

}  // namespace

std::vector<solve::MethodEntry> methods() {
  std::vector<solve::MethodEntry> out;
  for (const auto& one : all()) out.push_back(one.entry);
  return out;
}

std::vector<std::string> fitting_methods(OracleView oracle) {
  std::vector<std::string> out;
  for (const auto& one : all()) {
    if (oracle.has("con") && !heeds_constraints(one)) continue;
    if (std::all_of(one.calls.begin(), one.calls.end(),
                    [&](auto call) { return oracle.has(call); })) {
      out.push_back(one.entry.name);
    }
  }
  return out;
}

std::unique_ptr<solve::Method> make_method(const std::string& name, const Setup& setup,
                                           state::Config& config) {
  std::vector<std::string> names;
  for (const auto& one : all()) {
    if (one.entry.name == name) {
      setup.oracle.need(name, one.calls);
      if (setup.oracle.has("con") && !heeds_constraints(one)) {
        throw ConfigurationError(
            "method {} ignores constraints, and the lower problem has some; take lv-hba", name);
      }
      return one.make(setup, config);
    }
    names.push_back(one.entry.name);
  }
  const std::string near = state::nearest(name, names);
  throw ConfigurationError("unknown bilevel method `{}`{}; see `equipoise list bilevel`", name,
                           near.empty() ? "" : ", did you mean `" + near + "`?");
}

}  // namespace equipoise::bilevel
