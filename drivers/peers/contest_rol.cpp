#include "contest.hpp"

#include <ROL_Bounds.hpp>
#include <ROL_Problem.hpp>
#include <ROL_Solver.hpp>
#include <ROL_Stream.hpp>
#include <fmt/format.h>

#include <algorithm>

namespace equipoise::peers {
namespace {

using linalg::check;
using Real = double;

/// A primal or dual vector of the control space for ROL. With `metric` its inner product is that of
/// the space (R or R^-1); without, the coefficients are taken for the function, as ROL's own
/// vectors do.
class RolVector : public ROL::Vector<Real> {
 public:
  RolVector(Contest& contest, bool is_dual, bool metric)
      : contest_(&contest),
        is_dual_(is_dual),
        metric_(metric),
        values(linalg::like(contest.start().values)) {}
  void plus(const ROL::Vector<Real>& x) override { check(VecAXPY(values, 1.0, of(x))); }
  void scale(Real a) override { check(VecScale(values, a)); }
  void axpy(Real a, const ROL::Vector<Real>& x) override { check(VecAXPY(values, a, of(x))); }
  void zero() override { check(VecSet(values, 0.0)); }
  void set(const ROL::Vector<Real>& x) override { check(VecCopy(of(x), values)); }
  void setScalar(Real c) override { check(VecSet(values, c)); }
  Real dot(const ROL::Vector<Real>& x) const override {
    if (!metric_) return linalg::dot(values, of(x));
    return linalg::dot(values, static_cast<const RolVector&>(x).mapped());
  }
  Real norm() const override { return std::sqrt(std::max(0.0, dot(*this))); }
  Real apply(const ROL::Vector<Real>& x) const override { return linalg::dot(values, of(x)); }
  int dimension() const override {
    PetscInt n = 0;
    check(VecGetSize(values, &n));
    return n;
  }
  ROL::Ptr<ROL::Vector<Real>> clone() const override {
    return ROL::makePtr<RolVector>(*contest_, is_dual_, metric_);
  }
  const ROL::Vector<Real>& dual() const override {
    if (!dual_) dual_ = ROL::makePtr<RolVector>(*contest_, !is_dual_, metric_);
    check(VecCopy(metric_ ? mapped() : values.get(), dual_->values));
    return *dual_;
  }
  void applyUnary(const ROL::Elementwise::UnaryFunction<Real>& f) override {
    linalg::Entries e(values);
    for (double& v : e.span()) v = f.apply(v);
  }
  void applyBinary(const ROL::Elementwise::BinaryFunction<Real>& f,
                   const ROL::Vector<Real>& x) override {
    const linalg::ConstEntries o(of(x));
    linalg::Entries e(values);
    for (std::int64_t i = 0; i < e.size(); ++i) e[i] = f.apply(e[i], o[i]);
  }
  Real reduce(const ROL::Elementwise::ReductionOp<Real>& r) const override {
    Real result = r.initialValue();
    {
      const linalg::ConstEntries e(values);
      for (std::int64_t i = 0; i < e.size(); ++i) r.reduce(e[i], result);
    }
    const MPI_Op op = r.reductionType() == ROL::Elementwise::REDUCE_SUM   ? MPI_SUM
                      : r.reductionType() == ROL::Elementwise::REDUCE_MIN ? MPI_MIN
                                                                          : MPI_MAX;
    MPI_Allreduce(MPI_IN_PLACE, &result, 1, MPI_DOUBLE, op, contest_->space().comm().handle());
    return result;
  }

 private:
  [[nodiscard]] static Vec of(const ROL::Vector<Real>& x) {
    return static_cast<const RolVector&>(x).values;
  }
  /// R v of a primal vector, R^-1 f of a dual one.
  [[nodiscard]] Vec mapped() const {
    if (image_.get() == nullptr) image_ = linalg::like(values);
    control::Primal p = contest_->space().primal();
    control::Dual f = contest_->space().dual();
    if (is_dual_) {
      check(VecCopy(values, f.values));
      contest_->space().to_primal(f, p);
      check(VecCopy(p.values, image_));
    } else {
      check(VecCopy(values, p.values));
      contest_->space().to_dual(p, f);
      check(VecCopy(f.values, image_));
    }
    return image_;
  }
  Contest* contest_;
  bool is_dual_, metric_;
  mutable ROL::Ptr<RolVector> dual_;
  mutable linalg::Vector image_;

