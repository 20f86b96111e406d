#include <equipoise/parallel/agree.hpp>
#include <equipoise/problems/vi/traffic_logit.hpp>

#include <algorithm>
#include <cmath>
#include <queue>
#include <utility>

namespace equipoise::problems {
namespace {

constexpr std::int64_t patience = 15;
/// Of an extrapolated step, in plain ones.
constexpr double longest_move = 10.0;

/// Cost from the origin, and links of a path of that cost, fewest first.
using Label = std::pair<double, std::int32_t>;

/// Labels of all nodes [nodes + 1], by Dijkstra's algorithm; nodes that cannot be passed end paths.
std::vector<Label> labels_from(const TrafficNetwork& network, std::int32_t origin,
                               std::span<const double> cost) {
  std::vector<Label> label(static_cast<std::size_t>(network.nodes()) + 1, Label{HUGE_VAL, 0});
  using Entry = std::pair<Label, std::int32_t>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> heap;
  label[static_cast<std::size_t>(origin)] = {0.0, 0};
  heap.push({{0.0, 0}, origin});
  while (!heap.empty()) {
    const auto [reached, node] = heap.top();
    heap.pop();
    if (reached != label[static_cast<std::size_t>(node)]) continue;
    if (node != origin && !network.thru(node)) continue;
    for (std::int32_t a = network.first_out(node); a < network.first_out(node + 1); ++a) {
      Label& to = label[static_cast<std::size_t>(network.head(a))];
      const Label by = {reached.first + cost[static_cast<std::size_t>(a)], reached.second + 1};
      if (!(by < to)) continue;
      to = by;
      heap.push({by, network.head(a)});
    }
  }
  return label;
}

compress::MeanSetting link_mean(const TrafficModel& model) {
  const auto agents = static_cast<std::size_t>(model.agents.parts());
  compress::MeanSetting setting;
  setting.dimension = static_cast<std::int64_t>(model.network.links());
  setting.weights.assign(agents, 1.0 / static_cast<double>(agents));
  return setting;
}

}  // namespace

LogitOrigin::LogitOrigin(const TrafficNetwork& network, std::span<const OdPair> pairs,
                         std::span<const double> empty) {
  const std::int32_t origin = pairs.front().origin;
  const auto label = labels_from(network, origin, empty);
  std::vector<std::int32_t> order;  // of the nodes met, nearest first
  for (std::int32_t node = 1; node <= network.nodes(); ++node) {
    if (std::isfinite(label[static_cast<std::size_t>(node)].first)) order.push_back(node);
  }
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return label[static_cast<std::size_t>(a)] < label[static_cast<std::size_t>(b)];
  });
  std::vector<std::int32_t> place(label.size(), -1);
  for (std::size_t k = 0; k < order.size(); ++k)
    place[static_cast<std::size_t>(order[k])] = static_cast<std::int32_t>(k);
  for (const std::int32_t node : order) {
    if (node != origin && !network.thru(node)) continue;
    for (std::int32_t a = network.first_out(node); a < network.first_out(node + 1); ++a) {
      const auto from = static_cast<std::size_t>(node);
      const auto to = static_cast<std::size_t>(network.head(a));
      if (label[from] < label[to]) links_.push_back({a, place[from], place[to]});
    }
  }
  std::stable_sort(links_.begin(), links_.end(),
                   [](const Link& a, const Link& b) { return a.to < b.to; });
  trips_.resize(order.size());
  for (const OdPair& pair : pairs) {
    const std::int32_t at = place[static_cast<std::size_t>(pair.destination)];
    if (at < 0) {
      throw InputError("no path leads from zone {} to zone {}", pair.origin, pair.destination);
    }
    trips_[static_cast<std::size_t>(at)] += pair.demand;
  }
  expected_.resize(order.size());
  through_.resize(order.size());
}

void LogitOrigin::load(std::span<const double> cost, double dispersion, std::span<double> flow) {
  const auto reach = [&](const Link& l) {
    return expected_[static_cast<std::size_t>(l.from)] + cost[static_cast<std::size_t>(l.link)];
  };
  expected_.front() = 0.0;
  for (std::size_t begin = 0, end = 0; begin < links_.size(); begin = end) {
    double least = HUGE_VAL, sum = 0.0;
    for (; end < links_.size() && links_[end].to == links_[begin].to; ++end)
      least = std::min(least, reach(links_[end]));
    for (std::size_t k = begin; k < end; ++k)
      sum += std::exp(-dispersion * (reach(links_[k]) - least));
    expected_[static_cast<std::size_t>(links_[begin].to)] = least - std::log(sum) / dispersion;
  }
  std::copy(trips_.begin(), trips_.end(), through_.begin());
  for (auto l = links_.rbegin(); l != links_.rend(); ++l) {
    const auto to = static_cast<std::size_t>(l->to);
    const double share = std::exp(-dispersion * (reach(*l) - expected_[to]));
    flow[static_cast<std::size_t>(l->link)] += share * through_[to];
    through_[static_cast<std::size_t>(l->from)] += share * through_[to];
  }
}

void LogitOptions::describe(state::OptionVisitor& visit) {
  visit.option("memory", memory, "of Anderson's extrapolation; 0 for plain averaging",
               state::Limits{0.0, 50.0});
}

