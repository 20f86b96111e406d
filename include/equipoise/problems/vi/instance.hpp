#pragma once

#include <equipoise/solve/instance.hpp>
#include <equipoise/vi/evaluation.hpp>
#include <equipoise/vi/problem.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace equipoise::problems {

/// A variational inequality as the command sees it; one class for every problem of the family.
class VariationalInstance : public solve::Instance {
 public:
  /// `owner` keeps the problem alive that `view` looks at. Reads `run.*` and `stop.measure`.
  VariationalInstance(parallel::Comm comm, state::Config& config, std::shared_ptr<const void> owner,
                      vi::ProblemView view);

  [[nodiscard]] std::string fingerprint() const override { return view_.fingerprint(); }
  [[nodiscard]] solve::Facts facts() const override { return view_.facts(); }
  [[nodiscard]] std::vector<std::string> methods() const override;
  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override;
  std::unique_ptr<state::Stateful> solution_storage() override;
  solve::Certificate certify(state::Stateful& solution) override;
  std::vector<std::string> export_csv(state::Stateful& solution,
                                      const std::string& directory) override;

 private:
  struct Solution;
  [[nodiscard]] partition::Range owned() const;
  void operator_by_plain_sum(const std::vector<double>& z, std::vector<double>& out) const;
  [[nodiscard]] double plain_residual(const std::vector<double>& z) const;

  parallel::Comm comm_;
  std::shared_ptr<const void> owner_;
  vi::ProblemView view_;
  vi::Setting setting_;
};

/// Wraps a problem that satisfies a concept of the family.
template <class P>
std::unique_ptr<solve::Instance> make_instance(const parallel::Comm& comm, state::Config& config,
                                               P problem) {
  auto owner = std::make_shared<const P>(std::move(problem));
  const vi::ProblemView view(*owner);
  return std::make_unique<VariationalInstance>(comm, config, owner, view);
}

/// `run.agents`, or the problem's own number. Throws ConfigurationError below 1.
std::int64_t read_agents(state::Config& config, std::int64_t fallback);

}  // namespace equipoise::problems