 public:
  linalg::Vector values;
};

Vec values_of(const ROL::Vector<Real>& x) { return dynamic_cast<const RolVector&>(x).values; }

class Functional : public ROL::Objective<Real> {
 public:
  Functional(Contest& contest, bool metric) : contest_(&contest), metric_(metric) {}
  Real value(const ROL::Vector<Real>& u, Real&) override { return contest_->value(values_of(u)); }
  void gradient(ROL::Vector<Real>& g, const ROL::Vector<Real>& u, Real&) override {
    contest_->gradient(values_of(u), values_of(g));
  }
  void hessVec(ROL::Vector<Real>& out, const ROL::Vector<Real>& d, const ROL::Vector<Real>& u,
               Real&) override {
    contest_->hessian(values_of(u), values_of(d), values_of(out));
  }
  void precond(ROL::Vector<Real>& out, const ROL::Vector<Real>& f, const ROL::Vector<Real>& u,
               Real& tolerance) override {
    if (!metric_) return ROL::Objective<Real>::precond(out, f, u, tolerance);
    contest_->precondition(values_of(f), values_of(out));
  }

 private:
  Contest* contest_;
  bool metric_;
};

class Referee : public ROL::StatusTest<Real> {
 public:
  explicit Referee(Contest& contest) : contest_(&contest) {}
  bool check(ROL::AlgorithmState<Real>& state) override {
    if (state.iterateVec != ROL::nullPtr && contest_->shows(values_of(*state.iterateVec))) {
      return false;
    }
    return state.iter < 200 && std::isfinite(state.gnorm);
  }

