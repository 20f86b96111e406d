#include <equipoise/bilevel/driver.hpp>
#include <equipoise/bilevel/maid.hpp>
#include <equipoise/bilevel/method.hpp>
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

const std::vector<Known>& all() {
  static const std::vector<Known> list = {
      known<Maid>("maid",
                  "adaptively inexact hypergradient descent with certain decrease (deterministic)",
                  {"hvp_yy_g", "jvp_xy_g", "f"}, MaidOptions{}),
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
  };
  return list;
}

}  // namespace

std::vector<solve::MethodEntry> methods() {
  std::vector<solve::MethodEntry> out;
  for (const auto& one : all()) out.push_back(one.entry);
  return out;
}

std::vector<std::string> fitting_methods(OracleView oracle) {
  std::vector<std::string> out;
  for (const auto& one : all()) {
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
      return one.make(setup, config);
    }
    names.push_back(one.entry.name);
  }
  const std::string near = state::nearest(name, names);
  throw ConfigurationError("unknown bilevel method `{}`{}; see `equipoise list bilevel`", name,
                           near.empty() ? "" : ", did you mean `" + near + "`?");
}

}  // namespace equipoise::bilevel