LogitAveraging::LogitAveraging(parallel::Comm comm, std::shared_ptr<const TrafficModel> model,
                               const LogitOptions& options)
    : comm_(std::move(comm)),
      model_(std::move(model)),
      hosts_(model_->hosts(comm_.size())),
      mean_(comm_, hosts_, link_mean(*model_)),
      now_(model_->network.links()),
      anderson_(model_->network.links(), options.memory),
      next_(model_->network.links()),
      loaded_(model_->network.links()) {
  now_.evaluate(model_->network.cost());
  parallel::agree(comm_, [&] {
    const partition::Range hosted = hosts_.range(comm_.rank());
    for (std::int64_t agent = hosted.begin; agent < hosted.end; ++agent) {
      const auto pairs = model_->pairs_of(static_cast<int>(agent));
      auto& origins = agents_.emplace_back();
      for (std::size_t begin = 0, end = 0; begin < pairs.size(); begin = end) {
        while (end < pairs.size() && pairs[end].origin == pairs[begin].origin) ++end;
        origins.emplace_back(model_->network, pairs.subspan(begin, end - begin), now_.cost);
      }
    }
  });
  std::int64_t mine = 0;
  for (const auto& origins : agents_) mine += std::ssize(origins);
  origins_ = comm_.sum(mine);
  sent_.resize(agents_.size() * next_.size());
  load();
  next_ = loaded_;
}

/// loaded_ := y(c(now_)). **Collective.**
void LogitAveraging::load() {
  std::fill(sent_.begin(), sent_.end(), 0.0);
  const auto agents = static_cast<double>(model_->agents.parts());
  for (std::size_t g = 0; g < agents_.size(); ++g) {
    const auto mine = std::span(sent_).subspan(g * loaded_.size(), loaded_.size());
    for (LogitOrigin& origin : agents_[g]) origin.load(now_.cost, model_->options.dispersion, mine);
  }
  mean_(iteration_, sent_, loaded_);
  for (double& value : loaded_) value *= agents;
  loadings_ += comm_.rank() == 0 ? origins_ : 0;
}

void LogitAveraging::step() {
  now_.flow = next_;
  now_.evaluate(model_->network.cost());
  ++iteration_;
  load();
  double total = 0.0, error = 0.0;
  for (std::size_t a = 0; a < next_.size(); ++a) {
    loaded_[a] -= now_.flow[a];
    error += std::abs(loaded_[a]);
    total += now_.flow[a];
  }
  report_.residual = total > 0.0 ? error / total : error;
  report_.fresh = true;
  report_.failed = !std::isfinite(report_.residual);
  if (report_.failed) {
    report_.message = "the cost of the link flows is not finite; check powers and capacities";
    return;
  }
  adapt();
  for (double& change : loaded_) change *= part_;
  anderson_.propose(now_.flow, loaded_, next_);
  double plain = 0.0, moved = 0.0;
  for (std::size_t a = 0; a < next_.size(); ++a) {
    plain += std::abs(loaded_[a]);
    moved += std::abs(next_[a] - now_.flow[a]);
  }
  // Where costs rise steeply the extrapolation is far off; it may then go so far, no farther.
  const double share = std::min(1.0, moved > 0.0 ? longest_move * plain / moved : 1.0);
  for (std::size_t a = 0; a < next_.size(); ++a) {
    const double v = now_.flow[a];
    next_[a] = std::max(share < 1.0 ? v + share * (next_[a] - v) : next_[a], 0.0);
  }
}

/// Shorter steps towards y where the error grows, or does not halve in a while.
void LogitAveraging::adapt() {
  const double error = report_.residual;
  if (!(error > 0.5 * mark_)) {
    mark_ = error;
    since_mark_ = 0;
  }
  if (++since_mark_ <= patience && !(error > 2.0 * mark_)) return;
  part_ = std::max(0.5 * part_, 1.0 / static_cast<double>(iteration_));
  anderson_.clear();
  mark_ = error;
  since_mark_ = 0;
}

std::vector<double> LogitAveraging::link_flow() const {
  std::vector<double> flow(now_.flow.size());
  const std::span<const std::int32_t> file = model_->network.file_link();
  for (std::size_t a = 0; a < flow.size(); ++a)
    flow[static_cast<std::size_t>(file[a])] = now_.flow[a];
  return flow;
}

void LogitAveraging::fields(state::FieldVisitor& visit) {
  visit.scalar("iteration", iteration_);
  visit.scalar("loadings", loadings_);
  visit.scalar("part", part_);
  visit.scalar("mark", mark_);
  visit.scalar("since_mark", since_mark_);
  visit.scalar("residual", report_.residual);
  visit.replicated("link_flow", now_.flow);
  visit.replicated("next_link_flow", next_);
  anderson_.fields(visit, "anderson");
  mean_.fields(visit);
}

void LogitAveraging::solution(state::FieldVisitor& visit) {
  TrafficSolution out;
  out.hosts = hosts_;
  out.part = comm_.rank();
  out.link_flow = link_flow();
  out.path_count.resize(agents_.size());
  out.path_link.resize(agents_.size());
  out.path_flow.resize(agents_.size());
  out.fields(visit);
}

}  // namespace equipoise::problems