 private:
  Contest* contest_;
};

struct Setting {
  std::string name;
  bool metric;
  std::function<void(ROL::ParameterList&)> set;
};

void newton_krylov(ROL::ParameterList& list, double tolerance) {
  list.sublist("Step").set("Type", "Line Search");
  auto& search = list.sublist("Step").sublist("Line Search");
  search.sublist("Descent Method").set("Type", "Newton-Krylov");
  search.sublist("Line-Search Method").set("Type", "Backtracking");
  auto& krylov = list.sublist("General").sublist("Krylov");
  krylov.set("Type", "Conjugate Gradients");
  krylov.set("Relative Tolerance", tolerance);
  krylov.set("Absolute Tolerance", 1e10);  // it would take the smaller of the two
  krylov.set("Iteration Limit", 1000);
}

void trust_region(ROL::ParameterList& list, double tolerance, double radius) {
  list.sublist("Step").set("Type", "Trust Region");
  auto& region = list.sublist("Step").sublist("Trust Region");
  region.set("Subproblem Solver", "Truncated CG");
  region.set("Subproblem Model", "Lin-More");
  region.set("Initial Radius", radius);
  region.set("Maximum Radius", 1e20);
  auto& krylov = list.sublist("General").sublist("Krylov");
  krylov.set("Relative Tolerance", tolerance);
  krylov.set("Absolute Tolerance", 1e10);  // it would take the smaller of the two
  krylov.set("Iteration Limit", 1000);
}

std::vector<Setting> settings(bool bounded, bool preconditioned) {
  const auto prec = [preconditioned](ROL::ParameterList& list) {
    list.sublist("General").sublist("Krylov").set("Use Preconditioner", preconditioned);
  };
  const auto lin_more = [](ROL::ParameterList& list) {
    list.sublist("Step").set("Type", "Trust Region");
    list.sublist("Step").sublist("Trust Region").set("Subproblem Model", "Lin-More");
  };
  std::vector<Setting> all;
  if (bounded) {
    all.push_back({"ROL Lin-More, default", false, lin_more});
    all.push_back({"ROL Lin-More, metric", true, lin_more});
    for (const double tolerance : {1e-1, 1e-3}) {
      all.push_back({fmt::format("ROL Lin-More, metric, rtol {:.0e}, radius 1e4", tolerance), true,
                     [=](auto& list) { trust_region(list, tolerance, 1e4); }});
    }
    all.push_back({"ROL primal-dual active set, metric", true, [](auto& list) {
                     list.sublist("Step").set("Type", "Primal Dual Active Set");
                     auto& krylov = list.sublist("General").sublist("Krylov");
                     krylov.set("Relative Tolerance", 1e-3);
                     krylov.set("Absolute Tolerance",
                                1e10);  // it would take the smaller of the two
                     krylov.set("Iteration Limit", 1000);
                   }});
    all.push_back({"ROL projected Newton-Krylov, metric", true,
                   [](auto& list) { newton_krylov(list, 1e-1); }});
    return all;
  }
  const auto plain = [](ROL::ParameterList& list) {
    list.sublist("Step").set("Type", "Trust Region");
    list.sublist("Step").sublist("Trust Region").set("Subproblem Solver", "Truncated CG");
  };
  const auto secant = [](ROL::ParameterList& list) {
    list.sublist("Step").set("Type", "Line Search");
    list.sublist("Step")
        .sublist("Line Search")
        .sublist("Descent Method")
        .set("Type", "Quasi-Newton Method");
  };
  all.push_back({"ROL trust region, default", false, plain});
  all.push_back({"ROL quasi-Newton, default", false, secant});
  all.push_back({"ROL quasi-Newton, metric", true, secant});
  all.push_back({"ROL trust region, metric", true, plain});
  all.push_back({"ROL trust region, metric, rtol 5e-9, radius 1e6", true, [=](auto& list) {
                   trust_region(list, 5e-9, 1e6);
                   prec(list);
                 }});
  all.push_back({"ROL Newton-Krylov, metric, rtol 1e-1", true, [=](auto& list) {
                   newton_krylov(list, 1e-1);
                   prec(list);
                 }});
  all.push_back({"ROL Newton-Krylov, metric, rtol 5e-9", true, [=](auto& list) {
                   newton_krylov(list, 5e-9);
                   prec(list);
                 }});
  return all;
}

Score run(Contest& contest, const Setting& setting) {
  contest.begin(setting.name);
  try {
    const auto vector = [&](double value) {
      auto v = ROL::makePtr<RolVector>(contest, false, setting.metric);
      v->setScalar(value);
      return v;
    };
    auto u = vector(0.0);
    check(VecCopy(contest.start().values, u->values));
    auto problem =
        ROL::makePtr<ROL::Problem<Real>>(ROL::makePtr<Functional>(contest, setting.metric), u);
    if (contest.bounded()) {
      problem->addBoundConstraint(
          ROL::makePtr<ROL::Bounds<Real>>(vector(contest.lower()), vector(contest.upper())));
    }
    problem->finalize(false, false);
    ROL::ParameterList list;
    list.sublist("Status Test").set("Gradient Tolerance", 1e-30);
    list.sublist("Status Test").set("Step Tolerance", 1e-30);
    list.sublist("Status Test").set("Iteration Limit", 200);
    list.sublist("General").set("Output Level", 0);
    setting.set(list);
    ROL::Solver<Real> solver(problem, list);
    solver.solve(ROL::makePtr<Referee>(contest), false);
    contest.shows(u->values);
    const auto state = solver.getAlgorithmState();
    return contest.end(
        fmt::format("ended after {} iterations with gradient {:.1e}", state->iter, state->gnorm));
  } catch (const std::exception& e) {
    return contest.end(std::string(e.what()).substr(0, 120));
  }
}

}  // namespace

void run_rol(Contest& contest, bool inversion, const Shown& show) {
  for (const auto& setting : settings(contest.bounded(), inversion)) show(run(contest, setting));
}

}  // namespace equipoise::peers
