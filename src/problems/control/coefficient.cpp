#include "entries_private.hpp"
#include "reduced_methods.hpp"

#include <equipoise/control/coefficient.hpp>
#include <equipoise/control/laplace_posterior.hpp>
#include <equipoise/control/newton_cg.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/problems/control/nodal.hpp>

#include <cmath>
#include <fstream>

namespace equipoise::problems {
namespace {

using control::Point;

double disc(const Point& x) {
  return std::hypot(x[0] - 0.5, x[1] - 0.5) <= 0.2 ? std::log(2.0) : std::log(9.0);
}

struct InversionOptions {
  control::CoefficientOptions values;
  void describe(state::OptionVisitor& visit) {
    visit.option("cells", values.cells, "cells per direction, two triangles each", {2.0, 8192.0});
    visit.option("regularization", values.regularization, "gamma in gamma/2 |grad m|^2",
                 state::positive);
    visit.choice("prior", values.prior, {"gradient", "bilaplacian"},
                 "penalty above, or a Gaussian prior with the regularization as variance of the "
                 "data error");
    visit.option("prior_gamma", values.prior_gamma, "of the prior's operator gamma K + delta M",
                 state::positive);
    visit.option("prior_delta", values.prior_delta, "of the prior's operator", state::positive);
    visit.option("prior_mean", values.prior_mean, "of the coefficient");
    visit.option("noise", values.noise, "standard deviation of the data error over max |u|",
                 state::non_negative);
    visit.option("seed", values.seed, "of the noise", state::non_negative);
  }
};

/// Functions at the vertices: the coefficient, from which state and adjoint follow, and its
/// variance.
class CoefficientSolution : public state::Stateful {
 public:
  CoefficientSolution(const control::Space& space, std::vector<std::string> names)
      : space_(&space), names_(std::move(names)) {
    for (std::size_t i = 0; i < names_.size(); ++i) functions_.push_back(space.primal());
  }
  void fields(state::FieldVisitor& visit) override {
    for (std::size_t i = 0; i < names_.size(); ++i) {
      control::visit_vector(visit, names_[i], space_->partition(), space_->comm().rank(),
                            functions_[i].values);
    }
  }

 private:
  const control::Space* space_;
  std::vector<std::string> names_;
  std::vector<control::Primal> functions_;
};

class Inversion : public solve::Instance {
 public:
  Inversion(const parallel::Comm& comm, state::Config& config) {
    config.read("problem", options_);
    linalg::start_petsc(comm);
    petsc_ = std::make_unique<linalg::SolverOptions>(config.take("petsc"));
    functional_ = std::make_shared<control::CoefficientFunctional>(comm, options_.values, disc);
    petsc_->reject_unused();
    with_variance_ = config.text("method.name", methods().front()) == "laplace-posterior";
  }

  [[nodiscard]] std::string fingerprint() const override {
    const auto& v = options_.values;
    return fmt::format(
        "coefficient cells={} regularization={} noise={} seed={} prior={} gamma={} delta={} "
        "mean={}",
        v.cells, v.regularization, v.noise, v.seed, v.prior, v.prior_gamma, v.prior_delta,
        v.prior_mean);
  }
  [[nodiscard]] solve::Facts facts() const override {
    const auto n = options_.values.cells;
    return {{"unknowns of the coefficient", std::to_string((n + 1) * (n + 1))},
            {"unknowns of the state", std::to_string((2 * n - 1) * (2 * n - 1))}};
  }
  [[nodiscard]] std::vector<std::string> methods() const override {
    return {"newton-cg", "laplace-posterior", "trust-region", "lbfgs"};
  }

  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override {
    with_variance_ = name == "laplace-posterior";
    if (!with_variance_) {
      return make_reduced_method("coefficient (besides laplace-posterior)", name, functional_,
                                 start(), false, config);
    }
    control::LaplacePosteriorOptions options;
    config.read("method", options);
    gauss_newton_ = options.gauss_newton;
    return std::make_unique<control::LaplacePosterior>(functional_, start(), options);
  }

  std::unique_ptr<state::Stateful> solution_storage() override {
    std::vector<std::string> names = {"control"};
    if (with_variance_) names.insert(names.end(), {"prior_variance", "posterior_variance"});
    return std::make_unique<CoefficientSolution>(functional_->space(), names);
  }

