#include <equipoise/parallel/agree.hpp>
#include <equipoise/pareto/dominance.hpp>
#include <equipoise/pareto/dual_solver.hpp>
#include <equipoise/pareto/front_search.hpp>
#include <equipoise/pareto/hypervolume.hpp>
#include <equipoise/problems/pareto/pde_instance.hpp>
#include <equipoise/problems/pareto/rom_solver.hpp>
#include <equipoise/state/field_map.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>

namespace equipoise::problems {
namespace {

using linalg::check;

struct GroupOptions {
  std::int64_t group_ranks = 1;
  void describe(state::OptionVisitor& visit) {
    visit.option("group_ranks", group_ranks, "ranks that compute one point of the front together",
                 state::at_least_one);
  }
};

/// A front of PDE problems wants more digits than a front of small ones.
struct PdeMethodOptions : pareto::FrontOptions {
  PdeMethodOptions() {
    spacing = 0.1;
    solver.tolerance = 1e-12;
  }
};

struct ReducedOptions : PdeMethodOptions {
  double accuracy = RomOptions{}.accuracy;
  std::int64_t max_basis = RomOptions{}.max_basis;
  void describe(state::OptionVisitor& visit) {
    PdeMethodOptions::describe(visit);
    visit.option("accuracy", accuracy,
                 "share of its value by which a weighted sum may exceed the least one",
                 {0.0, 1.0, true});
    visit.option("max_basis", max_basis, "functions of the reduced basis", state::at_least_one);
  }
};

class PdeFrontInstance final : public solve::Instance {
 public:
  PdeFrontInstance(const parallel::Comm& comm, state::Config& config) : comm_(comm) {
    config.read("problem", options_);
    GroupOptions group;
    config.read("problem", group);
    group_ranks_ = group.group_ranks;
    // A stored front is verified and exported on any number of ranks; only methods need the groups.
    groups_ = pareto::Groups::split(
        comm, comm.size() % group_ranks_ == 0 ? group_ranks_ : std::int64_t{comm.size()});
    linalg::start_petsc(comm);
    petsc_ = std::make_unique<linalg::SolverOptions>(config.take("petsc"));
    problem_ = make_pde_objectives(groups_.group, options_);
  }

  [[nodiscard]] std::string fingerprint() const override { return problem_->fingerprint; }
  [[nodiscard]] solve::Facts facts() const override {
    return {{"objectives", std::to_string(problem_->objectives.size())},
            {"unknowns of state and of control", std::to_string(problem_->grid().nodes())},
            {"groups", fmt::format("{} of {} ranks", groups_.count, groups_.group.size())}};
  }
  [[nodiscard]] std::vector<std::string> methods() const override { return {"pde-front"}; }

  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override {
    const bool reduced = name == "reduced-front";
    if (name != "pde-front" && !reduced) {
      throw ConfigurationError("pde-front is solved by pde-front or reduced-front, not by `{}`",
                               name);
    }
    if (groups_.group.size() != group_ranks_) (void)pareto::Groups::split(comm_, group_ranks_);
    ReducedOptions options;
    config.read("stop", [&](state::OptionVisitor& visit) {
      std::string measure = "open_gap";
      visit.choice("measure", measure, {"open_gap"},
                   "largest gap of the front that is still to be filled, objectives scaled");
    });
    config.read("method", [&](state::OptionVisitor& visit) {
      reduced ? options.describe(visit) : options.PdeMethodOptions::describe(visit);
    });
    auto weighted =
        make_pde_solver(problem_, options.solver.tolerance, options.solver.max_iterations);
    // The space changes from point to point: conditions tighter than its error have no meaning.
    pareto::DualSolverOptions dual;
    if (reduced) {
      weighted = rom_solver(problem_, std::move(weighted), {options.accuracy, options.max_basis});
      dual.tolerance = std::min(1e-4, 0.01 * options.accuracy);
      // An excess of a minimum moves the single values by its root.
      dual.uncertainty = std::sqrt(options.accuracy);
    }
    return std::make_unique<pareto::FrontSearch>(
        groups_, std::make_unique<pareto::DualSolver>(std::move(weighted), dual), options);
  }

  std::unique_ptr<state::Stateful> solution_storage() override {
    auto front = std::make_unique<pareto::FieldFront>();
    front->rows = rows();
    front->part = comm_.rank();
    front->names = names();
    return front;
  }

  solve::Certificate certify(state::Stateful& solution) override;
  std::vector<std::string> export_csv(state::Stateful& solution,
                                      const std::string& directory) override;

