#pragma once

#include <equipoise/state/config.hpp>
#include <equipoise/vi/evaluation.hpp>
#include <equipoise/vi/methods.hpp>

#include <string>

namespace equipoise::vi {

/// Replaces `method.codec = auto` in the configuration by what is measured to be fastest for this
/// method, so that the run file and checkpoints hold the choice and a resumed run keeps it; adds
/// the reason to the notes. Does nothing for another codec. **Collective** where it measures.
void resolve_codec(const MethodSpec& spec, Setting& setting, const ProblemView& problem,
                   state::Config& config);

/// The same for `method.collective = auto`, with the codecs that the method will use.
/// **Collective** where it measures.
void resolve_collective(const MethodSpec& spec, Setting& setting, const ProblemView& problem,
                        state::Config& config);

/// What `method.name = auto` asks besides the options of the methods it chooses from.
struct DenseOptions {
  std::string dense = "auto";
  void describe(state::OptionVisitor& visit);
};
/// Replaces `method.dense = auto` by `yes` or `no`, in the configuration and with a note, so that a
/// resumed run keeps it. `yes`, extragradient with uncompressed means, where all ranks share one
/// node's memory, so that bytes cost nothing; where F takes fewer flops than the extrapolation and
/// the codecs that would spare it; and where no option asks for these. The number of ranks plays no
/// part. **Collective.**
void resolve_dense(Setting& setting, const ProblemView& problem, state::Config& config);

}  // namespace equipoise::vi