  /// The gradient at the stored coefficient, from new solves, in the dual L2 norm relative to the
  /// start; and, as an independent check of that gradient, the difference quotient of the cost
  /// along it.
  solve::Certificate certify(state::Stateful& solution) override {
    const control::Space& space = functional_->space();
    control::Dual derivative = space.dual();
    const control::Primal first = start();
    functional_->value(first);
    functional_->derivative(derivative);
    const double at_start = space.norm(derivative);
    // Away from the minimizer the quotient is well above rounding: 1 up to 1e-5 or so.
    control::Primal gradient = space.primal(), moved = space.primal();
    space.to_primal(derivative, gradient);
    const double t = 1e-4 / at_start;
    double ends[2] = {};
    for (const int side : {0, 1}) {
      linalg::check(VecWAXPY(moved.values, side == 0 ? -t : t, gradient.values, first.values));
      ends[side] = functional_->value(moved);
    }
    const double quotient = (ends[1] - ends[0]) / (2.0 * t * at_start * at_start);
    const control::Primal m = stored(solution);
    const double cost = functional_->value(m);
    functional_->derivative(derivative);
    const double relative = space.norm(derivative) / at_start;
    solve::Certificate certificate{{{"cost", cost},
                                    {"misfit", functional_->misfit()},
                                    {"penalty", functional_->penalty()},
                                    {"difference_quotient_over_slope_at_start", quotient},
                                    {"gradient_dual_norm_relative", relative}},
                                   relative};
    if (with_variance_) certify_variance(m, solution, certificate);
    return certificate;
  }

  std::vector<std::string> export_csv(state::Stateful& solution,
                                      const std::string& directory) override {
    const std::string path = directory + "/coefficient.csv";
    const auto m = stored(solution);
    const auto variance =
        with_variance_ ? stored(solution, "posterior_variance") : functional_->space().primal();
    const linalg::ConstEntries values(m.values), spread(variance.values);
    const parallel::Comm& comm = functional_->space().comm();
    const auto n = options_.values.cells;
    for (int turn = 0; turn < comm.size(); ++turn) {
      parallel::agree(comm, [&] {
        if (comm.rank() != turn) return;
        std::ofstream file(path, turn == 0 ? std::ios::trunc : std::ios::app);
        if (turn == 0) file << (with_variance_ ? "x,y,m,variance\n" : "x,y,m\n");
        const auto begin = functional_->space().partition().range(turn).begin;
        for (std::int64_t i = 0; i < values.size(); ++i) {
          const auto node = begin + i;
          file << fmt::format("{:.17g},{:.17g},{:.17g}",
                              static_cast<double>(node % (n + 1)) / static_cast<double>(n),
                              static_cast<double>(node / (n + 1)) / static_cast<double>(n),
                              values[i]);
          if (with_variance_) file << fmt::format(",{:.17g}", spread[i]);
          file << "\n";
        }
        if (!file.flush())
          throw InputError("cannot write `{}`; is there such a directory, with room?", path);
      });
    }
    return {path};
  }

  /// Coefficient, variances where there are any, and the state, at the vertices of the triangles.
  std::vector<std::string> export_xdmf(state::Stateful& solution,
                                       const std::string& directory) override {
    const auto n = options_.values.cells;
    const control::Space& space = functional_->space();
    const auto owned = space.partition().range(space.comm().rank());
    formats::XdmfPiece piece;
    piece.cell = "Triangle";
    piece.first_node = owned.begin;
    piece.nodes = space.partition().size();
    for (auto node = owned.begin; node < owned.end; ++node) {
      const auto i = node % (n + 1), j = node / (n + 1);
      for (const auto at : {i, j, std::int64_t{0}})
        piece.points.push_back(static_cast<double>(at) / static_cast<double>(n));
      if (i == n || j == n) continue;  // the two triangles of the square above and to the right
      for (const auto corner : {node, node + 1, node + n + 2, node, node + n + 2, node + n + 1})
        piece.cells.push_back(corner);
    }
    const control::Primal m = stored(solution);
    const auto add = [&](const std::string& name, Vec v) {
      const linalg::ConstEntries values(v);
      piece.fields.push_back({name, {values.span().begin(), values.span().end()}});
    };
    add("control", m.values);
    if (with_variance_) {
      for (const std::string name : {"prior_variance", "posterior_variance"})
        add(name, stored(solution, name).values);
    }
    functional_->value(m);
    add("state", at_vertices(functional_->state()));
    return formats::write_xdmf(space.comm(), directory, piece);
  }

