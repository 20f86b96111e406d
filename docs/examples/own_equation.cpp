// mpirun -n 3 own_equation: heat from a chemical reaction is steered by the control u,
//   min 1/2 |y - 1|^2 + 1e-3/2 |u|^2   subject to   -Lap y = exp(y) / 2 + u on the unit square, y =
//   0 around it.
#include <equipoise/control/elliptic.hpp>
#include <equipoise/control/trust_region.hpp>
#include <equipoise/parallel/session.hpp>
#include <equipoise/solve/run.hpp>

#include <cmath>

using namespace equipoise;
using control::Form, control::Place, linalg::check;

class Reaction : public control::Equation {
 public:
  explicit Reaction(std::shared_ptr<const control::MeshSpace> space)
      : space_(space), y_(fe().vector()), at_(fe().vector()) {
    laplace_ = fe().assemble([](const Place&) { return Form{.diffusion = 1.0}; }, true);
    jacobian_ = fe().assemble([](const Place&) { return Form{.diffusion = 1.0}; }, true);
  }
  const control::Space& states() const override { return *space_; }
  const control::Space& controls() const override { return *space_; }
  bool symmetric() const override { return true; }

  void residual(Vec y, Vec u, Vec out) override {  // K y - int (exp(y)/2 + u) v
    check(VecCopy(y, y_));
    fe().clear_dirichlet(y_);  // the boundary conditions are rows y = 0 of their own
    fe().load([](const Place& q) { return -std::exp(q.values[0]) / 2 - q.values[1]; }, {y_, u},
              out);
    fe().clear_dirichlet(out);
    check(MatMultAdd(laplace_, y, out, out));
  }
  Mat linearise(Vec y, Vec) override {  // c_y
    check(VecCopy(y, at_));
    fe().clear_dirichlet(at_);
    fe().assemble(
        [](const Place& q) {
          return Form{.diffusion = 1.0, .reaction = -std::exp(q.values[0]) / 2};
        },
        true, {at_}, jacobian_);
    return jacobian_;
  }
  void control_jacobian(Vec d, Vec out) override {  // c_u d
    fe().load([](const Place& q) { return -q.values[0]; }, {d}, out);
    fe().clear_dirichlet(out);
  }
  void control_adjoint(Vec p, Vec out) override {  // c_u^T p: the same with p = 0 on the boundary
    linalg::Vector inner = linalg::copy(p);
    fe().clear_dirichlet(inner);
    fe().load([](const Place& q) { return -q.values[0]; }, {inner}, out);
  }
  void second(Vec p, Vec dy, Vec, Vec out_y, Vec out_u) override {  // <p, c>'' (dy, du)
    fe().load([](const Place& q) { return -std::exp(q.values[0]) / 2 * q.values[1] * q.values[2]; },
              {at_, p, dy}, out_y);
    fe().clear_dirichlet(out_y);
    check(VecSet(out_u, 0.0));
  }

 private:
  const control::FiniteElements& fe() const { return space_->elements(); }
  std::shared_ptr<const control::MeshSpace> space_;
  linalg::Vector y_, at_;  // of the residual, of the Jacobian
  linalg::Matrix laplace_, jacobian_;
};

int main(int argc, char** argv) {
  return parallel::run_session(argc, argv, [](const parallel::Comm& comm) {
    const auto elements = std::make_shared<control::FiniteElements>(comm, control::box_mesh(2, 16),
                                                                    1, std::vector<std::int64_t>{});
    const auto space = std::make_shared<control::MeshSpace>(elements, control::Riesz::mass);
    control::TrackingTerms terms{.beta = 1e-3};
    terms.target = elements->interpolate([](const control::Point&) { return 1.0; });
    const auto functional = std::make_shared<control::EquationFunctional>(
        std::make_shared<Reaction>(space),
        std::make_shared<control::TrackingObjective>(space, std::move(terms)));

    // Are residual, Jacobians and second derivatives right?
    const auto wave = [&](double shift) {
      return control::Primal{elements->interpolate(
          [=](const control::Point& x) { return std::sin(3 * x[0] + 2 * x[1] + shift); })};
    };
    const auto found = control::check_equation(*functional, wave(0.1), wave(1.0), wave(2.0));
    if (comm.rank() == 0) {
      for (const auto& item : found.items)
        fmt::print("{:<55} {:9.2e} {}\n", item.property, item.figure, item.holds ? "" : "FAILED");
    }
    control::TrustRegion method(functional, space->primal(), {});
    const auto summary = solve::run(comm, method, {.tolerance = 1e-8}, {}, {}, {});
    if (comm.rank() == 0)
      fmt::print("{} steps to {:.1e}, cost {:.8f}\n", summary.iterations, summary.residual,
                 summary.objective);
    return found.holds() && summary.stop == solve::Stop::converged ? 0 : 1;
  });
}
