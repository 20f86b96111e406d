#include "traffic_search.hpp"

#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/exact_sum.hpp>
#include <equipoise/parallel/virtual_ranks.hpp>
#include <equipoise/problems/vi/traffic_projection.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace equipoise::problems {
namespace {

constexpr double momentum_limit = 2.0;

compress::MeanSetting mean_setting(const TrafficModel& model) {
  const auto agents = static_cast<std::size_t>(model.agents.parts());
  compress::MeanSetting setting;
  const bool alone = agents == 1 || model.network.cost().coupled();
  setting.dimension = static_cast<std::int64_t>(model.network.links() * (alone ? 1 : 2));
  setting.weights.assign(agents, 1.0 / static_cast<double>(agents));
  return setting;
}

}  // namespace

void PathProjectionOptions::describe(state::OptionVisitor& visit) {
  visit.option("sweeps", sweeps, "sweeps over the OD pairs between two searches for paths, at most",
               state::at_least_one);
  visit.option("exchange_every", exchange_every,
               "sweeps between two exchanges of link flows; a single agent needs none",
               state::at_least_one);
  visit.option("reduction", reduction,
               "end the sweeps when the excess cost has fallen to this fraction",
               state::Limits{0.0, 1.0});
  visit.option("overlap", overlap, "first factor by which agents leave room for each other's moves",
               state::at_least_one);
}

PathProjection::PathProjection(parallel::Comm comm, std::shared_ptr<const TrafficModel> model,
                               PathProjectionOptions options, std::string measure)
    : comm_(std::move(comm)),
      model_(std::move(model)),
      options_(options),
      measure_(std::move(measure)),
      hosts_(model_->hosts(comm_.size())),
      mean_(comm_, hosts_, mean_setting(*model_)),
      search_(model_->network),
      now_(model_->network.links()),
      view_(model_->network.links()),
      overlap_(alone() ? 1.0
                       : std::min(options_.overlap, static_cast<double>(model_->agents.parts()))) {
  const partition::Range hosted = hosts_.range(comm_.rank());
  for (std::int64_t agent = hosted.begin; agent < hosted.end; ++agent) {
    groups_.emplace_back(model_->network, model_->pairs_of(static_cast<int>(agent)),
                         model_->shortcut_of(static_cast<int>(agent)));
  }
  const std::span<const OdPair> pairs = model_->pairs;
  for (std::size_t w = 0; w < pairs.size(); ++w) {
    if (w == 0 || pairs[w].origin != pairs[w - 1].origin) ++origins_;
  }
  if (const auto* const virtually = parallel::VirtualRanks::on(comm_)) {
    mean_.spread_virtual(model_->hosts(virtually->size()));
  }
  const std::size_t width = model_->network.links() * (momentum() ? 2 : 1);
  sent_.resize(groups_.size() * width);
  received_.resize(width);
  now_.evaluate(model_->network.cost());
}

void PathProjection::step() {
  if (iteration_ == 0) {
    load();
  } else {
    improve();
  }
  ++iteration_;
  now_.evaluate(model_->network.cost());
  renew();
}

void PathProjection::load() {
  parallel::agree(comm_, [&] {
    for (PathGroup& group : groups_) {
      view_ = now_;
      group.load(view_, search_);
    }
  });
  exchange();
  for (std::size_t a = 0; a < now_.flow.size(); ++a) now_.flow[a] += received_[a];
}

void PathProjection::improve() {
  const std::int64_t every = alone() ? options_.sweeps : options_.exchange_every;
  double first = 0.0;
  for (std::int64_t k = 0; k < options_.sweeps; k += every) {
    const double excess = round(every);
    if (k == 0) first = excess;
    if (excess <= options_.reduction * first) break;
  }
}

/// One round of at most so many sweeps; returns the excess cost that all agents met first.
/// **Collective.**
double PathProjection::round(std::int64_t sweeps) {
  now_.evaluate(model_->network.cost());
  parallel::ExactSum met;
  for (PathGroup& group : groups_) {
    view_ = now_;
    group.remember();
    double first = 0.0;
    for (std::int64_t k = 0; k < sweeps; ++k) {
      const double excess = group.sweep(view_, overlap_);
      if (k == 0) first = excess;
      if (excess == 0.0 || (k > 0 && excess <= options_.reduction * first)) break;
    }
    met.add(first);
    if (momentum()) group.damp_momentum(momentum_limit);
  }
  exchange();
  combine();
  double excess = 0.0;
  parallel::exact_sums(comm_, std::span(&met, 1), std::span(&excess, 1));
  return excess;
}

/// What links see of a flow, where that is more than the flow.
void PathProjection::see(std::span<const double> flow, std::vector<double>& seen) const {
  seen.resize(flow.size());
  for (std::size_t a = 0; a < flow.size(); ++a) seen[a] = model_->network.cost().seen(a, flow);
}

/// Moves to the best of the changes that the agents propose together.
void PathProjection::combine() {
  const PlaneSlope start = derivatives();
  const std::size_t links = now_.flow.size();
  FlowChange d, s;
  d.flow = d.seen = std::span<const double>(received_).first(links);
  s.flow = s.seen = std::span<const double>(received_).subspan(links);
  std::span<const double> seen = now_.flow;
  if (coupled()) {
    see(now_.flow, seen_);
    see(d.flow, seen_change_);
    seen = seen_;
    d.seen = seen_change_;
  }
  const PlaneStep at = search_plane(model_->network.cost(), seen, d, s, start, momentum_limit);
  for (std::size_t a = 0; a < links; ++a) {
    now_.flow[a] += at.t * d.flow[a] + (s.flow.empty() ? 0.0 : at.b * s.flow[a]);
  }
  for (PathGroup& group : groups_) group.advance(at.t, at.b);
  // A short step says that the agents got in each other's way.
  const auto agents = static_cast<double>(model_->agents.parts());
  if (at.t < 0.5) overlap_ = std::min(agents, 1.2 * overlap_);
  if (at.t >= 1.0) overlap_ = std::max(1.0, 0.85 * overlap_);
}

