#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/continuation.hpp>
#include <equipoise/pareto/descent.hpp>
#include <equipoise/pareto/dual_solver.hpp>
#include <equipoise/pareto/front_search.hpp>
#include <equipoise/pareto/islands.hpp>
#include <equipoise/pareto/subdivision.hpp>
#include <equipoise/problems/pareto/dtlz.hpp>
#include <equipoise/problems/pareto/entries.hpp>
#include <equipoise/problems/pareto/external.hpp>
#include <equipoise/problems/pareto/front_instance.hpp>
#include <equipoise/problems/pareto/lasso_path.hpp>
#include <equipoise/problems/pareto/multitask.hpp>
#include <equipoise/problems/pareto/nonsmooth.hpp>
#include <equipoise/problems/pareto/obstacle_pair.hpp>
#include <equipoise/problems/pareto/pde_instance.hpp>
#include <equipoise/problems/pareto/predictive.hpp>
#include <equipoise/problems/pareto/re.hpp>
#include <equipoise/problems/pareto/regularisation.hpp>
#include <equipoise/problems/pareto/smooth.hpp>
#include <equipoise/problems/pareto/switching.hpp>
#include <equipoise/problems/pareto/uf.hpp>
#include <equipoise/problems/pareto/wfg.hpp>
#include <equipoise/problems/pareto/zdt.hpp>

#include <algorithm>
#include <functional>

