#pragma once

#include <equipoise/bilevel/method.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::bilevel {

struct StnOptions {
  std::int64_t train = 2;      ///< steps on the model before x moves
  std::int64_t warm_up = 500;  ///< steps on the model before the first iteration
  std::int64_t batch = 0;      ///< samples per block and level, 0 for all
  double model_step = 1.0;     ///< of the lower step 1 / L that one training step amounts to
  double outer_step = 0.0;     ///< 0 for 0.4 / L
  double width = 0.3;          ///< standard deviation of the perturbations at the start
  double width_step = 0.003;   ///< step of s, where the width is softplus(s); 0 keeps it
  double entropy = 1e-3;       ///< weight of the perturbations' entropy
  double table_limit = 2e9;    ///< bytes of affine models that a rank may hold
  std::int64_t evaluate_every = 100;
  ExchangeOptions exchange;
  void describe(state::OptionVisitor& visit);
};

/// Self-tuning networks (MacKay, Vicol, Lorraine, Duvenaud, Grosse, ICLR 2019): a model y =
/// w_i(phi_i, x) of the lower solution near the present x, trained on perturbed outer variables
/// and differentiated in place of the implicit function:
///
///     train times, e drawn by block:  phi_i <- phi_i - t J_phi^T grad_y g_i(x + e, w_i(phi_i, x +
///     e)) once, e and -e averaged:        G = mean_i [grad_x f_i + J_x^T grad_y f_i] at x + e,  x
///     <- x - eta G s_k <- s_k - eta_s sigma(s_k) [z_k (G_k(e) - G_k(-e)) / 2 - entropy / width_k]
///
/// with e_k = width_k z_k, z normal, width = softplus(s). The step t makes the change of y at the
/// sample one gradient step: t = model_step |g|^2 / (L |J_phi^T g|^2). The pair of opposite
/// perturbations (ours) removes their first-order noise.
/// Where the oracle has no model of its own, y = w_i + U_i e about the present x: exact for
/// quadratics; dy (dx + 1) doubles a block. What is reached is the best that the model can do: the
/// solution of the perturbed problem if it contains the lower solutions near x, else a bias.
/// First order. One mean of dx entries an iteration, through the codec; another, dense, while the
/// widths move.
class SelfTuning final : public MethodBase {
 public:
  SelfTuning(const Setup& setup, StnOptions options);
  void step() override;
  void fields(state::FieldVisitor& visit) override;
  /// The model's lower solutions at the present x.
  [[nodiscard]] const std::vector<double>& inner() override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> notes() const override;
  [[nodiscard]] parallel::Traffic traffic() const override;

 private:
  [[nodiscard]] double width(std::size_t k) const;
  void draw(std::int64_t block, std::int64_t round);
  void shift(double sign);
  void respond(std::int64_t i, double sign);
  void train(std::int64_t i, std::int64_t round);
  void pull_outer(std::int64_t i, double sign, Out out);
  void move_model(std::int64_t i);

  StnOptions options_;
  bool own_ = false;  ///< the oracle has a response model
  double tau_ = 0.0, eta_ = 0.0;
  std::vector<double> s_;                    ///< widths, through softplus
  std::vector<std::vector<double>> models_;  ///< phi, or U [dy x dx], of each owned block
  Exchange differences_;                     ///< (G(x + e) - G(x - e)) / 2
  // scratch
  std::vector<double> z_, moved_, response_, slope_, upper_, pulled_, next_, back_, step_x_;
  std::vector<std::int64_t> lower_batch_, upper_batch_;
};

}  // namespace equipoise::bilevel