 private:
  /// The values at the vertices of a function on the interior of the lattice of twice the cells,
  /// zero on the boundary. **Collective.**
  [[nodiscard]] linalg::Vector at_vertices(Vec lattice) const {
    const auto n = options_.values.cells;
    linalg::Vector result = functional_->space().primal().values;
    std::vector<PetscInt> from, to;
    const auto owned = functional_->space().partition().range(functional_->space().comm().rank());
    for (auto node = owned.begin; node < owned.end; ++node) {
      const auto i = node % (n + 1), j = node / (n + 1);
      if (i == 0 || i == n || j == 0 || j == n) continue;
      from.push_back(static_cast<PetscInt>((2 * j - 1) * (2 * n - 1) + 2 * i - 1));
      to.push_back(static_cast<PetscInt>(node));
    }
    linalg::IndexSet source, target;
    linalg::Scatter scatter;
    const auto size = static_cast<PetscInt>(from.size());
    linalg::check(
        ISCreateGeneral(PETSC_COMM_SELF, size, from.data(), PETSC_COPY_VALUES, source.put()));
    linalg::check(
        ISCreateGeneral(PETSC_COMM_SELF, size, to.data(), PETSC_COPY_VALUES, target.put()));
    linalg::check(VecScatterCreate(lattice, source, result, target, scatter.put()));
    linalg::check(VecScatterBegin(scatter, lattice, result, INSERT_VALUES, SCATTER_FORWARD));
    linalg::check(VecScatterEnd(scatter, lattice, result, INSERT_VALUES, SCATTER_FORWARD));
    return result;
  }
  [[nodiscard]] control::Primal start() const {
    return functional_->interpolate([](const Point&) { return std::log(2.0); });
  }
  /// The variance at the centre of the square anew: a solve with the whole Hessian by CG, whose
  /// column at that vertex is the covariance.
  void certify_variance(const control::Primal& m, state::Stateful& solution,
                        solve::Certificate& certificate) {
    const control::Space& space = functional_->space();
    const auto n = options_.values.cells;
    const std::int64_t centre = n / 2 * (n + 1) + n / 2;
    functional_->value(m);
    control::Dual residual = space.dual(), image = space.dual();
    functional_->derivative(residual);
    linalg::check(VecSet(residual.values, 0.0));
    linalg::check(VecSetValue(residual.values, static_cast<PetscInt>(centre), 1.0, INSERT_VALUES));
    linalg::check(VecAssemblyBegin(residual.values));
    linalg::check(VecAssemblyEnd(residual.values));
    const linalg::Vector unit = linalg::copy(residual.values);
    control::Primal x = space.primal(), z = space.primal(), d = space.primal();
    functional_->precondition(residual, z);
    linalg::check(VecCopy(z.values, d.values));
    double squared = control::pairing(residual, z);
    const double enough = 1e-18 * squared;
    const auto curvature =
        gauss_newton_ ? control::Curvature::gauss_newton : control::Curvature::full;
    for (int step = 0; step < 1000 && squared > enough; ++step) {
      functional_->hessian(d, image, curvature);
      const double length = squared / control::pairing(image, d);
      linalg::check(VecAXPY(x.values, length, d.values));
      linalg::check(VecAXPY(residual.values, -length, image.values));
      functional_->precondition(residual, z);
      const double next = control::pairing(residual, z);
      linalg::check(VecAYPX(d.values, next / squared, z.values));
      squared = next;
    }
    const double exact = functional_->scale() * linalg::dot(x.values, unit);
    const control::Primal given = stored(solution, "posterior_variance");
    const double claimed = linalg::dot(given.values, unit);
    certificate.values.emplace_back("posterior_variance_at_centre", exact);
    certificate.values.emplace_back("posterior_variance_relative_error_at_centre",
                                    std::abs(claimed - exact) / exact);
  }
  [[nodiscard]] control::Primal stored(state::Stateful& solution,
                                       const std::string& name = "control") const {
    control::Primal m = functional_->space().primal();
    linalg::Entries entries(m.values);
    const auto values = partitioned_values(solution, name);
    if (static_cast<std::int64_t>(values.size()) != entries.size()) {
      throw CheckpointError("the stored solution has no function `{}` on {} cells", name,
                            options_.values.cells);
    }
    std::copy(values.begin(), values.end(), entries.span().begin());
    return m;
  }

  InversionOptions options_;
  std::unique_ptr<linalg::SolverOptions> petsc_;
  std::shared_ptr<control::CoefficientFunctional> functional_;
  bool with_variance_ = false, gauss_newton_ = false;
};

}  // namespace

solve::ProblemEntry coefficient_entry() {
  return {
      "control", "coefficient",
      "recover m in -div(exp(m) grad u) = 1 from noisy values of u (P2 state, P1 coefficient)",
      [](state::OptionVisitor& visit) { InversionOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        return std::make_unique<Inversion>(comm, config);
      }};
}

std::vector<solve::MethodEntry> coefficient_methods() {
  return {
      {"control", "newton-cg", "inexact Newton-CG with a Gauss-Newton start and backtracking",
       [](state::OptionVisitor& visit) { control::NewtonCgOptions{}.describe(visit); }},
      {"control", "laplace-posterior",
       "most probable coefficient, its pointwise variance, and samples, from a low-rank Hessian",
       [](state::OptionVisitor& visit) { control::LaplacePosteriorOptions{}.describe(visit); }}};
}

}  // namespace equipoise::problems
