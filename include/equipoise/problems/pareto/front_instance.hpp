#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/pareto/field_solver.hpp>
#include <equipoise/pareto/population.hpp>
#include <equipoise/pareto/problem.hpp>
#include <equipoise/solve/instance.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace equipoise::problems {

/// A multiobjective problem of any kind as the command sees it. It keeps the problem alive; methods
/// made by it must not outlive it.
class FrontInstance final : public solve::Instance {
 public:
  template <pareto::MultiobjectiveProblem P>
  FrontInstance(parallel::Comm comm, P problem, std::int64_t seed)
      : FrontInstance(std::move(comm), std::make_shared<const P>(std::move(problem)), seed) {}
  template <pareto::MultiobjectiveProblem P>
  FrontInstance(parallel::Comm comm, std::shared_ptr<const P> problem, std::int64_t seed)
      : comm_(std::move(comm)), view_(*problem), owner_(std::move(problem)), seed_(seed) {}
  /// With a solver of scalarisations of its own for the method `front`, made anew for each.
  using MakeSolver = std::function<std::unique_ptr<pareto::FieldSolver>()>;
  template <pareto::MultiobjectiveProblem P>
  FrontInstance(parallel::Comm comm, std::shared_ptr<const P> problem, std::int64_t seed,
                MakeSolver solver)
      : FrontInstance(std::move(comm), std::move(problem), seed) {
    front_solver_ = std::move(solver);
  }

  /// A method that only this problem has, offered after `front`; it may use the problem.
  struct OwnMethod {
    std::string name, measure, help;  ///< the measure that the tolerance is compared with
    std::function<std::unique_ptr<solve::Method>(state::Config&)> make;
  };
  void add(OwnMethod method) { own_methods_.push_back(std::move(method)); }

  [[nodiscard]] std::string fingerprint() const override { return view_.fingerprint(); }
  [[nodiscard]] solve::Facts facts() const override;
  [[nodiscard]] std::vector<std::string> methods() const override;
  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override;
  std::unique_ptr<state::Stateful> solution_storage() override;
  solve::Certificate certify(state::Stateful& solution) override;
  std::vector<std::string> export_csv(state::Stateful& solution,
                                      const std::string& directory) override;

 private:
  [[nodiscard]] double criticality(const pareto::Population& points) const;

  parallel::Comm comm_;
  pareto::ProblemView view_;
  std::shared_ptr<const void> owner_;
  MakeSolver front_solver_;
  std::vector<OwnMethod> own_methods_;
  std::int64_t seed_;
};

}  // namespace equipoise::problems