PlaneSlope PathProjection::derivatives() const {
  std::array<parallel::ExactSum, 2> sums;
  for (const PathGroup& group : groups_) group.derivatives(now_.cost, sums[0], sums[1]);
  std::array<double, 2> slope{};
  parallel::exact_sums(comm_, sums, slope);
  return {slope[0], slope[1]};
}

/// Fills `received_` with D and S. Totals are sent rather than changes, so that rounding cannot
/// pile up.
void PathProjection::exchange() {
  const std::size_t links = now_.flow.size();
  const std::size_t width = received_.size();
  std::fill(sent_.begin(), sent_.end(), 0.0);
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    const auto mine = std::span(sent_).subspan(g * width, width);
    groups_[g].add_link_flow(mine.first(links));
    if (momentum()) groups_[g].add_link_momentum(mine.subspan(links));
  }
  mean_(iteration_, sent_, received_);
  const auto agents = static_cast<double>(model_->agents.parts());
  for (double& value : received_) value *= agents;
  for (std::size_t a = 0; a < links; ++a) received_[a] -= now_.flow[a];
}

/// New paths, the gap and the objective at the present flows.
void PathProjection::renew() {
  parallel::ExactSum shortest, total, objective;
  parallel::agree(comm_, [&] {
    for (PathGroup& group : groups_) group.renew(now_.cost, search_, shortest);
  });
  trees_ += origins_;
  double least = 0.0;
  parallel::exact_sums(comm_, std::span(&shortest, 1), std::span(&least, 1));
  for (std::size_t a = 0; a < now_.flow.size(); ++a) {
    total.add(now_.flow[a] * now_.cost[a]);
    if (!coupled()) objective.add(model_->network.cost().integral(a, now_.flow[a]));
  }
  const double cost = total.round();
  const double excess = std::abs(cost - least);
  relative_gap_ = cost > 0.0 ? excess / cost : excess;
  average_excess_cost_ = excess / model_->demand;
  report_.residual = measure_ == "average_excess_cost" ? average_excess_cost_ : relative_gap_;
  if (!coupled()) report_.objective = objective.round();
  report_.fresh = true;
  report_.failed = !std::isfinite(report_.residual) || !std::isfinite(cost);
  if (report_.failed)
    report_.message = "the cost of the link flows is not finite; check powers and capacities";
}

solve::Counters PathProjection::counters() const { return {{"shortest_path_tree", trees_}}; }

std::vector<double> PathProjection::link_flow() const {
  std::vector<double> flow(now_.flow.size());
  const std::span<const std::int32_t> file = model_->network.file_link();
  for (std::size_t a = 0; a < flow.size(); ++a)
    flow[static_cast<std::size_t>(file[a])] = now_.flow[a];
  return flow;
}

void PathProjection::fields(state::FieldVisitor& visit) {
  const std::size_t hosted = groups_.size();
  std::vector<std::vector<std::int64_t>> counts(hosted), links(hosted);
  std::vector<std::vector<double>> flows(hosted), momenta(hosted);
  for (std::size_t g = 0; g < hosted; ++g)
    groups_[g].save(counts[g], links[g], flows[g], momenta[g]);
  visit.scalar("iteration", iteration_);
  visit.scalar("overlap", overlap_);
  visit.scalar("trees", trees_);
  visit.scalar("relative_gap", relative_gap_);
  visit.scalar("average_excess_cost", average_excess_cost_);
  visit.scalar("residual", report_.residual);
  visit.scalar("objective", report_.objective);
  visit.replicated("link_flow", now_.flow);
  visit.ragged("path_count", hosts_, comm_.rank(), counts);
  visit.ragged("path_link", hosts_, comm_.rank(), links);
  visit.ragged("path_flow", hosts_, comm_.rank(), flows);
  visit.ragged("path_momentum", hosts_, comm_.rank(), momenta);
  mean_.fields(visit);
  // A visitor that reads has replaced the lists. No collective here: some visit on one rank only.
  if (iteration_ == 0) return;
  if (now_.flow.size() != model_->network.links()) {
    throw CheckpointError("{} stored link flows for {} links", now_.flow.size(),
                          model_->network.links());
  }
  for (std::size_t g = 0; g < hosted; ++g)
    groups_[g].restore(counts[g], links[g], flows[g], momenta[g]);
  now_.evaluate(model_->network.cost());
}

void PathProjection::solution(state::FieldVisitor& visit) {
  TrafficSolution out;
  out.hosts = hosts_;
  out.part = comm_.rank();
  out.link_flow = link_flow();
  const std::span<const std::int32_t> file = model_->network.file_link();
  for (const PathGroup& group : groups_) {
    std::vector<double> momentum;
    group.save(out.path_count.emplace_back(), out.path_link.emplace_back(),
               out.path_flow.emplace_back(), momentum);
    std::vector<std::int64_t>& list = out.path_link.back();
    for (std::size_t k = 0; k < list.size();) {
      const auto begin = list.begin() + static_cast<std::ptrdiff_t>(k) + 1;
      const auto end = begin + static_cast<std::ptrdiff_t>(list[k]);
      std::reverse(begin, end);
      std::transform(begin, end, begin,
                     [&](std::int64_t a) { return file[static_cast<std::size_t>(a)]; });
      k = static_cast<std::size_t>(end - list.begin());
    }
  }
  out.fields(visit);
}

}  // namespace equipoise::problems
