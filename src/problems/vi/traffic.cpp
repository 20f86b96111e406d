#include <equipoise/parallel/agree.hpp>
#include <equipoise/problems/vi/traffic.hpp>
#include <equipoise/problems/vi/traffic_logit.hpp>
#include <equipoise/problems/vi/traffic_projection.hpp>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace equipoise::problems {
namespace {

struct AgentOptions {
  std::int64_t agents = 0;
  void describe(state::OptionVisitor& visit) {
    visit.option("agents", agents, "number of agents; 0 takes the problem's own",
                 state::non_negative);
  }
};

/// Takes the link flows out of whatever stores a solution.
class LinkFlowOf : public state::FieldVisitor {
 public:
  explicit LinkFlowOf(state::Stateful& solution) { solution.fields(*this); }
  [[nodiscard]] const std::vector<double>& flow() const { return flow_; }

  using Partition = partition::Partition;
  void scalar(std::string_view, double&) override {}
  void scalar(std::string_view, std::int64_t&) override {}
  void replicated(std::string_view name, std::vector<double>& data) override {
    if (name == "link_flow") flow_ = data;
  }
  void replicated(std::string_view, std::vector<std::int64_t>&) override {}
  void partitioned(std::string_view, const Partition&, int, std::int64_t,
                   std::vector<double>&) override {}
  void partitioned(std::string_view, const Partition&, int, std::int64_t,
                   std::vector<std::int64_t>&) override {}
  void ragged(std::string_view, const Partition&, int, std::vector<std::vector<double>>&) override {
  }
  void ragged(std::string_view, const Partition&, int,
              std::vector<std::vector<std::int64_t>>&) override {}

 private:
  std::vector<double> flow_;
};

void write_text(const std::string& path, const std::string& text) {
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) throw InputError("{}: cannot be written ({})", path, std::strerror(errno));
  const bool whole = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (std::fclose(file) != 0 || !whole)
    throw InputError("{}: writing stopped ({})", path, std::strerror(errno));
}

std::string flow_table(const TrafficModel& model, std::span<const double> flow) {
  std::string text = "from,to,volume,cost\n";
  const std::span<const std::int32_t> file = model.network.file_link();
  LinkState state(flow.size());
  std::vector<double> costs(flow.size());
  for (std::size_t a = 0; a < costs.size(); ++a)
    state.flow[a] = flow[static_cast<std::size_t>(file[a])];
  state.evaluate(model.network.cost());
  for (std::size_t a = 0; a < costs.size(); ++a)
    costs[static_cast<std::size_t>(file[a])] = state.cost[a];
  for (std::size_t k = 0; k < model.file.links.size(); ++k) {
    const formats::TntpLink& link = model.file.links[k];
    text += fmt::format("{},{},{},{}\n", link.from, link.to, flow[k], costs[k]);
  }
  return text;
}

std::string demand_table(const TrafficModel& model, std::span<const double> flow) {
  std::string text = "origin,destination,trips\n";
  for (std::size_t w = 0; w < model.pairs.size(); ++w) {
    const OdPair& pair = model.pairs[w];
    text += fmt::format("{},{},{}\n", pair.origin, pair.destination,
                        pair.demand - flow[model.file.links.size() + w]);
  }
  return text;
}

}  // namespace

TrafficInstance::TrafficInstance(parallel::Comm comm, TrafficModel model, std::string measure)
    : comm_(std::move(comm)),
      model_(std::make_shared<const TrafficModel>(std::move(model))),
      measure_(std::move(measure)) {
  if (model_->stochastic()) {
    if (measure_ == "flow_error") return;
    throw ConfigurationError(
        "stop.measure `{}` is unknown here; a stochastic equilibrium has flow_error", measure_);
  }
  if (measure_ != "relative_gap" && measure_ != "average_excess_cost") {
    throw ConfigurationError(
        "stop.measure `{}` is unknown here; traffic has relative_gap and average_excess_cost",
        measure_);
  }
}

solve::Facts TrafficInstance::facts() const {
  const TrafficModel& m = *model_;
  return {{"network", m.options.net},
          {"zones", fmt::format("{}", m.file.zones)},
          {"nodes", fmt::format("{}", m.file.nodes)},
          {"links", fmt::format("{}", m.file.links.size())},
          {"OD pairs", fmt::format("{}", m.pairs.size())},
          {m.elastic() ? "largest demand" : "demand", fmt::format("{:.10g}", m.demand)},
          {"agents", fmt::format("{}", m.agents.parts())}};
}