 private:
  static std::vector<std::string> names() { return {"control", "state", "adjoint"}; }
  /// Rows over all ranks as FrontSearch stores them: with the first group.
  [[nodiscard]] partition::Partition rows() const {
    const auto offsets = problem_->grid().partition().offsets();
    std::vector<std::int64_t> all(offsets.begin(), offsets.end());
    all.resize(static_cast<std::size_t>(comm_.size()) + 1, all.back());
    return partition::Partition::from_offsets(std::move(all));
  }
  struct Check {
    double state = 0.0, stationarity = 0.0, deviation = 0.0;
    std::int64_t kinks = 0, weak = 0;
  };
  [[nodiscard]] Check check_point(const pareto::FieldFront& front, std::size_t point) const;
  [[nodiscard]] pareto::FieldFront read(state::Stateful& solution) const;

  parallel::Comm comm_;
  PdeFrontOptions options_;
  std::int64_t group_ranks_ = 1;
  pareto::Groups groups_;
  std::unique_ptr<linalg::SolverOptions> petsc_;
  std::shared_ptr<const PdeObjectives> problem_;
};

pareto::FieldFront PdeFrontInstance::read(state::Stateful& solution) const {
  state::FieldMap map;
  solution.fields(map);
  const auto copy = [&](const std::string& name) {
    const auto values = map.doubles(name);
    return std::vector<double>(values.begin(), values.end());
  };
  pareto::FieldFront front;
  front.rows = rows();
  front.part = comm_.rank();
  front.points = static_cast<std::int64_t>(map.number("front_point_count"));
  front.objectives = static_cast<std::int64_t>(map.number("front_objective_count"));
  front.f = copy("front_objectives");
  front.weights = copy("front_weights");
  front.residuals = copy("front_criticality");
  for (const auto& name : names()) {
    front.names.push_back(name);
    front.values.push_back(copy("front_" + name));
    // Every group needs the fields that the first one holds.
    auto& values = front.values.back();
    const auto local = static_cast<std::size_t>(problem_->grid().owned().size());
    values.resize(local * static_cast<std::size_t>(front.points));
    groups_.column.broadcast(values, 0);
  }
  if (front.f.size() != static_cast<std::size_t>(front.points * front.objectives) ||
      static_cast<std::size_t>(front.objectives) != problem_->objectives.size()) {
    throw CheckpointError("the stored front of {} points does not fit {}", front.points,
                          fingerprint());
  }
  return front;
}

/// Residuals of the stored (u, y, p) by products with the grid's operators alone: state equation,
/// C-stationarity of the weighted sum (the adjoint equation holds with some zeta in [0, 1] where y
/// = 0, and cost u + p = 0), and objectives against the stored ones.
PdeFrontInstance::Check PdeFrontInstance::check_point(const pareto::FieldFront& front,
                                                      std::size_t point) const {
  const control::Grid& grid = problem_->grid();
  const auto m = static_cast<std::size_t>(front.points);
  const std::size_t k = problem_->objectives.size();
  std::vector<linalg::Vector> field;
  for (const auto& values : front.values) {
    field.push_back(grid.vector());
    linalg::Entries entries(field.back());
    for (std::int64_t i = 0; i < entries.size(); ++i)
      entries[i] = values[static_cast<std::size_t>(i) * m + point];
  }
  Vec u = field[0], y = field[1], p = field[2];
  auto image = grid.vector(), work = grid.vector();
  const std::span<const double> weights(front.weights.data() + point * k, k);
  const auto sum = problem_->weighted(weights);
  double largest = 0.0;
  check(VecNorm(y, NORM_INFINITY, &largest));
  const double guard = 1e-12 * largest;
  Check found;

  grid.apply(y, image, nullptr);
  grid.solve_mass(image, image);
  {
    const linalg::ConstEntries ye(y), ue(u);
    linalg::Entries r(image);
    for (std::int64_t i = 0; i < r.size(); ++i)
      r[i] += problem_->kappa * std::max(0.0, ye[i]) - ue[i];
  }
  // In the dual norm over the first eigenvalue, which bounds the error of the state.
  found.state = grid.norm(image) / std::max(grid.norm(u), 1e-300);

  check(VecWAXPY(work, -1.0, sum.target, y));
  check(VecScale(work, sum.misfit));
  const double scale = std::max(grid.norm(work), 1e-300);
  grid.apply(p, image, nullptr);
  grid.solve_mass(image, image);
  {
    const linalg::ConstEntries ye(y), pe(p), s(work);
    linalg::Entries r(image);
    for (std::int64_t i = 0; i < r.size(); ++i) {
      const double slope = problem_->kappa * pe[i];
      const double term = s[i] - r[i];
      const bool kink = problem_->kappa > 0.0 && std::abs(ye[i]) <= guard;
      const double low = kink ? std::min(slope, 0.0) : ye[i] > 0.0 ? slope : 0.0;
      const double high = kink ? std::max(slope, 0.0) : ye[i] > 0.0 ? slope : 0.0;
      r[i] = term - std::clamp(term, low, high);
      found.kinks += kink ? 1 : 0;
      found.weak += kink && pe[i] > 0.0 ? 1 : 0;
    }
  }
  found.stationarity = grid.norm(image) / scale;
  check(VecCopy(p, work));
  check(VecAXPY(work, sum.cost, u));
  found.stationarity =
      std::max(found.stationarity, grid.norm(work) / std::max(grid.norm(p), 1e-300));
  const auto f = problem_->values(y, u);
  for (std::size_t i = 0; i < k; ++i) {
    const double stored = front.f[point * k + i];
    found.deviation =
        std::max(found.deviation, std::abs(stored - f[i]) / std::max(std::abs(f[i]), 1e-12));
  }
  found.kinks = grid.comm().sum(found.kinks);
  found.weak = grid.comm().sum(found.weak);
  return found;
}

solve::Certificate PdeFrontInstance::certify(state::Stateful& solution) {
  const auto front = read(solution);
  const auto k = static_cast<std::size_t>(front.objectives);
  Check worst;
  double exact = -1.0;
  double critical = 0.0;
  std::int64_t strong = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(front.points); ++i) {
    const Check point = check_point(front, i);
    worst.state = std::max(worst.state, point.state);
    worst.stationarity = std::max(worst.stationarity, point.stationarity);
    worst.deviation = std::max(worst.deviation, point.deviation);
    worst.kinks += point.kinks;
    worst.weak += point.weak;
    strong += point.weak == 0 ? 1 : 0;
    critical = std::max(critical, front.residuals[i]);
    exact = std::max(exact, distance_from_exact_front(options_, {front.f.data() + i * k, k},
                                                      {front.weights.data() + i * k, k}));
  }
  const pareto::PointView points{front.f, k};
  const std::int64_t dominated =
      front.points - static_cast<std::int64_t>(pareto::nondominated(points).size());
  solve::Certificate certificate;
  certificate.measure = worst.deviation;
  certificate.values = {{"points", static_cast<double>(front.points)},
                        {"largest relative error of a stored objective", worst.deviation},
                        {"dominated points", static_cast<double>(dominated)},
                        {"largest state residual, relative to |u|", worst.state},
                        {"largest C-stationarity residual, relative", worst.stationarity},
                        {"largest criticality reported by the solver", critical}};
  if (problem_->kappa > 0.0) {
    certificate.values.emplace_back("nodes at the kink, all points",
                                    static_cast<double>(worst.kinks));
    certificate.values.emplace_back("points strongly stationary", static_cast<double>(strong));
  }
  if (exact >= 0.0) certificate.values.emplace_back("largest distance from the exact front", exact);
  if (options_.objectives == "sine") {
    // Scaled by the nadir of the exact front, reference (1, 1): the limit is 5/6.
    const auto range = pareto::range_of(points);
    const pareto::Range scale{{0.0, 0.0}, range.nadir};
    const std::vector<double> reference{1.0, 1.0};
    certificate.values.emplace_back(
        "hypervolume, scaled by the largest values",
        pareto::hypervolume(pareto::normalized(points, scale), reference));
  }
  return certificate;
}

std::vector<std::string> PdeFrontInstance::export_csv(state::Stateful& solution,
                                                      const std::string& directory) {
  const auto front = read(solution);
  const std::string path = directory + "/front_objectives.csv";
  parallel::agree(comm_, [&] {
    if (comm_.rank() != 0) return;
    std::ofstream out(path);
    const auto k = static_cast<std::size_t>(front.objectives);
    out << "# ";
    for (std::size_t i = 0; i < k; ++i) out << (i > 0 ? "," : "") << "f" << i + 1;
    for (std::size_t i = 0; i < k; ++i) out << ",w" << i + 1;
    out << '\n';
    for (std::size_t p = 0; p < static_cast<std::size_t>(front.points); ++p) {
      for (std::size_t i = 0; i < k; ++i)
        out << fmt::format("{}{:.17g}", i > 0 ? "," : "", front.f[p * k + i]);
      for (std::size_t i = 0; i < k; ++i) out << fmt::format(",{:.17g}", front.weights[p * k + i]);
      out << '\n';
    }
    if (!out.flush())
      throw InputError("{}: cannot be written; is the directory there, and is the disk full?",
                       path);
  });
  return {path};
}

}  // namespace

solve::ProblemEntry pde_front_entry() {
  return {
      "pareto", "pde-front",
      "two or three objectives of a control under -Lap y + kappa max(0, y) = u",
      [](state::OptionVisitor& visit) {
        PdeFrontOptions{}.describe(visit);
        GroupOptions{}.describe(visit);
      },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        return std::make_unique<PdeFrontInstance>(comm, config);
      }};
}

std::vector<solve::MethodEntry> pde_front_methods() {
  return {{"pareto", "pde-front",
           "fronts of PDE problems: every scalarisation through weighted sums, groups of ranks",
           [](state::OptionVisitor& visit) { PdeMethodOptions{}.describe(visit); }},
          {"pareto", "reduced-front",
           "the same in a reduced space that grows where a certified bound asks for it",
           [](state::OptionVisitor& visit) { ReducedOptions{}.describe(visit); }}};
}

}  // namespace equipoise::problems
