#pragma once

#include <equipoise/bilevel/dual.hpp>
#include <equipoise/bilevel/oracle.hpp>

#include <span>
#include <utility>
#include <vector>

namespace equipoise::bilevel {

/// An oracle whose lower gradients are templates of the scalar S:
/// `grad_y_g(i, batch, span<const S> x, span<const S> y, span<S> out)` and `grad_x_g` alike, for
/// double and Dual. Inside, call `exp`, `sqrt`, ... after `using std::exp;`.
template <class P>
concept TemplatedGradients = Oracle<P> && requires(const P& p, std::int64_t i, Batch batch,
                                                   std::span<const Dual> in, std::span<Dual> out) {
  p.grad_y_g(i, batch, in, in, out);
  p.grad_x_g(i, batch, in, in, out);
};

/// Adds the second-order calls to a model that has templated gradients only: one sweep over dual
/// numbers for each of Hyy v, Hxy v and Hxy^T u, about twice the cost of the gradient, no tape.
/// Everything else is the model's. Scratch: dx + dy + max(dx, dy) dual numbers a thread.
template <class Model>
class AutoOracle : public Model {
 public:
  using Model::Model;
  explicit AutoOracle(Model model) : Model(std::move(model)) {}

  void hvp_yy_g(std::int64_t i, Batch batch, In x, In y, In v, Out out) const {
    const Sweep s = sweep(x, {}, y, v, y.size());
    this->grad_y_g(i, batch, s.x, s.y, s.out);
    slopes(s.out, out);
  }
  void jvp_xy_g(std::int64_t i, Batch batch, In x, In y, In v, Out out) const {
    const Sweep s = sweep(x, {}, y, v, x.size());
    this->grad_x_g(i, batch, s.x, s.y, s.out);
    slopes(s.out, out);
  }
  void jvp_yx_g(std::int64_t i, Batch batch, In x, In y, In u, Out out) const {
    const Sweep s = sweep(x, u, y, {}, y.size());
    this->grad_y_g(i, batch, s.x, s.y, s.out);
    slopes(s.out, out);
  }
  void lower_pass(std::int64_t i, Batch batch, In x, In y, In v, Out gradient, Out hv,
                  Out jv) const {
    const Sweep s = sweep(x, {}, y, v, y.size());
    this->grad_y_g(i, batch, s.x, s.y, s.out);
    for (std::size_t k = 0; k < gradient.size(); ++k) gradient[k] = s.out[k].value;
    slopes(s.out, hv);
    jvp_xy_g(i, batch, x, y, v, jv);
  }

 private:
  struct Sweep {
    std::span<const Dual> x, y;
    std::span<Dual> out;
  };
  /// x + eps u and y + eps v (empty directions are 0), and room for `size` results.
  static Sweep sweep(In x, In u, In y, In v, std::size_t size) {
    static thread_local std::vector<Dual> scratch;
    if (scratch.size() < x.size() + y.size() + size) scratch.resize(x.size() + y.size() + size);
    const std::span<Dual> all(scratch);
    const auto a = all.first(x.size()), b = all.subspan(x.size(), y.size());
    for (std::size_t k = 0; k < a.size(); ++k) a[k] = {x[k], u.empty() ? 0.0 : u[k]};
    for (std::size_t k = 0; k < b.size(); ++k) b[k] = {y[k], v.empty() ? 0.0 : v[k]};
    return {a, b, all.subspan(x.size() + y.size(), size)};
  }
  static void slopes(std::span<const Dual> from, Out out) {
    for (std::size_t k = 0; k < out.size(); ++k) out[k] = from[k].slope;
  }
};

}  // namespace equipoise::bilevel
