// mpirun -n 3 own_problem: eight agents bargain with an adversary, c_m = (m, 1, -m):
//   min over x, max over y of  (1/8) sum_m  |x - c_m|^2 / 2 + <x, y> - |y|^2 / 2.
#include <equipoise/parallel/session.hpp>
#include <equipoise/solve/run.hpp>
#include <equipoise/state/field_map.hpp>
#include <equipoise/vi/methods.hpp>

#include <cmath>

struct Bargain {
  std::int64_t dimension() const { return 6; }  // z = (x, y)
  std::int64_t agents() const { return 8; }
  void apply(std::int64_t m, std::span<const double> z, std::span<double> out) const {
    const double c[3] = {1.0 * m, 1.0, -1.0 * m};
    for (int i = 0; i < 3; ++i) {
      out[i] = z[i] - c[i] + z[3 + i];  // gradient in x
      out[3 + i] = z[3 + i] - z[i];     // minus the gradient in y
    }
  }
};
static_assert(equipoise::vi::AgentProblem<Bargain>);

int main(int argc, char** argv) {
  return equipoise::parallel::run_session(argc, argv, [](const equipoise::parallel::Comm& comm) {
    const Bargain bargain;
    auto options = equipoise::state::Config::parse("method.codec = 'permk'", "own_problem.cpp");
    const auto method = equipoise::vi::make_method("masha1", {.comm = comm}, bargain, options);
    const auto summary = equipoise::solve::run(comm, *method, {.tolerance = 1e-10}, {}, {}, {});
    equipoise::state::FieldMap solution;
    method->solution(solution);
    const auto z = solution.doubles("z");
    const double exact[6] = {1.75, 0.5, -1.75, 1.75, 0.5, -1.75};  // x = y = (mean of c) / 2
    double error = 0.0;
    for (int i = 0; i < 6; ++i) error = std::fmax(error, std::fabs(z[i] - exact[i]));
    if (comm.rank() == 0) fmt::print("{} iterations, error {:.1e}\n", summary.iterations, error);
    return error < 1e-8 ? 0 : 1;
  });
}
