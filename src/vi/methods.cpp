#include "base.hpp"
#include "codec_choice.hpp"
#include "serial.hpp"

#include <equipoise/vi/methods.hpp>

namespace equipoise::vi {

const std::vector<MethodSpec>& methods() {
  static const std::vector<MethodSpec> all = [] {
    std::vector<MethodSpec> list = {
        automatic_spec(),
        optimistic_spec(),
        extragradient_spec(),
        masha1_spec(),
        masha2_spec(),
        compressed_extragradient_spec(),
        accelerated_gradient_spec(),
        ogs_spec(),
        cogs_spec(),
        svogs_spec(),
        three_pillars_spec(),
        optimistic_masha_spec(),
        proxskip_spec(),
        diana_spec(),
        qgenx_spec(),
        sgda_spec(),
    };
    for (auto& spec : serial_specs()) list.push_back(std::move(spec));
    return list;
  }();
  return all;
}

std::unique_ptr<solve::Method> make_method(const std::string& name, const Setting& setting,
                                           const ProblemView& problem, state::Config& config) {
  std::vector<std::string> names;
  for (const MethodSpec& spec : methods()) {
    if (spec.name == name) {
      const std::string reason = spec.refuse(problem);
      if (!reason.empty()) throw ConfigurationError("method.name = {}: {}", name, reason);
      Setting resolved = setting;
      if (name == "auto") resolve_dense(resolved, problem, config);
      resolve_codec(spec, resolved, problem, config);
      resolve_collective(spec, resolved, problem, config);
      return spec.make(resolved, problem, config);
    }
    names.push_back(spec.name);
  }
  const std::string near = state::nearest(name, names);
  throw ConfigurationError(
      "method.name = {}: no such method of family vi{}; see: equipoise list vi", name,
      near.empty() ? "" : ", did you mean " + near + "?");
}

}  // namespace equipoise::vi
