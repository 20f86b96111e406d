#include "codecs/codec_support.hpp"
#include "collectives/collective.hpp"

#include <equipoise/compress/mean.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/state/config.hpp>

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

namespace equipoise::compress {
namespace {

using parallel::Draw;
using parallel::Purpose;
using partition::Layout;
using partition::Partition;

const std::array<std::string, 8> names = {
    "bytes",       "auto",  "two-phase",          "allgatherv",
    "shared-mask", "split", "recursive-doubling", "balanced"};

/// Throws ConfigurationError for a collective that there is not, or that run.reduction forbids.
void check_collective(const std::string& wish, bool fast) {
  if (std::find(names.begin(), names.end(), wish) == names.end()) {
    const std::string near = state::nearest(wish, names);
    throw ConfigurationError("method.collective = {}: choose {}{}", wish, collective_choices,
                             near.empty() ? "" : "; did you mean " + near + "?");
  }
  if (!fast && (wish == "recursive-doubling" || wish == "balanced")) {
    throw ConfigurationError(
        "method.collective = {}: its sums depend on the number of ranks, which run.reduction = "
        "exact rules out; set run.reduction=fast",
        wish);
  }
}

[[noreturn]] void needs_sparse(const std::string& wish) {
  throw ConfigurationError(
      "method.collective = {} needs a sparse codec (randk, permk, topk) and no server codec", wish);
}

}  // namespace

class Mean::Impl {
 public:
  Impl(parallel::Comm comm, Partition agents, MeanSetting setting) {
    const std::int64_t d = setting.dimension;
    if (agents.parts() != comm.size()) {
      throw ConfigurationError("agents are spread over {} ranks, the communicator has {}",
                               agents.parts(), comm.size());
    }
    if (std::ssize(setting.weights) != agents.size()) {
      throw ConfigurationError("{} weights for {} agents", setting.weights.size(), agents.size());
    }
    check_collective(setting.collective, setting.fast);
    if (setting.chunks <= 0) setting.chunks = partition::default_chunks(d);
    round_.layout = Layout::uniform(d, static_cast<int>(setting.chunks), comm.size());
    round_.hosted = agents.range(comm.rank());
    round_.comm = std::move(comm);
    round_.agents = std::move(agents);
    round_.setting = std::move(setting);
    if (auto* const ranks = parallel::VirtualRanks::on(round_.comm)) {
      round_.census = {ranks, Partition::uniform(round_.agents.size(), ranks->size()),
                       Layout::uniform(d, static_cast<int>(round_.setting.chunks), ranks->size())};
    }
    low_rank_ = low_rank_of(round_.setting.codec);
    make_codecs();
    if (round_.setting.error_feedback) {
      round_.agent_errors.assign(at(round_.hosted.size() * d), 0.0);
      if (owner_feedback()) {
        round_.owner_errors.assign(at(round_.layout.owned(round_.comm.rank()).size()), 0.0);
      }
    }
    choose_collectives();
  }

  void regroup(Partition agents, std::vector<double> weights) {
    assert(agents.size() == round_.agents.size() && agents.parts() == round_.comm.size());
    assert(std::ssize(weights) == agents.size() && !round_.setting.error_feedback);
    round_.hosted = agents.range(round_.comm.rank());
    round_.agents = std::move(agents);
    round_.setting.weights = std::move(weights);
  }

  void spread_virtual(Partition agents) {
    if (!round_.census) return;
    assert(agents.size() == round_.agents.size() && agents.parts() == round_.census->size());
    round_.census->agents = std::move(agents);
  }

  void start(std::int64_t iteration, std::span<const double> contributions, std::span<double> out) {
    if (!compressed_) return start(*dense_, contributions, out);
    const bool feedback = round_.setting.error_feedback;
    if (feedback) add_weighted(1.0, contributions, false, round_.agent_errors);
    const std::span<const double> source =
        feedback ? std::span<const double>(round_.agent_errors) : contributions;
    round_.iteration = iteration;
    round_.draw.emplace(round_.setting.seed, Purpose::mask, iteration);
    round_.server_draw.emplace(round_.setting.seed, Purpose::owner_rounding, iteration);
    round_.selections.resize(at(round_.hosted.size()));
    for (std::int64_t a = 0; a < round_.hosted.size() && round_.device; ++a) {
      const std::int64_t agent = round_.hosted.begin + a;
      round_.device->prepare(round_.row(source, a), round_.draw->with_agent(agent), agent,
                             round_.selections[at(a)]);
    }
    start(*compressed_, source, out);
  }

  void dense(std::span<const double> contributions, std::span<double> out) {
    start(*dense_, contributions, out);
    finish();
  }

