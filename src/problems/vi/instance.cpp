#include <equipoise/parallel/agree.hpp>
#include <equipoise/problems/vi/instance.hpp>
#include <equipoise/state/field_map.hpp>
#include <equipoise/vi/methods.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

namespace equipoise::problems {
namespace {

struct AgentOptions {
  std::int64_t agents = 20;
  void describe(state::OptionVisitor& visit) {
    visit.option("agents", agents, "number of agents M; never the rank count", state::at_least_one);
  }
};

struct RunOptions {
  std::int64_t seed = 0;
  std::int64_t chunks = 0;
  std::string reduction = "exact";
  void describe(state::OptionVisitor& visit) {
    visit.option("seed", seed, "seed of every random draw of the method", state::non_negative);
    visit.option("chunks", chunks, "logical chunks of a vector; 0 takes clamp(ceil(d/64), 1, 4096)",
                 state::non_negative);
    visit.choice("reduction", reduction, {"exact", "fast"},
                 "exact: the same bits on any number of ranks; fast: the MPI library's sums");
  }
};

struct MeasureOptions {
  std::string measure = "residual";
  double tolerance = 1e-6;
  void describe(state::OptionVisitor& visit) {
    visit.choice("measure", measure, {"residual", "distance"},
                 "what the tolerance is compared with: the natural residual relative to the start, "
                 "or the squared "
                 "relative distance to the known solution");
    visit.option("tolerance", tolerance, "stop when the measure is at or below this",
                 state::positive);
  }
};

}  // namespace

std::int64_t read_agents(state::Config& config, std::int64_t fallback) {
  AgentOptions options{fallback};
  config.read("run", options);
  return options.agents;
}

/// The solution as it stands in a run file: z, replicated or partitioned as the problem is.
struct VariationalInstance::Solution : state::Stateful {
  const VariationalInstance* instance = nullptr;
  std::vector<double> z;
  void fields(state::FieldVisitor& visit) override {
    if (instance->view_.partitioned()) {
      visit.partitioned("z", instance->view_.layout().coordinates(), instance->comm_.rank(), 1, z);
    } else {
      visit.replicated("z", z);
    }
  }
};

VariationalInstance::VariationalInstance(parallel::Comm comm, state::Config& config,
                                         std::shared_ptr<const void> owner, vi::ProblemView view)
    : comm_(std::move(comm)), owner_(std::move(owner)), view_(view) {
  RunOptions run;
  config.read("run", run);
  MeasureOptions measure;
  config.read("stop", measure);
  setting_ = {comm_,
              static_cast<std::uint64_t>(run.seed),
              run.reduction == "fast",
              run.chunks,
              measure.measure,
              measure.tolerance};
}

std::vector<std::string> VariationalInstance::methods() const {
  std::vector<std::string> names;
  for (const auto& spec : vi::methods()) {
    if (spec.refuse(view_).empty()) names.push_back(spec.name);
  }
  if (view_.symmetric() && view_.partitioned()) {
    std::stable_partition(names.begin(), names.end(),
                          [](const std::string& n) { return n == "accelerated-gradient"; });
  } else if (!view_.partitioned()) {
    // One agent has nobody to compress for.
    const std::string first = view_.agents() == 1 ? "feg" : "auto";
    std::stable_partition(names.begin(), names.end(),
                          [&](const std::string& n) { return n == first; });
  }
  return names;
}

std::unique_ptr<solve::Method> VariationalInstance::make_method(const std::string& name,
                                                                state::Config& config) {
  return vi::make_method(name, setting_, view_, config);
}

std::unique_ptr<state::Stateful> VariationalInstance::solution_storage() {
  auto solution = std::make_unique<Solution>();
  solution->instance = this;
  return solution;
}

partition::Range VariationalInstance::owned() const {
  return view_.partitioned() ? view_.layout().owned(comm_.rank())
                             : partition::Range{0, view_.dimension()};
}

/// F(z) on the owned entries, by the MPI library's plain sums and gathers: no code shared with the
/// methods.
void VariationalInstance::operator_by_plain_sum(const std::vector<double>& z,
                                                std::vector<double>& out) const {
  out.assign(z.size(), 0.0);
  if (view_.partitioned()) {
    std::vector<int> counts;
    std::vector<int> offsets;
    const auto& coordinates = view_.layout().coordinates();
    for (int r = 0; r < comm_.size(); ++r) {
      counts.push_back(static_cast<int>(coordinates.range(r).size()));
      offsets.push_back(static_cast<int>(coordinates.range(r).begin));
    }
    std::vector<double> whole(static_cast<std::size_t>(view_.dimension()));
    MPI_Allgatherv(z.data(), static_cast<int>(z.size()), MPI_DOUBLE, whole.data(), counts.data(),
                   offsets.data(), MPI_DOUBLE, comm_.handle());
    std::vector<double> ghosts;
    for (const std::int64_t i : view_.ghosts(comm_.rank())) {
      ghosts.push_back(whole[static_cast<std::size_t>(i)]);
    }
    parallel::agree(comm_, [&] { view_.apply_partitioned(owned(), z, ghosts, out); });
    return;
  }
  const auto hosted =
      partition::Partition::uniform(view_.agents(), comm_.size()).range(comm_.rank());
  std::vector<double> value(z.size());
  parallel::agree(comm_, [&] {
    for (std::int64_t m = hosted.begin; m < hosted.end; ++m) {
      view_.apply(m, z, value);
      for (std::size_t i = 0; i < z.size(); ++i) out[i] += view_.weight(m) * value[i];
    }
  });
  MPI_Allreduce(MPI_IN_PLACE, out.data(), static_cast<int>(out.size()), MPI_DOUBLE, MPI_SUM,
                comm_.handle());
}

/// norm(z - prox(z - F(z))), natural residual with g = 1.
double VariationalInstance::plain_residual(const std::vector<double>& z) const {
  std::vector<double> value;
  operator_by_plain_sum(z, value);
  std::vector<double> moved(z.size());
  for (std::size_t i = 0; i < z.size(); ++i) moved[i] = z[i] - value[i];
  view_.prox(1.0, owned(), moved);
  double sum = 0.0;
  for (std::size_t i = 0; i < z.size(); ++i) sum += (z[i] - moved[i]) * (z[i] - moved[i]);
  if (view_.partitioned()) {
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, comm_.handle());
  }
  return std::sqrt(sum);
}