namespace equipoise::problems {
namespace {

struct RunOptions {
  std::int64_t seed = 1;
  void describe(state::OptionVisitor& visit) {
    visit.option("seed", seed, "seed of all random numbers", state::non_negative);
  }
};

/// An entry whose options struct `Options` has describe(visit) and make(), the problem.
template <class Options>
solve::ProblemEntry entry(const std::string& name, const std::string& help) {
  return {
      "pareto", name, help, [](state::OptionVisitor& visit) { Options{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        Options options;
        RunOptions run;
        config.read("problem", options);
        config.read("run", run);
        return std::make_unique<FrontInstance>(comm, options.make(), run.seed);
      }};
}

/// Problems that are read from a file by all ranks together.
solve::ProblemEntry multitask_entry() {
  return {
      "pareto", "multitask", "logistic losses of two groups of the rows of a LIBSVM file",
      [](state::OptionVisitor& visit) { MultitaskOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        MultitaskOptions options;
        RunOptions run;
        config.read("problem", options);
        config.read("run", run);
        return std::make_unique<FrontInstance>(comm, make_multitask(comm, options), run.seed);
      }};
}

solve::ProblemEntry regularisation_entry() {
  return {
      "pareto", "regularisation-path", "least squares against |x|_1: the lasso path as a front",
      [](state::OptionVisitor& visit) { RegularisationOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        RegularisationOptions options;
        RunOptions run;
        config.read("problem", options);
        config.read("run", run);
        auto problem =
            std::make_shared<const RegularisationPath>(make_regularisation_path(comm, options));
        auto instance = std::make_unique<FrontInstance>(comm, problem, run.seed, [problem] {
          return std::make_unique<pareto::DualSolver>(lasso_solver(*problem));
        });
        instance->add({"homotopy", "relative_lambda", "lambda over the least one with x = 0",
                       [problem](state::Config& own) -> std::unique_ptr<solve::Method> {
                         LassoPathOptions path;
                         own.read("method", path);
                         return std::make_unique<LassoPath>(*problem, path);
                       }});
        return instance;
      }};
}

struct ZdtOptions {
  Zdt problem;
  void describe(state::OptionVisitor& visit) {
    visit.option("number", problem.number, "1, 2, 3, 4 or 6", {1.0, 6.0});
    visit.option("variables", problem.variables, "number of variables, 0: the standard one",
                 state::non_negative);
  }
  [[nodiscard]] Zdt make() const {
    if (problem.number == 5)
      throw ConfigurationError("ZDT5 (bit strings) is not there: 1, 2, 3, 4 or 6");
    if (problem.variables == 1)
      throw ConfigurationError("problem.variables = 1: ZDT needs at least 2");
    return problem;
  }
};

struct DtlzOptions {
  Dtlz problem;
  void describe(state::OptionVisitor& visit) {
    visit.option("number", problem.number, "1 to 7", {1.0, 7.0});
    visit.option("objectives", problem.objective_count, "number of objectives", {1.0, 20.0});
    visit.option("variables", problem.variables, "number of variables, 0: the standard one",
                 state::non_negative);
  }
  [[nodiscard]] Dtlz make() const {
    pareto::require_valid(problem, true);
    if (problem.dimension() < problem.objective_count) {
      throw ConfigurationError("problem.variables = {}: DTLZ with {} objectives needs at least {}",
                               problem.variables, problem.objective_count, problem.objective_count);
    }
    return problem;
  }
};

struct WfgOptions {
  Wfg problem;
  void describe(state::OptionVisitor& visit) {
    visit.option("number", problem.number, "1 to 9", {1.0, 9.0});
    visit.option("objectives", problem.objective_count, "number of objectives", {1.0, 20.0});
    visit.option("distance", problem.distance, "number of distance parameters, even", {2.0});
  }
  [[nodiscard]] Wfg make() const {
    pareto::require_valid(problem, true);
    if (problem.distance % 2 != 0) {
      throw ConfigurationError("problem.distance = {}: WFG needs an even number", problem.distance);
    }
    return problem;
  }
};

struct UfOptions {
  Uf problem;
  void describe(state::OptionVisitor& visit) {
    visit.option("number", problem.number, "1 to 10", {1.0, 10.0});
    visit.option("variables", problem.variables, "number of variables", {5.0});
  }
  [[nodiscard]] Uf make() const { return problem; }
};

struct ReOptions {
  Re problem;
  void describe(state::OptionVisitor& visit) {
    visit.option("number", problem.number, "21, 24, 31, 33 or 37", {21.0, 37.0});
  }
  [[nodiscard]] Re make() const {
    for (const std::int64_t known : {21, 24, 31, 33, 37}) {
      if (problem.number == known) return problem;
    }
    throw ConfigurationError("problem.number = {}: there are RE21, RE24, RE31, RE33 and RE37",
                             problem.number);
  }
};

struct DistancesOptions {
  Distances problem;
  std::int64_t variables = 0;
  void describe(state::OptionVisitor& visit) {
    visit.option("variables", variables, "number of variables, 0: 3, or as many as objectives",
                 state::non_negative);
    visit.option("objectives", problem.objective_count, "number of objectives", {1.0, 12.0});
    visit.option("mass", problem.mass, "weight h of the inner product", state::positive);
  }
  [[nodiscard]] Distances make() const {
    Distances made = problem;
    made.variables = variables == 0 ? std::max<std::int64_t>(3, made.objective_count) : variables;
    if (made.variables < made.objective_count) {
      throw ConfigurationError("problem.variables = {}: {} unit vectors need as many variables",
                               variables, made.objective_count);
    }
    return made;
  }
};

struct FonsecaOptions {
  Fonseca problem;
  void describe(state::OptionVisitor& visit) {
    visit.option("variables", problem.variables, "number of variables", state::at_least_one);
  }
  [[nodiscard]] Fonseca make() const { return problem; }
};

struct PairOptions {
  NonsmoothPair problem;
  void describe(state::OptionVisitor& visit) {
    const std::vector<std::string> names{"CB3", "DEM", "QL", "LQ", "Mifflin1"};
    visit.choice("first", problem.first, names, "first objective");
    visit.choice("second", problem.second, names, "second objective");
  }
  [[nodiscard]] NonsmoothPair make() const { return problem; }
};

struct PredictiveOptions {
  DoubleIntegrator plant;
  void describe(state::OptionVisitor& visit) {
    visit.option("position", plant.state[0], "position now");
    visit.option("speed", plant.state[1], "speed now");
    visit.option("steps", plant.steps, "controls of the horizon", state::at_least_one);
    visit.option("time_step", plant.dt, "time for which a control is held", state::positive);
    visit.option("limit", plant.limit, "largest control, up and down", state::positive);
  }
  [[nodiscard]] DoubleIntegrator make() const { return plant; }
};

struct ExternalOptions {
  ExternalProgram problem;
  void describe(state::OptionVisitor& visit) {
    visit.option("command", problem.command,
                 "started as `command INPUT OUTPUT` for each candidate");
    visit.option("objectives", problem.objective_count, "numbers it writes first", {1.0, 20.0});
    visit.option("constraints", problem.constraint_count, "numbers c <= 0 it writes then",
                 state::non_negative);
    visit.option("lower", problem.lower_bounds, "lower bounds, one per variable");
    visit.option("upper", problem.upper_bounds, "upper bounds, one per variable");
    visit.option("integers", problem.integers,
                 "1 for variables that take whole numbers, else 0; empty: none");
    visit.option("timeout", problem.timeout, "seconds after which it is ended", state::positive);
    visit.option("directory", problem.directory,
                 "where it gets a fresh directory for each candidate");
  }
  [[nodiscard]] ExternalProgram make() const {
    if (problem.command.empty())
      throw ConfigurationError("problem.command is missing: the program to start");
    const std::size_t n = problem.lower_bounds.size();
    if (n == 0 || problem.upper_bounds.size() != n ||
        (!problem.integers.empty() && problem.integers.size() != n)) {
      throw ConfigurationError(
          "problem.lower has {} entries, problem.upper {}, problem.integers {}: one per variable "
          "is needed",
          n, problem.upper_bounds.size(), problem.integers.size());
    }
    return problem;
  }
};

solve::MethodEntry population_method(const std::string& name, const std::string& help) {
  return {"pareto", name, help, [](state::OptionVisitor& visit) {
            pareto::AlgorithmOptions{}.describe(visit);
            pareto::IslandOptions{}.describe(visit);
          }};
}

solve::MethodEntry descent_method(const std::string& name, const std::string& help) {
  return {"pareto", name, help,
          [](state::OptionVisitor& visit) { pareto::DescentOptions{}.describe(visit); }};
}

}  // namespace

std::vector<solve::ProblemEntry> pareto_problems() {
  return {entry<ZdtOptions>("zdt", "ZDT1, 2, 3, 4, 6: two objectives, exact fronts known"),
          entry<DtlzOptions>("dtlz", "DTLZ1 to 7: any number of objectives"),
          entry<WfgOptions>(
              "wfg", "WFG1 to 9: any number of objectives, biased, deceptive, dependent variables"),
          entry<UfOptions>("uf", "UF1 to 10 (CEC 2009): curved Pareto sets"),
          entry<ReOptions>("re", "RE21, 24, 31, 33, 37: engineering design problems"),
          entry<DistancesOptions>(
              "distances", "squared distances to unit vectors: the Pareto set is their simplex"),
          entry<FonsecaOptions>("fonseca", "Fonseca-Fleming: a concave front"),
          entry<PairOptions>("nonsmooth-pair", "two non-smooth convex functions of two variables"),
          entry<ExternalOptions>("external",
                                 "objectives computed by a program of yours, through files"),
          entry<ObstaclePairOptions>("obstacle-pair",
                                     "control of an obstacle problem with two opposite targets"),
          entry<SwitchingOptions>("switching",
                                  "switching times of a double integrator: aim against effort"),
          entry<PredictiveOptions>("predictive",
                                   "one step of a predictive controller: tracking against effort"),
          multitask_entry(),
          regularisation_entry(),
          pde_front_entry()};
}

std::vector<solve::MethodEntry> pareto_methods() {
  std::vector<solve::MethodEntry> methods{
      population_method("hypervolume",
                        "islands: selection by hypervolume contribution, adaptive variation"),
      population_method("nsga2", "islands: NSGA-II, crowding distance"),
      population_method("nsga3", "islands: NSGA-III, reference directions, for many objectives"),
      population_method("moead", "islands: MOEA/D, decomposition with differential evolution"),
      population_method("cbo", "islands: consensus-based optimization, a weight per particle"),
      {"pareto", "front", "even fronts by scalarisation, warm starts, gaps halved",
       [](state::OptionVisitor& visit) { pareto::FrontOptions{}.describe(visit); }},
      {"pareto", "continuation",
       "predictor and corrector along the critical set, from the ends of the front",
       [](state::OptionVisitor& visit) { pareto::ContinuationOptions{}.describe(visit); }},
      {"pareto", "subdivision", "boxes around the Pareto set, few variables",
       [](state::OptionVisitor& visit) { pareto::SubdivisionOptions{}.describe(visit); }},
      {"pareto", "homotopy", "regularisation-path: the whole path, from kink to kink",
       [](state::OptionVisitor& visit) { LassoPathOptions{}.describe(visit); }},
      descent_method("mgda", "steepest common descent from many starts"),
      descent_method("newton", "Newton steps on all objectives from many starts"),
      descent_method("gebken-peitz", "common descent for non-smooth objectives from many starts")};
  for (auto& method : pde_front_methods()) methods.push_back(std::move(method));
  return methods;
}

}  // namespace equipoise::problems
