#pragma once

#include <equipoise/problems/vi/instance.hpp>
#include <equipoise/solve/instance.hpp>
#include <equipoise/vi/problem.hpp>

#include <Eigen/Core>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace equipoise::problems {

struct ComplementarityOptions {
  std::string problem = "kojima-shindo";  ///< key `case`
  std::int64_t dimension = 100;
  std::int64_t seed = 0;
  std::int64_t buyers = 10;
  void describe(state::OptionVisitor& visit);
};

/// A nonlinear complementarity problem: z >= 0, F(z) >= 0, <z, F(z)> = 0, with the Jacobian of F.
/// Satisfies vi::AgentProblem with one agent.
struct Complementarity {
  using In = std::span<const double>;
  using Out = std::span<double>;
  std::string name;
  std::vector<double> first;               ///< where methods start
  std::vector<std::vector<double>> exact;  ///< known solutions, perhaps none
  std::function<void(In z, Out out)> f;
  std::function<void(In z, Eigen::MatrixXd& out)> jacobian;

  [[nodiscard]] std::int64_t dimension() const { return std::ssize(first); }
  [[nodiscard]] std::int64_t agents() const { return 1; }
  void apply(std::int64_t, In z, Out out) const { f(z, out); }
  void prox(double, Out z) const;
  void start(Out z) const;
  /// The first of the known solutions.
  [[nodiscard]] bool solution(Out z) const;
  /// The largest violation of z >= 0, F >= 0, and the largest |min(z_i, F_i)|.
  [[nodiscard]] vi::Facts check(In z) const;
  [[nodiscard]] vi::Facts facts() const;
  [[nodiscard]] std::string fingerprint() const;

  /// The case that the options name: lcp, kojima-shindo, josephy, murty, hp-hard, nash-cournot,
  /// kelly, fisher, shared-capacity.
  static Complementarity make(const ComplementarityOptions& options);
};

/// The methods of the family, and semismooth Newton (the default), which needs the Jacobian.
class ComplementarityInstance : public VariationalInstance {
 public:
  ComplementarityInstance(const parallel::Comm& comm, state::Config& config,
                          std::shared_ptr<const Complementarity> problem);
  [[nodiscard]] std::vector<std::string> methods() const override;
  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override;

 private:
  std::shared_ptr<const Complementarity> problem_;
};

/// The registry's entries of the problem and of its method.
[[nodiscard]] solve::ProblemEntry mcp_problem();
[[nodiscard]] solve::MethodEntry semismooth_newton_method();

}  // namespace equipoise::problems
