#include "codec_choice.hpp"

#include <equipoise/compress/choice.hpp>
#include <equipoise/parallel/error.hpp>

#include <mpi.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace equipoise::vi {
namespace {

using compress::Candidate;

bool among(const std::string& name, std::initializer_list<const char*> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Methods that send changes with error feedback: a mild rounding both ways costs them no
/// iterations (docs/compression.md has the counts).
std::vector<Candidate> tracked() { return {{}, {"fp32", "fp32"}, {"bf16", "bf16"}}; }

/// Methods with snapshots: C_q / sqrt(p) iterations with p = 1/beta (Beznosikov et al. 2021), and
/// p uncompressed means beside every compressed one.
std::vector<Candidate> with_snapshots(std::int64_t d, std::int64_t agents, bool unbiased) {
  std::vector<Candidate> list = {{"identity", "identity", 1.0, 1.0}};
  const std::array<std::pair<const char*, const char*>, 3> codecs = {
      {{unbiased ? "bf16s" : "bf16", unbiased ? "bf16s" : "bf16"},
       {"natural", "natural"},
       {unbiased ? "permk" : "topk:0.05", unbiased ? "identity" : "topk:0.05"}}};
  for (const auto& [device, server] : codecs) {
    const auto up = compress::make_codec(device, {d, agents})->describe(d, agents);
    const auto down = compress::make_codec(server, {d, 1})->describe(d, 1);
    const double p = std::clamp(1.0 / up.beta, 0.0, 1.0);
    // PermK is exact for agents that are alike; a contraction enters by its 1/alpha.
    const bool exact_for_equals = up.collection_a == 1.0 && up.collection_b == 1.0;
    const double q = up.kind == compress::Descriptor::Kind::unbiased
                         ? (exact_for_equals ? 1.0 : up.q) * std::max(1.0, down.q)
                         : std::max(1.0, up.delta * up.delta);
    list.push_back({device, server, std::sqrt(q / p), p});
  }
  return list;
}

/// True if all ranks share the memory of one node. **Collective.**
bool one_node(const parallel::Comm& comm) {
  MPI_Comm node = MPI_COMM_NULL;
  MPI_Comm_split_type(comm.handle(), MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  int together = 0;
  MPI_Comm_size(node, &together);
  MPI_Comm_free(&node);
  return !comm.any(together < comm.size());
}

/// The texts that a method takes where a configuration says nothing.
class Defaults final : public state::OptionVisitor {
 public:
  void option(std::string_view, double&, std::string_view, state::Limits) override {}
  void option(std::string_view, std::int64_t&, std::string_view, state::Limits) override {}
  void option(std::string_view, bool&, std::string_view) override {}
  void option(std::string_view key, std::string& value, std::string_view) override {
    texts.emplace(key, value);
  }
  void option(std::string_view, std::vector<double>&, std::string_view, state::Limits) override {}
  void option(std::string_view, std::vector<std::string>&, std::string_view) override {}
  void choice(std::string_view, std::string&, const std::vector<std::string>&,
              std::string_view) override {}
  std::map<std::string, std::string, std::less<>> texts;
};

}  // namespace

void resolve_codec(const MethodSpec& spec, Setting& setting, const ProblemView& problem,
                   state::Config& config) {
  Defaults defaults;
  spec.describe(defaults);
  if (!defaults.texts.contains("codec") || !config.has("method.codec") ||
      config.text("method.codec") != "auto") {
    return;
  }
  const std::string& method = spec.name;
  if (problem.partitioned()) {
    throw ConfigurationError(
        "method.codec = auto: this problem's vector is partitioned over ranks and no mean over "
        "agents travels; leave method.codec out");
  }
  if (config.has("method.server_codec") && config.text("method.server_codec") != "auto") {
    throw ConfigurationError(
        "method.codec = auto chooses both directions; leave method.server_codec out");
  }
  const bool feedback = among(method, {"auto", "ogs", "optimistic", "masha2"});
  compress::MeanSetting mean = mean_setting(setting, problem, {});
  mean.error_feedback = feedback;
  const auto candidates = feedback && method != "masha2"
                              ? tracked()
                              : with_snapshots(problem.dimension(), problem.agents(), !feedback);
  const auto agents = partition::Partition::uniform(problem.agents(), setting.comm.size());
  const auto choice = compress::choose_codec(setting.comm, agents, mean, candidates);
  config.set("method.codec", choice.taken.codec);
  config.set("method.server_codec", choice.taken.server_codec);
  setting.notes.emplace_back("codec", choice.reason());
}

void resolve_collective(const MethodSpec& spec, Setting& setting, const ProblemView& problem,
                        state::Config& config) {
  Defaults defaults;
  spec.describe(defaults);
  if (!defaults.texts.contains("collective") || !config.has("method.collective") ||
      config.text("method.collective") != "auto" || problem.partitioned()) {
    return;
  }
  Compression compression;
  compression.codec = config.text("method.codec", defaults.texts["codec"]);
  compression.server_codec = config.text("method.server_codec", defaults.texts["server_codec"]);
  compression.error_feedback = among(spec.name, {"auto", "ogs", "optimistic", "masha2"});
  const auto agents = partition::Partition::uniform(problem.agents(), setting.comm.size());
  const auto choice = compress::choose_collective(setting.comm, agents,
                                                  mean_setting(setting, problem, compression));
  config.set("method.collective", choice.taken);
  setting.notes.emplace_back("collective", choice.reason());
}

void DenseOptions::describe(state::OptionVisitor& visit) {
  visit.choice("dense", dense, {"auto", "yes", "no"},
               "extragradient with uncompressed means instead; auto: where all ranks share one "
               "node's memory and the operator is cheap beside extrapolation and codecs");
}

void resolve_dense(Setting& setting, const ProblemView& problem, state::Config& config) {
  DenseOptions options;
  config.read("method", options);
  if (options.dense != "auto") return;
  const auto d = static_cast<double>(problem.dimension());
  const double flops = static_cast<double>(problem.agents()) * problem.constants().flops / d;
  // Flops an entry of the extrapolation and the codecs of an iteration that spares several others.
  constexpr double extrapolation = 300.0;
  bool dense = flops > 0.0 && flops < extrapolation && d > 200.0 && one_node(setting.comm);
  for (const char* key : {"method.codec", "method.server_codec", "method.collective",
                          "method.memory", "method.step", "method.inner_tolerance"}) {
    if (config.has(key)) dense = false;
  }
  config.set("method.dense", dense ? "yes" : "no");
  if (!dense) return;
  setting.notes.emplace_back(
      "method", fmt::format("extragradient with uncompressed means: all ranks share one node's "
                            "memory, and F takes {:.3g} flops an entry, fewer than extrapolation "
                            "and codecs; method.dense=no takes few bytes nevertheless",
                            flops));
}

}  // namespace equipoise::vi