  void finish() {
    Collective& collective = *std::exchange(started_, nullptr);
    collective.finish();
    round_.traffic.rounds += 1;
    if (!round_.uplink.empty()) {
      round_.traffic.uplink_per_agent +=
          *std::max_element(round_.uplink.begin(), round_.uplink.end());
    }
    round_.traffic.downlink_per_agent += round_.downlink;
    settle(collective);
  }

  /// Error feedback by chunk: a server codec that loses nothing needs none.
  [[nodiscard]] bool owner_feedback() const {
    return round_.setting.error_feedback && round_.server &&
           round_.server->describe(round_.dimension(), 1).kind != Descriptor::Kind::exact;
  }

  Round round_;
  std::optional<int> low_rank_;
  CollectivePointer dense_;
  CollectivePointer compressed_;  ///< null without codecs

 private:
  Collective* started_ = nullptr;

  void start(Collective& collective, std::span<const double> source, std::span<double> out) {
    assert(!started_);
    assert(std::ssize(source) == round_.hosted.size() * round_.dimension());
    assert(std::ssize(out) == round_.dimension());
    round_.uplink.assign(at(round_.hosted.size()), 0);
    round_.downlink = 0;
    started_ = &collective;
    collective.start(source, out);
  }

  /// A message that one rank could not trust is every rank's error.
  void settle(const Collective& collective) {
    const auto rethrow = [&] {
      if (round_.failure) std::rethrow_exception(std::exchange(round_.failure, nullptr));
    };
    if (round_.comm.size() > 1 && collective.checks()) {
      parallel::agree(round_.comm, rethrow);
    } else {
      rethrow();
    }
  }

  void make_codecs() {
    const std::int64_t d = round_.dimension();
    const int chunks = round_.layout.chunks().parts();
    MeanSetting& setting = round_.setting;
    if (setting.codec != "identity" && !low_rank_) {
      round_.device = make_codec(setting.codec, {d, round_.agents.size(), chunks});
    }
    if (setting.collective == "split") {
      if (setting.server_codec != "identity") needs_sparse(setting.collective);
      setting.server_codec = "nonzero";
    }
    if (setting.server_codec == "identity") return;
    if (low_rank_ || low_rank_of(setting.server_codec)) {
      throw ConfigurationError(
          "method.codec = {}, method.server_codec = {}: powersgd travels both ways at once, as a "
          "method.codec alone; leave method.server_codec out",
          setting.codec, setting.server_codec);
    }
    round_.server = make_codec(setting.server_codec, {d, 1, chunks});
    if (setting.server_codec.find("permk") != std::string::npos || round_.server->shared_mask()) {
      throw ConfigurationError(
          "server_codec = {} makes no sense: it is a codec for collections of agents; use natural, "
          "a quantizer or topk with a fraction",
          setting.server_codec);
    }
  }

  /// True if no collective is named.
  static bool open(const std::string& wish) { return wish == "bytes" || wish == "auto"; }

  void choose_collectives() {
    const std::string& wish = round_.setting.collective;
    dense_ = round_.setting.fast && wish != "two-phase" ? make_library_sum(round_)
                                                        : make_two_phase(round_, true);
    if (low_rank_) {
      if (!open(wish)) {
        throw ConfigurationError(
            "method.collective = {}: powersgd brings its own exchange; leave method.collective out",
            wish);
      }
      compressed_ = make_low_rank(round_, *low_rank_);
    } else if (round_.device || round_.server) {
      compressed_ = make_compressed(wish);
    } else if (wish == "allgatherv" || wish == "shared-mask" || wish == "recursive-doubling" ||
               wish == "balanced") {
      needs_sparse(wish);
    }
  }

  CollectivePointer make_compressed(const std::string& wish) {
    if (wish == "two-phase" || wish == "split") return make_two_phase(round_, false);
    const bool sparse = round_.device && round_.device->sparse() && !round_.server;
    if (open(wish) && !sparse) return make_two_phase(round_, false);
    if (!sparse) needs_sparse(wish);
    if (wish == "recursive-doubling") return make_recursive_doubling(round_);
    if (wish == "balanced") return make_balanced();
    const std::int64_t packed = wish == "allgatherv" ? 0 : shared_values();
    if (packed > 0) return make_shared_mask(round_, packed);
    if (wish == "shared-mask") {
      throw ConfigurationError(
          "method.collective = shared-mask needs a codec that keeps the same coordinates for all "
          "agents, randk-shared");
    }
    return wish == "allgatherv" || gathering_is_shorter() ? make_allgather(round_)
                                                          : make_two_phase(round_, false);
  }

  CollectivePointer make_balanced() {
    const auto* sparsifier = dynamic_cast<const detail::Sparsifier*>(round_.device.get());
    if (!sparsifier || !round_.setting.error_feedback) {
      throw ConfigurationError(
          "method.collective = balanced drops small sums into the error feedback: it needs topk, "
          "and a method with error feedback such as masha2");
    }
    return make_balanced_split(round_, sparsifier->kept(round_.dimension()));
  }

