#include "reduced_methods.hpp"

#include "entries_private.hpp"

#include <equipoise/control/lbfgs.hpp>
#include <equipoise/control/newton_cg.hpp>
#include <equipoise/control/reduced_cg.hpp>
#include <equipoise/control/trust_region.hpp>

namespace equipoise::problems {
namespace {

template <class Method, class Options>
std::unique_ptr<solve::Method> make(std::shared_ptr<control::ReducedFunctional> functional,
                                    control::Primal start, state::Config& config) {
  Options options;
  config.read("method", options);
  return std::make_unique<Method>(std::move(functional), std::move(start), options);
}

}  // namespace

std::vector<std::string> reduced_method_names(bool quadratic) {
  if (quadratic) return {"reduced-cg", "newton-cg", "trust-region", "lbfgs"};
  return {"newton-cg", "trust-region", "lbfgs"};
}

std::unique_ptr<solve::Method> make_reduced_method(
    const std::string& problem, const std::string& name,
    std::shared_ptr<control::ReducedFunctional> functional, control::Primal start, bool quadratic,
    state::Config& config) {
  using namespace control;
  if (name == "newton-cg")
    return make<NewtonCg, NewtonCgOptions>(std::move(functional), std::move(start), config);
  if (name == "trust-region")
    return make<TrustRegion, TrustRegionOptions>(std::move(functional), std::move(start), config);
  if (name == "lbfgs")
    return make<Lbfgs, LbfgsOptions>(std::move(functional), std::move(start), config);
  if (name == "reduced-cg" && quadratic) return std::make_unique<ReducedCg>(std::move(functional));
  throw ConfigurationError("{}: `{}` is no method for it; there are {}", problem, name,
                           fmt::join(reduced_method_names(quadratic), ", "));
}

std::vector<solve::MethodEntry> reduced_methods() {
  return {{"control", "trust-region",
           "Newton-CG in a trust region: negative curvature and failed states are handled",
           [](state::OptionVisitor& visit) { control::TrustRegionOptions{}.describe(visit); }},
          {"control", "lbfgs", "L-BFGS in the inner product of the control space",
           [](state::OptionVisitor& visit) { control::LbfgsOptions{}.describe(visit); }}};
}

}  // namespace equipoise::problems
