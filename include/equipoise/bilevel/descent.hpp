#pragma once

#include <equipoise/bilevel/method.hpp>

#include <vector>

namespace equipoise::bilevel {

struct DescentOptions {
  double step = 0.1;
  double accuracy = 1e-6;  ///< eps and delta of the solves, relative to nothing
  ImplicitOptions implicit;
  ExchangeOptions exchange;
  void describe(state::OptionVisitor& visit);
};

/// x <- proj(x - step * C(grad F(x))) with lower problems and linear systems solved to `accuracy`
/// (warm started), and the hypergradient passed through the exchange's codec C, with error feedback
/// where asked for.
///
/// The objective is F at the point before the step; the measure is |grad F| with its bound, known
/// where C is the identity.
class ImplicitDescent final : public MethodBase {
 public:
  ImplicitDescent(const Setup& setup, DescentOptions options);
  void step() override;
  void fields(state::FieldVisitor& visit) override;

 private:
  DescentOptions options_;
  Implicit implicit_;
  std::vector<double> q_, p_;
};

}  // namespace equipoise::bilevel
