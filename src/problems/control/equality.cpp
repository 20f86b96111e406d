#include "entries_private.hpp"
#include "equality_problems.hpp"

#include <equipoise/control/ada_sketch.hpp>
#include <equipoise/control/space.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/problems/control/nodal.hpp>
#include <equipoise/problems/dataset.hpp>

#include <cmath>
#include <fstream>

namespace equipoise::problems {
namespace {

using linalg::check;

struct GridOptions {
  std::int64_t nodes = 31;
  double weight = 0.1, cubic = 0.0;
  void describe(state::OptionVisitor& visit) {
    visit.option("nodes", nodes, "unknowns per direction", {2.0, 2000.0});
    visit.option("weight", weight, "cost of the control", state::positive);
    visit.option("cubic", cubic, "coefficient of w^3 in the constraint", state::non_negative);
  }
};

struct LogisticOptions {
  std::string data;
  std::string scale = "auto";
  std::int64_t rows = 5, seed = 1, agents = 20;
  void describe(state::OptionVisitor& visit) {
    visit.option("data", data, "LIBSVM file with two labels");
    visit.choice("scale", scale, {"auto", "max-abs", "none"},
                 "divide columns by their largest magnitude (auto: where it exceeds 1)");
    visit.option("rows", rows, "random linear constraints", state::non_negative);
    visit.option("seed", seed, "of the constraints", state::non_negative);
  }
  void describe_run(state::OptionVisitor& visit) {
    visit.option("agents", agents, "shards of the data", state::at_least_one);
  }
};

/// Point and multiplier.
class PairSolution : public state::Stateful {
 public:
  explicit PairSolution(const control::EqualityProblem& problem)
      : problem_(&problem),
        x_(control::make_vector(problem.comm(), problem.variables())),
        lambda_(control::make_vector(problem.comm(), problem.constraints())) {}
  void fields(state::FieldVisitor& visit) override {
    const int part = problem_->comm().rank();
    control::visit_vector(visit, "point", problem_->variables(), part, x_);
    control::visit_vector(visit, "multiplier", problem_->constraints(), part, lambda_);
  }
  /// Takes both out of another solution.
  void take(state::Stateful& source) {
    for (const auto& [name, vector] :
         {std::pair("point", x_.get()), {"multiplier", lambda_.get()}}) {
      const auto values = partitioned_values(source, name);
      linalg::Entries entries(vector);
      if (static_cast<std::int64_t>(values.size()) != entries.size())
        throw CheckpointError("the stored solution has no `{}` of this size", name);
      std::copy(values.begin(), values.end(), entries.span().begin());
    }
  }
  [[nodiscard]] Vec point() const { return x_; }
  [[nodiscard]] Vec multiplier() const { return lambda_; }

 private:
  const control::EqualityProblem* problem_;
  linalg::Vector x_, lambda_;
};

class EqualityInstance : public solve::Instance {
 public:
  EqualityInstance(std::shared_ptr<control::EqualityProblem> problem, std::string fingerprint,
                   std::unique_ptr<linalg::SolverOptions> petsc)
      : problem_(std::move(problem)),
        fingerprint_(std::move(fingerprint)),
        petsc_(std::move(petsc)) {}
  [[nodiscard]] std::string fingerprint() const override { return fingerprint_; }
  [[nodiscard]] solve::Facts facts() const override {
    return {{"variables", std::to_string(problem_->variables().size())},
            {"constraints", std::to_string(problem_->constraints().size())}};
  }
  [[nodiscard]] std::vector<std::string> methods() const override { return {"adasketch"}; }
  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override {
    if (name != "adasketch")
      throw ConfigurationError("this problem is solved by adasketch, not by `{}`", name);
    control::AdaSketchOptions options;
    config.read("method", options);
    return std::make_unique<control::AdaSketch>(problem_, options);
  }
  std::unique_ptr<state::Stateful> solution_storage() override {
    return std::make_unique<PairSolution>(*problem_);
  }
  /// |grad f + G^T lambda| and |c| at the stored pair, relative to the start as the method's
  /// residual; and the difference quotient of L along its own gradient over the slope, at the
  /// start.
  solve::Certificate certify(state::Stateful& solution) override {
    PairSolution stored(*problem_), start(*problem_);
    stored.take(solution);
    problem_->start(start.point(), start.multiplier());
    auto gradient = linalg::like(start.point()), moved = linalg::like(start.point());
    auto c = linalg::like(start.multiplier());
    const auto kkt = [&](const PairSolution& at) {
      problem_->gradient(at.point(), gradient);
      check(
          MatMultTransposeAdd(problem_->jacobian(at.point()), at.multiplier(), gradient, gradient));
      problem_->constraint(at.point(), c);
      return std::pair(std::sqrt(linalg::dot(gradient, gradient)), std::sqrt(linalg::dot(c, c)));
    };
    const auto first = kkt(start);
    double ends[2] = {};
    const double t = 1e-4 / std::max(1.0, first.first);
    for (const int side : {0, 1}) {
      check(VecWAXPY(moved, side == 0 ? -t : t, gradient, start.point()));
      problem_->constraint(moved, c);
      ends[side] = problem_->value(moved) + linalg::dot(c, start.multiplier());
    }
    const double quotient = (ends[1] - ends[0]) / (2.0 * t * first.first * first.first);
    const auto last = kkt(stored);
    const double scale = std::hypot(first.first, first.second);
    const double relative = std::hypot(last.first, last.second) / (scale > 0.0 ? scale : 1.0);
    return {{{"cost", problem_->value(stored.point())},
             {"lagrangian_gradient_norm", last.first},
             {"constraint_norm", last.second},
             {"difference_quotient_over_slope_at_start", quotient},
             {"kkt_residual_relative", relative}},
            relative};
  }
  std::vector<std::string> export_csv(state::Stateful& solution,
                                      const std::string& directory) override {
    PairSolution stored(*problem_);
    stored.take(solution);
    return {write(directory + "/point.csv", stored.point()),
            write(directory + "/multiplier.csv", stored.multiplier())};
  }

