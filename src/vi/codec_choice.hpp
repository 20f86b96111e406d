#pragma once

#include <equipoise/state/config.hpp>
#include <equipoise/vi/evaluation.hpp>
#include <equipoise/vi/methods.hpp>

#include <string>

namespace equipoise::vi {

/// Replaces `method.codec = auto` in the configuration by what is measured to be fastest for this
/// method, so that the run file and checkpoints hold the choice and a resumed run keeps it; adds
/// the reason to the notes. Does nothing for another codec. **Collective** where it measures.
void resolve_codec(const std::string& method, Setting& setting, const ProblemView& problem,
                   state::Config& config);

/// The same for `method.collective = auto`, with the codecs that the method will use.
/// **Collective** where it measures.
void resolve_collective(const MethodSpec& spec, Setting& setting, const ProblemView& problem,
                        state::Config& config);

}  // namespace equipoise::vi
