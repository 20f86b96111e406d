// One reduced functional, three packages: our methods, PETSc TAO and Trilinos ROL, until the same
// external criterion holds.
// Run: mpirun -n 1 control_peers [quadratic|bounds|inversion] [cells] [beta]
#include "contest.hpp"

#include <equipoise/control/all_at_once.hpp>
#include <equipoise/control/coefficient.hpp>
#include <equipoise/control/newton_cg.hpp>
#include <equipoise/control/reduced_cg.hpp>
#include <equipoise/control/reduced_newton.hpp>

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

namespace equipoise::peers {
namespace {

using linalg::check;

double corner(const control::Point& x) {
  if (x[0] > 0.5 || x[1] > 0.5) return 0.0;
  return std::pow((2 * x[0] - 1) * (2 * x[1] - 1), 2);
}

std::shared_ptr<control::Tracking> tracking(const parallel::Comm& comm, std::int64_t cells,
                                            control::Element element, double beta) {
  auto problem = std::make_shared<control::Tracking>();
  problem->hierarchy = std::make_shared<control::Hierarchy>(
      comm, control::GridShape{.cells = cells, .element = element});
  problem->beta = beta;
  problem->target = problem->grid().interpolate(corner);
  problem->source = problem->grid().vector();
  return problem;
}

control::Primal zero(control::ReducedFunctional& functional) { return functional.space().primal(); }

/// Steps a method of ours until the referee is satisfied with the control that `control` gives.
template <class Method, class Control>
Score run_ours(Contest& contest, Method& method, const Control& control) {
  for (int step = 0; step < 500; ++step) {
    method.step();
    if (contest.shows(control())) break;
    if (method.report().failed) return contest.end(method.report().message);
  }
  return contest.end("500 steps");
}

void print_title(const parallel::Comm& comm, const std::string& title) {
  if (comm.rank() != 0) return;
  fmt::print("\n{}\n{:<50} {:>6} {:>7} {:>7} {:>10} {:>9}\n", title, "solver", "state", "adjoint",
             "hessian", "PDE solves", "seconds");
}

void print(const Score& s, const parallel::Comm& comm) {
  if (comm.rank() != 0) return;
  const std::string note = s.reached || s.pde_solves() == 0 ? s.note : "NOT REACHED: " + s.note;
  if (s.pde_solves() == 0) {
    fmt::print("{:<50} {:>6} {:>7} {:>7} {:>10} {:>9.3f} {}\n", s.solver, "-", "-", "-", "-",
               s.seconds, note);
  } else {
    fmt::print("{:<50} {:>6} {:>7} {:>7} {:>10} {:>9.3f} {}\n", s.solver, s.state, s.adjoint,
               s.hessian, s.pde_solves(), s.seconds, note);
  }
  std::fflush(stdout);
}

void others(Contest& contest, bool inversion) {
  const auto show = [&](const Score& score) { print(score, contest.space().comm()); };
  run_tao(contest, inversion, show);
#ifdef EQUIPOISE_ROL
  run_rol(contest, inversion, show);
#endif
}

void quadratic(const parallel::Comm& comm, std::int64_t cells, double beta) {
  const auto problem = tracking(comm, cells, control::Element::q1, beta);
  Contest contest(
      [&] {
        return std::make_shared<control::TrackingFunctional>(problem, control::Riesz::mass, 1e-12);
      },
      zero, -1e308, 1e308);
  print_title(comm, fmt::format("tracking, Q1, {} cells, beta = {:.0e}", cells, beta));
  {
    contest.begin("equipoise reduced-cg");
    control::ReducedCg method(contest.functional());
    print(run_ours(contest, method, [&]() -> Vec { return method.control().values; }), comm);
  }
  for (const std::int64_t cycles : {1, 2}) {
    contest.begin(fmt::format("equipoise all-at-once, {} cycles", cycles));
    control::AllAtOnce method(problem, {.cycles = cycles});
    linalg::Vector control = problem->grid().vector();
    Score score = run_ours(contest, method, [&]() -> Vec {
      check(VecCopy(method.point().control, control));
      return control;
    });
    std::int64_t total = 0;
    for (const auto& [kind, count] : method.counters())
      total += kind == "multigrid_cycles" ? count : 0;
    if (score.reached) score.note = fmt::format("{} multigrid cycles", comm.max(total));
    print(score, comm);
  }
  others(contest, false);
}

void bounds(const parallel::Comm& comm, std::int64_t cells, double beta) {
  const auto problem = tracking(comm, cells, control::Element::fd, beta);
  control::ReducedCg free(std::make_shared<control::TrackingFunctional>(problem));
  do {
    free.step();
  } while (free.report().residual > 1e-6);
  double low = 0.0, high = 0.0;
  check(VecMin(free.control().values, nullptr, &low));
  check(VecMax(free.control().values, nullptr, &high));
  for (const auto& [lower, upper] : {std::pair{0.0, 0.5 * high}, {-0.05 * high, 0.02 * high}}) {
    Contest contest(
        [&] {
          return std::make_shared<control::TrackingFunctional>(problem, control::Riesz::mass,
                                                               1e-12);
        },
        zero, lower, upper);
    print_title(comm, fmt::format("tracking with bounds [{:.3g}, {:.3g}], {} cells, beta = {:.0e}",
                                  lower, upper, cells, beta));
    contest.begin("equipoise reduced-newton");
    control::ReducedNewton method(problem, {.lower = lower, .upper = upper},
                                  {.inner_tolerance = 1e-12});
    Score score = run_ours(contest, method, [&]() -> Vec { return method.control(); });
    for (const auto& [kind, count] : method.counters()) {
      if (kind == "state_solves") score.state = comm.max(count);
      if (kind == "adjoint_solves") score.adjoint = comm.max(count);
      if (kind == "hessian_actions") score.hessian = comm.max(count);
    }
    print(score, comm);
    others(contest, false);
  }
}

void inversion(const parallel::Comm& comm, std::int64_t cells) {
  Contest contest(
      [&] {
        return std::make_shared<control::CoefficientFunctional>(
            comm, control::CoefficientOptions{.cells = cells}, [](const control::Point& x) {
              return std::hypot(x[0] - 0.5, x[1] - 0.5) <= 0.2 ? std::log(2.0) : std::log(9.0);
            });
      },
      [](control::ReducedFunctional& functional) {
        return dynamic_cast<control::CoefficientFunctional&>(functional)
            .interpolate([](const control::Point&) { return std::log(2.0); });
      },
      -1e308, 1e308);
  print_title(comm, fmt::format("coefficient inversion, {} cells", cells));
  {
    contest.begin("equipoise newton-cg");
    control::NewtonCg method(contest.functional(),
                             control::Primal{linalg::copy(contest.start().values)}, {});
    print(run_ours(contest, method, [&]() -> Vec { return method.control().values; }), comm);
  }
  others(contest, true);
}

}  // namespace
}  // namespace equipoise::peers

int main(int argc, char** argv) {
  using namespace equipoise;
  MPI_Init(&argc, &argv);
  {
    const auto comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
    const std::string which = argc > 1 ? argv[1] : "all";
    const std::int64_t cells = argc > 2 ? std::atoll(argv[2]) : 0;
    const double only = argc > 3 ? std::atof(argv[3]) : 0.0;
    linalg::start_petsc(comm);
    for (const double beta : {1e-2, 1e-4, 1e-6}) {
      if (only > 0.0 && beta != only) continue;
      if (which == "quadratic" || which == "all") {
        peers::quadratic(comm, cells > 0 ? cells : 128, beta);
      }
      if (which == "bounds" || which == "all") peers::bounds(comm, cells > 0 ? cells : 128, beta);
    }
    if (which == "inversion" || which == "all") peers::inversion(comm, cells > 0 ? cells : 64);
  }
  MPI_Finalize();
}