 private:
  [[nodiscard]] std::string write(const std::string& path, Vec v) const {
    const parallel::Comm& comm = problem_->comm();
    const linalg::ConstEntries values(v);
    for (int turn = 0; turn < comm.size(); ++turn) {
      parallel::agree(comm, [&] {
        if (comm.rank() != turn) return;
        std::ofstream file(path, turn == 0 ? std::ios::trunc : std::ios::app);
        for (const double value : values.span()) file << fmt::format("{:.17g}\n", value);
        if (!file.flush())
          throw InputError("cannot write `{}`; is there such a directory, with room?", path);
      });
    }
    return path;
  }
  std::shared_ptr<control::EqualityProblem> problem_;
  std::string fingerprint_;
  std::unique_ptr<linalg::SolverOptions> petsc_;
};

std::unique_ptr<solve::Instance> make_instance(
    const parallel::Comm& comm, state::Config& config,
    const std::function<std::pair<std::shared_ptr<control::EqualityProblem>, std::string>()>&
        make) {
  linalg::start_petsc(comm);
  auto petsc = std::make_unique<linalg::SolverOptions>(config.take("petsc"));
  auto [problem, fingerprint] = make();
  return std::make_unique<EqualityInstance>(std::move(problem), std::move(fingerprint),
                                            std::move(petsc));
}

}  // namespace

std::vector<solve::ProblemEntry> equality_entries() {
  return {{"control", "pde-equality",
           "min 1/2 |w - w_true|^2 + weight/2 |z|^2 subject to Lap w - cubic w^3 + z = 0",
           [](state::OptionVisitor& visit) { GridOptions{}.describe(visit); },
           [](const parallel::Comm& comm, state::Config& config) {
             GridOptions o;
             config.read("problem", o);
             return make_instance(comm, config, [&] {
               return std::pair(grid_equality(comm, o.nodes, o.weight, o.cubic),
                                fmt::format("pde-equality nodes={} weight={} cubic={}", o.nodes,
                                            o.weight, o.cubic));
             });
           }},
          {"control", "constrained-logistic",
           "logistic regression on the unit sphere under random linear constraints",
           [](state::OptionVisitor& visit) { LogisticOptions{}.describe(visit); },
           [](const parallel::Comm& comm, state::Config& config) {
             LogisticOptions o;
             config.read("problem", o);
             config.read("run", [&](state::OptionVisitor& visit) { o.describe_run(visit); });
             return make_instance(comm, config, [&] {
               auto loaded = load_dataset(comm, o.data, o.agents, o.scale);
               auto data =
                   std::make_shared<const partition::DistributedDataset>(std::move(loaded.data));
               return std::pair(logistic_equality(comm, data, o.rows, o.seed),
                                fmt::format("constrained-logistic {} rows={} seed={}",
                                            loaded.fingerprint, o.rows, o.seed));
             });
           }}};
}

std::vector<solve::MethodEntry> equality_methods() {
  return {{"control", "adasketch",
           "Newton on the optimality conditions by sketches or Krylov methods, exact augmented "
           "Lagrangian",
           [](state::OptionVisitor& visit) { control::AdaSketchOptions{}.describe(visit); }}};
}

}  // namespace equipoise::problems
