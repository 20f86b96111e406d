#include "copy_fields.hpp"

#include <equipoise/formats/mps.hpp>
#include <equipoise/problems/vi/linear_program.hpp>
#include <equipoise/solve/run.hpp>
#include <equipoise/state/config.hpp>
#include <equipoise/state/field_map.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace equipoise::problems {
namespace {

std::string lp_folder() {
  const char* const given = std::getenv("EQUIPOISE_DATA");
  return std::string(given ? given : EQUIPOISE_SOURCE_DIR "/../shared/data") + "/lp";
}

/// What the command gets of a method: its solution under the fields' names.
struct Stored : state::Stateful {
  explicit Stored(solve::Method& m) : method(m) {}
  void fields(state::FieldVisitor& visit) override { method.solution(visit); }
  solve::Method& method;
};

struct Result {
  solve::Summary summary;
  solve::Certificate certificate;
  std::vector<double> x;  ///< the owned part
  std::int64_t status = 0;
};

solve::Summary drive(const parallel::Comm& comm, solve::Method& method, double tolerance,
                     std::int64_t iterations) {
  solve::StopOptions stop;
  stop.tolerance = tolerance;
  stop.max_iterations = iterations;
  return solve::run(comm, method, stop, {}, {}, {true, {}});
}

Result solve_instance(const parallel::Comm& comm, LinearProgramInstance& instance,
                      const std::vector<std::string>& settings) {
  state::Config config;
  for (const auto& s : settings) config.assign(s);
  const auto method = instance.make_method("halpern-pdhg", config);
  Result result;
  result.summary = drive(comm, *method, 1e-8, 100000);
  Stored stored(*method);
  result.certificate = instance.certify(stored);
  state::FieldMap map;
  stored.fields(map);
  const auto x = map.doubles("x");
  result.x.assign(x.begin(), x.end());
  result.status = map.integers("status")[0];
  return result;
}

Result solve_file(const parallel::Comm& comm, const std::string& path,
                  const std::vector<std::string>& settings = {}) {
  LinearProgramOptions options;
  options.mps = path;
  LinearProgramInstance instance(comm, DistributedProgram::read(comm, options));
  return solve_instance(comm, instance, settings);
}

double figure(const solve::Certificate& certificate, const std::string& name) {
  for (const auto& [key, value] : certificate.values) {
    if (key == name) return value;
  }
  ADD_FAILURE() << "no figure " << name;
  return std::nan("");
}

/// A file that rank 0 writes and that is there for every rank.
class ProgramFile {
 public:
  ProgramFile(const parallel::Comm& comm, const std::string& name, const std::string& text)
      : comm_(comm), path_((std::filesystem::temp_directory_path() / name).string()) {
    std::int64_t id = comm.rank() == 0 ? static_cast<std::int64_t>(getpid()) : 0;
    comm.broadcast(std::span<std::int64_t>(&id, 1));
    path_ += "-" + std::to_string(id);
    if (comm.rank() == 0) std::ofstream(path_) << text;
    comm.barrier();
  }
  ~ProgramFile() {
    if (comm_.rank() == 0) std::filesystem::remove(path_);
  }
  ProgramFile(const ProgramFile&) = delete;
  ProgramFile& operator=(const ProgramFile&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  parallel::Comm comm_;
  std::string path_;
};

class LinearProgramTest : public testing::Test {
 protected:
  parallel::Comm comm_ = parallel::Comm::duplicate(MPI_COMM_WORLD);
  void TearDown() override { comm_.close(); }
};

// max 3a + 2b with a + b <= 4, a + 3b <= 6, a <= 3: the corner (3, 1), value 11, duals 2 and 0.
constexpr const char* corner =
    "NAME CORNER\nOBJSENSE MAX\nROWS\n N OBJ\n L ONE\n L TWO\nCOLUMNS\n A OBJ 3 ONE 1\n A TWO 1\n"
    " B OBJ 2 ONE 1\n B TWO 3\nRHS\n R ONE 4 TWO 6\nBOUNDS\n UP BND A 3\nENDATA\n";

TEST_F(LinearProgramTest, CornerWithAndWithoutPolish) {
  const ProgramFile file(comm_, "equipoise-corner", corner);
  for (const char* polish : {"method.polish=auto", "method.polish=off"}) {
    const Result r = solve_file(comm_, file.path(), {polish});
    EXPECT_EQ(r.summary.stop, solve::Stop::converged) << polish;
    EXPECT_NEAR(r.summary.objective, 11.0, 1e-6);
    EXPECT_NEAR(figure(r.certificate, "primal_objective"), 11.0, 1e-6);
    EXPECT_NEAR(figure(r.certificate, "dual_objective"), 11.0, 1e-6);
    EXPECT_LE(r.certificate.measure, 1.01e-8);
  }
}

TEST_F(LinearProgramTest, QuadraticProgramOfHockAndSchittkowski35) {
  // 1/9 at (4/3, 7/9, 4/9), published.
  const ProgramFile file(
      comm_, "equipoise-hs35",
      "NAME HS35\nROWS\n N OBJ\n L R\nCOLUMNS\n X OBJ -8 R 1\n Y OBJ -6 R 1\n Z OBJ -4 R 2\nRHS\n"
      " B OBJ -9 R 3\nQUADOBJ\n X X 4\n X Y 2\n X Z 2\n Y Y 4\n Z Z 2\nENDATA\n");
  for (const char* polish : {"method.polish=auto", "method.polish=off"}) {
    const Result r = solve_file(comm_, file.path(), {polish});
    EXPECT_EQ(r.summary.stop, solve::Stop::converged) << polish;
    EXPECT_NEAR(r.summary.objective, 1.0 / 9.0, 1e-7) << polish;
  }
}

TEST_F(LinearProgramTest, InfeasibleAndUnboundedProgramsAreProved) {
  const ProgramFile nothing(
      comm_, "equipoise-infeasible",
      "NAME I\nROWS\n N C\n G LOW\n L HIGH\nCOLUMNS\n X LOW 1 HIGH 1\n Y LOW 1\n"
      " Y HIGH 1 C 1\nRHS\n B LOW 3 HIGH 2\nENDATA\n");
  const ProgramFile without_end(comm_, "equipoise-unbounded",
                                "NAME U\nROWS\n N C\n L R\nCOLUMNS\n X C -1 R 1\n Y R -1\nRHS\n"
                                " B R 2\nENDATA\n");
  for (const char* polish : {"method.polish=auto", "method.polish=off"}) {
    const Result infeasible = solve_file(comm_, nothing.path(), {polish});
    EXPECT_EQ(infeasible.status, 1) << polish;
    EXPECT_EQ(infeasible.summary.stop, solve::Stop::converged);
    EXPECT_NE(infeasible.summary.message.find("infeasible"), std::string::npos);
    EXPECT_GT(figure(infeasible.certificate, "infeasibility_margin"), 0.9);
    EXPECT_LE(figure(infeasible.certificate, "infeasibility_not_carried"), 1e-8);
    const Result unbounded = solve_file(comm_, without_end.path(), {polish});
    EXPECT_EQ(unbounded.status, 2) << polish;
    EXPECT_LT(figure(unbounded.certificate, "unbounded_slope"), -0.9);
    EXPECT_LE(figure(unbounded.certificate, "unbounded_leaves_rows_or_bounds"), 1e-8);
  }
}

TEST_F(LinearProgramTest, NetlibReachesTheReferences) {
  if (!std::filesystem::exists(lp_folder())) GTEST_SKIP() << "no shared data: " << lp_folder();
  // Values of the netlib readme and of Clp (data README); e226 with its constant.
  const std::vector<std::pair<std::string, double>> optima = {
      {"afiro", -464.75314286},  {"blend", -30.812149846}, {"kb2", -1749.9001299},
      {"adlittle", 225494.9632}, {"e226", -11.63892907},   {"boeing2", -315.0187280}};
  for (const auto& [name, optimum] : optima) {
    const Result r = solve_file(comm_, lp_folder() + "/netlib/" + name + ".mps.gz");
    EXPECT_EQ(r.summary.stop, solve::Stop::converged) << name;
    EXPECT_NEAR(r.summary.objective, optimum, 1e-7 * std::abs(optimum)) << name;
    EXPECT_LE(r.certificate.measure, 1.01e-8) << name;
  }
}

TEST_F(LinearProgramTest, FirstOrderStepsAloneReachTheReferences) {
  if (!std::filesystem::exists(lp_folder())) GTEST_SKIP() << "no shared data: " << lp_folder();
  const Result r = solve_file(comm_, lp_folder() + "/netlib/sc50a.mps.gz", {"method.polish=off"});
  EXPECT_EQ(r.summary.stop, solve::Stop::converged);
  EXPECT_NEAR(r.summary.objective, -64.575077059, 1e-6);
  EXPECT_LT(r.summary.iterations, 2000);  // the prototype of the specification takes 1487
}

TEST_F(LinearProgramTest, InfeasibleModelsOfHighsAreProved) {
  if (!std::filesystem::exists(lp_folder())) GTEST_SKIP() << "no shared data: " << lp_folder();
  for (const std::string name : {"galenet", "box1", "ex72a", "bgetam"}) {
    const Result r = solve_file(comm_, lp_folder() + "/infeasible/" + name + ".mps");
    EXPECT_EQ(r.status, 1) << name;
    EXPECT_GT(figure(r.certificate, "infeasibility_margin"), 1e-6) << name;
    EXPECT_LE(figure(r.certificate, "infeasibility_not_carried"), 1e-8) << name;
  }
}

TEST_F(LinearProgramTest, TheBitsDoNotDependOnTheNumberOfRanks) {
  if (!std::filesystem::exists(lp_folder())) GTEST_SKIP() << "no shared data: " << lp_folder();
  const std::string path = lp_folder() + "/netlib/e226.mps.gz";
  const Result together = solve_file(comm_, path);
  const Result alone = solve_file(parallel::Comm(), path);
  EXPECT_EQ(together.summary.iterations, alone.summary.iterations);
  const auto mine = partition::Layout::uniform(282, partition::default_chunks(282), comm_.size())
                        .owned(comm_.rank());
  for (std::int64_t j = mine.begin; j < mine.end; ++j) {
    EXPECT_EQ(together.x[static_cast<std::size_t>(j - mine.begin)],
              alone.x[static_cast<std::size_t>(j)]);
  }
}

Result solve_made(const parallel::Comm& comm, const LinearProgramOptions& options,
                  const std::vector<std::string>& settings = {}) {
  LinearProgramInstance instance(comm, DistributedProgram::read(comm, options));
  return solve_instance(comm, instance, settings);
}

TEST_F(LinearProgramTest, ARandomProgramHasItsKnownOptimum) {
  LinearProgramOptions options;
  options.generate = "random";
  options.rows = 60;
  options.columns = 150;
  for (const std::int64_t seed : {0, 1, 2}) {
    options.seed = seed;
    const Result r = solve_made(comm_, options);
    EXPECT_EQ(r.summary.stop, solve::Stop::converged);
    EXPECT_LE(figure(r.certificate, "objective_error_relative"), 1e-7) << seed;
    EXPECT_LE(r.certificate.measure, 1.01e-8);
  }
  const Result steps = solve_made(comm_, options, {"method.polish=off"});
  EXPECT_LE(figure(steps.certificate, "objective_error_relative"), 1e-7);
}

TEST_F(LinearProgramTest, TransportMeetsADualBoundWithTheSameBitsOnAnyRanks) {
  LinearProgramOptions options;
  options.generate = "transport";
  options.rows = 12;
  options.columns = 30;
  const Result together = solve_made(comm_, options, {"method.polish=off"});
  EXPECT_EQ(together.summary.stop, solve::Stop::converged);
  EXPECT_LE(together.certificate.measure, 1.01e-8);
  const Result alone = solve_made(parallel::Comm(), options, {"method.polish=off"});
  EXPECT_EQ(together.summary.objective, alone.summary.objective);
  const double both = figure(together.certificate, "dual_objective");
  EXPECT_NEAR(together.summary.objective, both, 1e-7);
  EXPECT_GT(both, 0.0);
}

// Feasible to 1e-8 at a small gap, for fewer products than all of the measure at 1e-8.
TEST_F(LinearProgramTest, FeasibilityPolishingEndsFeasibleWithASmallGap) {
  const auto products = [](const Result& r) {
    for (const auto& [name, count] : r.summary.counters) {
      if (name == "matrix_product") return count;
    }
    return std::int64_t{-1};
  };
  const auto compare = [&](const LinearProgramOptions& options, const std::string& gap) {
    const Result plain = solve_made(comm_, options, {"method.polish=off"});
    const Result polished = solve_made(
        comm_, options,
        {"method.polish=off", "method.feasibility_polishing=true", "method.gap_tolerance=" + gap});
    EXPECT_EQ(polished.summary.stop, solve::Stop::converged);
    EXPECT_LE(figure(polished.certificate, "primal_residual_relative"), 1.01e-8);
    EXPECT_LE(figure(polished.certificate, "dual_residual_relative"), 1.01e-8);
    const double most = 1.01 * std::stod(gap);
    EXPECT_LE(figure(polished.certificate, "gap_relative"), most);
    EXPECT_LE(figure(polished.certificate, "complementarity_relative"), most);
    EXPECT_LT(products(polished), products(plain));
    const double optimum = plain.summary.objective;
    EXPECT_NEAR(polished.summary.objective, optimum, most * (1.0 + std::abs(optimum)));
  };
  LinearProgramOptions options;
  options.generate = "transport";
  options.rows = 20;
  options.columns = 40;
  for (options.seed = 0; options.seed < 3; ++options.seed) compare(options, "1e-2");
  if (!std::filesystem::exists(lp_folder())) GTEST_SKIP() << "no shared data: " << lp_folder();
  options.generate = "none";
  for (const auto* name : {"adlittle", "israel"}) {
    options.mps = lp_folder() + "/netlib/" + name + ".mps.gz";
    compare(options, "1e-3");
  }
}

// The whole has too many coefficients for the polish; what the pair leaves open has not.
TEST_F(LinearProgramTest, ThePartThatIsOpenFinishesTheWhole) {
  LinearProgramOptions options;
  options.generate = "transport";
  options.rows = 20;
  options.columns = 100;
  const std::string limit = "method.polish_nonzeros=2000";
  const Result together = solve_made(comm_, options, {limit});
  EXPECT_EQ(together.summary.stop, solve::Stop::converged);
  EXPECT_LE(together.certificate.measure, 1.01e-8);
  const Result alone = solve_made(parallel::Comm(), options, {limit});
  EXPECT_EQ(together.summary.objective, alone.summary.objective);
  const Result steps = solve_made(comm_, options, {"method.polish=off"});
  EXPECT_LT(together.summary.iterations, steps.summary.iterations);
  EXPECT_NEAR(together.summary.objective, steps.summary.objective, 1e-6);

  options.generate = "random";
  options.rows = 60;
  options.columns = 2000;
  for (const std::int64_t seed : {0, 1}) {
    options.seed = seed;
    const Result r = solve_made(comm_, options, {"method.polish_nonzeros=5000"});
    EXPECT_EQ(r.summary.stop, solve::Stop::converged) << seed;
    EXPECT_LE(figure(r.certificate, "objective_error_relative"), 1e-7) << seed;
  }
}

TEST_F(LinearProgramTest, TripsUnderCapacitiesTakeTheOtherRoad) {
  // 10 trips from 1 to 2: the direct link carries 6 in 1 minute, the detour over 3 the rest in 2.
  const ProgramFile net(comm_, "equipoise-net",
                        "<NUMBER OF ZONES> 2\n<NUMBER OF NODES> 3\n<FIRST THRU NODE> 3\n"
                        "<NUMBER OF LINKS> 3\n<END OF METADATA>\n"
                        "1 2 6 1 1 0 0 0 0 1 ;\n1 3 20 1 1 0 0 0 0 1 ;\n3 2 20 1 1 0 0 0 0 1 ;\n");
  const ProgramFile trips(comm_, "equipoise-trips",
                          "<NUMBER OF ZONES> 2\n<TOTAL OD FLOW> 10\n<END OF METADATA>\n"
                          "Origin 1\n 2 : 10.0;\n");
  LinearProgramOptions options;
  options.generate = "multicommodity";
  options.net = net.path();
  options.trips = trips.path();
  const Result r = solve_made(comm_, options);
  EXPECT_EQ(r.summary.stop, solve::Stop::converged);
  EXPECT_NEAR(r.summary.objective, 6.0 + 4.0 * 2.0, 1e-6);
}

TEST_F(LinearProgramTest, AResumedMethodContinuesBitByBit) {
  if (!std::filesystem::exists(lp_folder())) GTEST_SKIP() << "no shared data: " << lp_folder();
  LinearProgramOptions options;
  options.mps = lp_folder() + "/netlib/kb2.mps.gz";
  LinearProgramInstance instance(comm_, DistributedProgram::read(comm_, options));
  const auto make = [&] {
    state::Config config;
    config.assign("method.polish=off");
    return instance.make_method("halpern-pdhg", config);
  };
  const auto through = make(), second = make();
  for (int k = 0; k < 300; ++k) through->step();
  expect_same_continuation(*through, *second, 300);
}

}  // namespace
}  // namespace equipoise::problems