solve::Certificate VariationalInstance::certify(state::Stateful& solution) {
  state::FieldMap map;
  solution.fields(map);
  const auto z_span = map.doubles("z");
  const std::vector<double> z(z_span.begin(), z_span.end());
  std::vector<double> first(z.size());
  view_.start(owned(), first);
  const double residual = plain_residual(z);
  const double start = plain_residual(first);
  // As the methods do: a start that solves the problem up to rounding is judged absolutely.
  double square = 0.0;
  for (const double v : first) square += v * v;
  if (view_.partitioned())
    MPI_Allreduce(MPI_IN_PLACE, &square, 1, MPI_DOUBLE, MPI_SUM, comm_.handle());
  const double reference = start > 1e-14 * std::max(1.0, std::sqrt(square)) ? start : 1.0;
  solve::Certificate certificate;
  certificate.values = {{"natural_residual_l2", residual},
                        {"natural_residual_at_start_l2", start},
                        {"natural_residual_relative", residual / reference}};
  certificate.measure = certificate.values.back().second;
  std::vector<double> exact(z.size());
  if (view_.solution(owned(), exact)) {
    std::array<double, 3> sums{};
    for (std::size_t i = 0; i < z.size(); ++i) {
      const double error = z[i] - exact[i];
      sums[0] += error * error;
      sums[1] += exact[i] * exact[i];
      sums[2] = std::max(sums[2], std::fabs(error));
    }
    double largest = sums[2];
    if (view_.partitioned()) {
      MPI_Allreduce(MPI_IN_PLACE, sums.data(), 2, MPI_DOUBLE, MPI_SUM, comm_.handle());
      largest = comm_.max(largest);
    }
    const double relative = sums[1] > 0.0 ? sums[0] / sums[1] : sums[0];
    certificate.values.emplace_back("squared_relative_distance_to_solution", relative);
    certificate.values.emplace_back("largest_error", largest);
    if (setting_.measure == "distance") certificate.measure = relative;
  }
  for (const auto& [key, value] : view_.check(z)) {
    certificate.values.emplace_back(key, std::strtod(value.c_str(), nullptr));
  }
  return certificate;
}

std::vector<std::string> VariationalInstance::export_csv(state::Stateful& solution,
                                                         const std::string& directory) {
  state::FieldMap map;
  solution.fields(map);
  const auto z = map.doubles("z");
  const std::string path = (std::filesystem::path(directory) / "z.csv").string();
  // Ranks append in turn; a replicated z is written by rank 0 alone.
  for (int r = 0; r < (view_.partitioned() ? comm_.size() : 1); ++r) {
    parallel::agree(comm_, [&] {
      if (comm_.rank() != r) return;
      std::FILE* file = std::fopen(path.c_str(), r == 0 ? "w" : "a");
      if (!file) throw CheckpointError("{}: cannot be written", path);
      if (r == 0) fmt::print(file, "index,z\n");
      for (std::size_t i = 0; i < z.size(); ++i) {
        fmt::print(file, "{},{:.17g}\n", owned().begin + static_cast<std::int64_t>(i), z[i]);
      }
      if (std::fclose(file) != 0) throw CheckpointError("{}: the disk is full", path);
    });
  }
  return {path};
}

}  // namespace equipoise::problems