std::vector<std::string> TrafficInstance::methods() const {
  return {model_->stochastic() ? "logit-averaging" : "path-projection"};
}

std::unique_ptr<solve::Method> TrafficInstance::make_method(const std::string& name,
                                                            state::Config& config) {
  if (name != methods()[0]) {
    throw ConfigurationError(
        "method `{}` does not fit the problem `traffic` {}; use {}", name,
        model_->stochastic() ? "with problem.dispersion" : "without problem.dispersion",
        methods()[0]);
  }
  if (model_->stochastic()) {
    LogitOptions options;
    config.read("method", options);
    return std::make_unique<LogitAveraging>(comm_, model_, options);
  }
  PathProjectionOptions options;
  config.read("method", options);
  return std::make_unique<PathProjection>(comm_, model_, options, measure_);
}

std::unique_ptr<state::Stateful> TrafficInstance::solution_storage() {
  auto storage = std::make_unique<TrafficSolution>();
  storage->hosts = model_->hosts(comm_.size());
  storage->part = comm_.rank();
  const auto hosted = static_cast<std::size_t>(storage->hosts.range(comm_.rank()).size());
  storage->path_count.resize(hosted);
  storage->path_link.resize(hosted);
  storage->path_flow.resize(hosted);
  return storage;
}

solve::Certificate TrafficInstance::certify(state::Stateful& solution) {
  const LinkFlowOf of(solution);
  return model_->stochastic() ? certify_logit(comm_, *model_, of.flow())
                              : certify_traffic(comm_, *model_, of.flow(), measure_);
}

std::vector<std::string> TrafficInstance::export_csv(state::Stateful& solution,
                                                     const std::string& directory) {
  const LinkFlowOf of(solution);
  std::vector<std::string> paths = {directory + "/flow.csv"};
  if (model_->elastic()) paths.push_back(directory + "/demand.csv");
  if (!model_->nodes.empty()) paths.push_back(directory + "/nodes.csv");
  parallel::agree(comm_, [&] {
    if (of.flow().size() != model_->network.links()) {
      throw InputError("a solution with {} link flows for a network of {} links", of.flow().size(),
                       model_->network.links());
    }
    if (comm_.rank() > 0) return;
    write_text(paths[0], flow_table(*model_, of.flow()));
    if (model_->elastic()) write_text(paths[1], demand_table(*model_, of.flow()));
    if (model_->nodes.empty()) return;
    std::string text = "node,x,y\n";
    for (const formats::TntpNode& node : model_->nodes)
      text += fmt::format("{},{},{}\n", node.node, node.x, node.y);
    write_text(paths.back(), text);
  });
  return paths;
}

solve::ProblemEntry traffic_problem() {
  solve::ProblemEntry entry;
  entry.family = "vi";
  entry.name = "traffic";
  entry.help = "user equilibrium of a road network (TNTP files)";
  entry.describe = [](state::OptionVisitor& visit) { TrafficOptions().describe(visit); };
  entry.make = [](const parallel::Comm& comm,
                  state::Config& config) -> std::unique_ptr<solve::Instance> {
    TrafficOptions options;
    AgentOptions run;
    config.read("problem", options);
    config.read("run", run);
    std::string measure =
        config.text("stop.measure", options.dispersion > 0.0 ? "flow_error" : "relative_gap");
    auto model = parallel::agree(comm, [&] { return TrafficModel::read(options, run.agents); });
    return std::make_unique<TrafficInstance>(comm, std::move(model), std::move(measure));
  };
  return entry;
}

solve::MethodEntry path_projection_method() {
  return {"vi", "path-projection",
          "traffic equilibria by gradient projection on path flows, with shortest paths found as "
          "needed",
          [](state::OptionVisitor& visit) { PathProjectionOptions().describe(visit); }};
}

solve::MethodEntry logit_averaging_method() {
  return {"vi", "logit-averaging",
          "stochastic traffic equilibria: logit loadings, averaged and extrapolated",
          [](state::OptionVisitor& visit) { LogitOptions().describe(visit); }};
}

}  // namespace equipoise::problems
