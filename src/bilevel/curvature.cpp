// Products with the Hessian of F at one point, for Newton-like directions.
#include <equipoise/bilevel/implicit.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::bilevel {
namespace {

using Vector = std::vector<double>;
/// Of linear solves without a factor, relative: conjugate gradients need a symmetric operator.
constexpr double accuracy = 1e-6;

/// The length of v that central differences around `point` move by.
double difference(double share, In point, In v) { return share * (1.0 + norm(point)) / norm(v); }

}  // namespace

void Implicit::linearise(In x, const Vector& y, const Vector& q) {
  x_.assign(x.begin(), x.end());
  y_ = y;
  q_ = q;
  if (kept_width_ == 0) return;
  blocks_->work([&] {
    for (std::int64_t i = blocks_->owned().begin; i < blocks_->owned().end; ++i)
      factorise({*oracle_, i, {}, x_, blocks_->of(std::as_const(y_), i)}, kept_of(i));
  });
}

/// w <- Hyy^{-1} w of a block at the point of `linearise`.
void Implicit::invert(std::int64_t block, Out w) {
  if (const In kept = kept_of(block); !kept.empty()) {
    solve_factorised(kept, w);
    return;
  }
  const In y = blocks_->of(std::as_const(y_), block);
  const Vector right(w.begin(), w.end());
  std::fill(w.begin(), w.end(), 0.0);
  solve_linear(solver_, {*oracle_, block, {}, x_, y}, right, w, accuracy * norm(right),
               options_.linear_limit, stored(block, x_, y).smoothness);
}

void Implicit::curvature(In v, Out out) {
  exchange_->clear();
  const double hx = norm(v) > 0.0 ? difference(1e-5, x_, v) : 0.0;
  blocks_->work([&] {
    const auto most = static_cast<std::size_t>(blocks_->largest_dim());
    Vector inner(most), moved(most), slope(most), cross(x_.size()), term(x_.size());
    Vector there[2] = {x_, x_};
    axpy(hx, v, there[0]);
    axpy(-hx, v, there[1]);
    for (std::int64_t i = blocks_->owned().begin; i < blocks_->owned().end && hx > 0.0; ++i) {
      const In y = blocks_->of(std::as_const(y_), i), q = blocks_->of(std::as_const(q_), i);
      const std::size_t n = y.size();
      const Out d = Out(inner).first(n), at = Out(moved).first(n), c = Out(slope).first(n);
      std::fill(term.begin(), term.end(), 0.0);
      for (const int side : {0, 1}) {
        const double share = (side == 0 ? 0.5 : -0.5) / hx;
        oracle_->grad_x_f(i, {}, there[side], y, cross);
        axpy(share, cross, term);
        oracle_->jvp_xy_g(i, {}, there[side], y, q, cross);
        axpy(-share, cross, term);
      }
      oracle_->jvp_yx_g(i, {}, x_, y, v, d);
      invert(i, d);
      if (norm(d) > 0.0) {
        const double h = difference(1e-6, y, d);
        for (std::size_t k = 0; k < n; ++k) at[k] = y[k] + h * d[k];
        oracle_->grad_y_f(i, {}, x_, at, c);
        for (std::size_t k = 0; k < n; ++k) at[k] = y[k] - h * d[k];
        oracle_->grad_y_f(i, {}, x_, at, d);
        for (std::size_t k = 0; k < n; ++k) d[k] = (c[k] - d[k]) / (2.0 * h);
        invert(i, d);
        oracle_->jvp_xy_g(i, {}, x_, y, d, cross);
        axpy(1.0, cross, term);
      }
      exchange_->add(i, 1.0, term);
    }
  });
  exchange_->dense(out);
}

}  // namespace equipoise::bilevel
