#pragma once

#include <equipoise/problems/vi/complementarity.hpp>

namespace equipoise::problems {

struct SemismoothNewtonOptions {
  double decrease = 1e-4;
  void describe(state::OptionVisitor& visit);
};

/// Semismooth Newton on Phi_i = sqrt(z_i^2 + F_i^2) - z_i - F_i (Fischer and Burmeister; De Luca,
/// Facchinei and Kanzow 1996), with the steps of Levenberg and Marquardt, (V'V + nu) d = -V'Phi,
/// and Armijo's rule on norm(Phi)^2 / 2. Every rank does the same; no communication. O(d^3) a step.
class SemismoothNewton final : public solve::Method {
 public:
  SemismoothNewton(std::shared_ptr<const Complementarity> problem,
                   const SemismoothNewtonOptions& options);
  void step() override;
  [[nodiscard]] solve::Report report() const override { return report_; }
  [[nodiscard]] solve::Counters counters() const override {
    return {{"operator", calls_}, {"jacobian", jacobians_}};
  }
  void fields(state::FieldVisitor& visit) override;
  void solution(state::FieldVisitor& visit) override;

 private:
  double merit(const Eigen::VectorXd& z);
  void slopes(Eigen::MatrixXd& v);
  void measure();

  std::shared_ptr<const Complementarity> problem_;
  SemismoothNewtonOptions options_;
  Eigen::VectorXd z_, f_, phi_;
  std::vector<double> best_;
  double best_residual_ = 0.0, reference_ = 0.0;
  solve::Report report_;
  std::int64_t calls_ = 0, jacobians_ = 0;
};

}  // namespace equipoise::problems