  /// Bytes received per rank with one agent on each: (M - 1) K against K + N.
  [[nodiscard]] bool gathering_is_shorter() const {
    const double full = 8.0 * static_cast<double>(round_.dimension());
    const auto agents = static_cast<double>(round_.agents.size());
    const double message =
        full / round_.device->describe(round_.dimension(), round_.agents.size()).beta;
    return (agents - 1.0) * message <= message + full;
  }

  /// How many plain values of the same coordinates every agent sends, or 0.
  [[nodiscard]] std::int64_t shared_values() const {
    if (!round_.device->shared_mask()) return 0;
    const std::vector<double> zero(at(round_.dimension()), 0.0);
    const Draw draw(round_.setting.seed, Purpose::mask, 0);
    Selection kept;
    round_.device->prepare(zero, draw, 0, kept);
    const auto bytes =
        round_.device->bytes({0, round_.dimension()}, round_.layout.chunks(), draw, 0);
    return bytes && *bytes == 8 * std::ssize(kept.index) ? std::ssize(kept.index) : 0;
  }
};

Mean::Mean(parallel::Comm comm, Partition agents, MeanSetting setting)
    : impl_(std::make_unique<Impl>(std::move(comm), std::move(agents), std::move(setting))) {}
Mean::~Mean() = default;
Mean::Mean(Mean&&) noexcept = default;
Mean& Mean::operator=(Mean&&) noexcept = default;

void Mean::operator()(std::int64_t iteration, std::span<const double> contributions,
                      std::span<double> out) {
  start(iteration, contributions, out);
  finish();
}
void Mean::start(std::int64_t iteration, std::span<const double> contributions,
                 std::span<double> out) {
  impl_->start(iteration, contributions, out);
}
void Mean::finish() { impl_->finish(); }
void Mean::dense(std::span<const double> contributions, std::span<double> out) {
  impl_->dense(contributions, out);
}
void Mean::reset() {
  rescale(0.0);
  if (impl_->compressed_) impl_->compressed_->reset();
}
void Mean::reset_agents() {
  auto& errors = impl_->round_.agent_errors;
  std::fill(errors.begin(), errors.end(), 0.0);
}
void Mean::regroup(Partition agents, std::vector<double> weights) {
  impl_->regroup(std::move(agents), std::move(weights));
}
void Mean::spread_virtual(Partition agents) { impl_->spread_virtual(std::move(agents)); }
std::span<const std::int64_t> Mean::last_uplink() const { return impl_->round_.uplink; }
void Mean::rescale(double factor) {
  for (auto* errors : {&impl_->round_.agent_errors, &impl_->round_.owner_errors}) {
    for (double& e : *errors) e = factor == 0.0 ? 0.0 : factor * e;
  }
}
void Mean::fields(state::FieldVisitor& visit) {
  Round& round = impl_->round_;
  if (impl_->compressed_) impl_->compressed_->fields(visit);
  if (!round.setting.error_feedback) return;
  visit.partitioned("mean/agent_errors", round.agents, round.comm.rank(), round.dimension(),
                    round.agent_errors);
  if (impl_->owner_feedback()) {
    visit.partitioned("mean/owner_errors", round.layout.coordinates(), round.comm.rank(), 1,
                      round.owner_errors);
  }
}
const Partition& Mean::agents() const { return impl_->round_.agents; }
Range Mean::hosted() const { return impl_->round_.hosted; }
const MeanSetting& Mean::setting() const { return impl_->round_.setting; }
Descriptor Mean::device() const {
  const Round& round = impl_->round_;
  if (impl_->low_rank_) return describe_low_rank(round.dimension(), *impl_->low_rank_);
  return round.device ? round.device->describe(round.dimension(), round.agents.size())
                      : Descriptor{};
}
Descriptor Mean::server() const {
  const Round& round = impl_->round_;
  return round.server ? round.server->describe(round.dimension(), 1) : Descriptor{};
}
std::span<const double> Mean::agent_errors() const { return impl_->round_.agent_errors; }
std::span<const double> Mean::owner_errors() const { return impl_->round_.owner_errors; }
Range Mean::owned() const { return impl_->round_.layout.owned(impl_->round_.comm.rank()); }
std::string Mean::collective() const {
  return (impl_->compressed_ ? impl_->compressed_ : impl_->dense_)->name();
}
const parallel::Traffic& Mean::traffic() const { return impl_->round_.traffic; }
void Mean::set_traffic(const parallel::Traffic& traffic) { impl_->round_.traffic = traffic; }

}  // namespace equipoise::compress
