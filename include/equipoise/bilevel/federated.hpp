#pragma once

#include <equipoise/bilevel/method.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::bilevel {

struct FederatedOptions {
  std::int64_t local = 5;    ///< iterations between averages
  std::int64_t batch = 0;    ///< samples per block and level, 0 for all
  double lower_step = 0.0;   ///< 0 for 1 / L
  double linear_step = 0.0;  ///< 0 for the step of y
  double outer_step = 0.0;   ///< 0 for 0.4 times the step of y
  double beta = 0.1;         ///< constant of STORM
  double decay = 0.0;        ///< steps fall like (t + 1)^-decay, beta like (t + 1)^(-2 decay)
  std::int64_t evaluate_every = 100;
  ExchangeOptions exchange;
  void describe(state::OptionVisitor& visit);
};

/// STORM in three streams with local steps: every class of blocks (a client) moves an outer
/// variable x_c and an estimate z_c of its own for `local` iterations, then both are averaged
/// in one round. Lower problems belong to clients and are never averaged.
///
///     s_i = h_y(t) + (1 - beta)(s_i - h_y(t-1)),  u_i, z_c alike,
///     y_i <- y_i - tau s_i,  v_i <- v_i - tau_v u_i,  x_c <- proj(x_c - eta z_c);
///     every `local` iterations: x_c <- mean x, z_c <- mean z.
///
/// With local = 1 this is STORM (to rounding). Codecs compress the difference of x_c and z_c
/// from the last averages. Bytes an iteration: 2 dx / local. Memory: 5 dx a hosted class, 6 dy
/// a block. Source: Li, Huang, Huang, Local stochastic bilevel optimization with
/// momentum-based variance reduction; Gao (2022), FedBiOAcc.
class Federated final : public MethodBase {
 public:
  Federated(const Setup& setup, FederatedOptions options);
  void step() override;
  void fields(state::FieldVisitor& visit) override;
  [[nodiscard]] parallel::Traffic traffic() const override { return averages_.channel().traffic(); }
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> notes() const override;

 private:
  struct Raw {
    std::vector<double> lower, linear, outer;
  };
  [[nodiscard]] Out row(std::vector<double>& rows, std::int64_t number) const;
  void evaluate_at(std::int64_t i, In x, In y, In v, Raw& raw);
  void visit_block(std::int64_t i, double beta, Out change);
  std::int64_t visit_class(std::int64_t number, double factor, double beta);
  void average();

  FederatedOptions options_;
  double tau_ = 0.0, tau_v_ = 0.0, eta_ = 0.0;
  std::vector<double> v_, s_, u_, old_y_, old_v_;
  std::vector<double> xs_, old_xs_, zs_;  ///< rows [hosted classes x dx]
  std::vector<double> mean_z_;
  Exchange averages_;  ///< of x and z, together
  std::vector<std::int64_t> lower_batch_, upper_batch_;
  Raw now_, before_;
  std::vector<double> slope_, upper_, change_, pair_;
};

}  // namespace equipoise::bilevel
