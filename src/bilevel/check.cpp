#include <equipoise/bilevel/check.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>

namespace equipoise::bilevel {
namespace {

using Vector = std::vector<double>;

double relative(In a, In b) {
  double gap = 0.0, size = 1e-12;
  for (std::size_t k = 0; k < a.size(); ++k) {
    gap = std::max(gap, std::abs(a[k] - b[k]));
    size = std::max({size, std::abs(a[k]), std::abs(b[k])});
  }
  return std::isfinite(gap) ? gap / size : std::numeric_limits<double>::infinity();
}

class Checker {
 public:
  Checker(OracleView oracle, std::int64_t block, In x, In y, std::uint64_t seed)
      : oracle_(oracle),
        t_(oracle.table()),
        s_(oracle.self()),
        i_(block),
        x_(x.begin(), x.end()),
        y_(y.begin(), y.end()),
        u_(draw(x.size(), seed, 0)),
        v_(draw(y.size(), seed, 1)),
        w_(draw(y.size(), seed, 2)) {}

  std::vector<Check> run() {
    derivatives();
    structure();
    batches("grad_y_g", Level::lower, y_.size(),
            [&](Batch b, Out o) { t_.grad_y_g(s_, i_, b, x_, y_, o); });
    batches("grad_y_f", Level::upper, y_.size(),
            [&](Batch b, Out o) { t_.grad_y_f(s_, i_, b, x_, y_, o); });
    batches("grad_x_f", Level::upper, x_.size(),
            [&](Batch b, Out o) { t_.grad_x_f(s_, i_, b, x_, y_, o); });
    if (t_.hvp_yy_g) {
      batches("hvp_yy_g", Level::lower, y_.size(),
              [&](Batch b, Out o) { t_.hvp_yy_g(s_, i_, b, x_, y_, v_, o); });
    }
    if (t_.jvp_xy_g) {
      batches("jvp_xy_g", Level::lower, x_.size(),
              [&](Batch b, Out o) { t_.jvp_xy_g(s_, i_, b, x_, y_, v_, o); });
    }
    if (t_.lower_pass && t_.hvp_yy_g && t_.jvp_xy_g) fused();
    return std::move(checks_);
  }

 private:
  using Call = std::function<void(Batch, Out)>;

  static Vector draw(std::size_t n, std::uint64_t seed, std::int64_t stream) {
    Vector out(n);
    const parallel::Draw numbers(seed, parallel::Purpose::probe, stream);
    for (std::size_t k = 0; k < n; ++k) out[k] = numbers.normal(k);
    return out;
  }
  static Vector moved(const Vector& from, const Vector& along, double h) {
    Vector out = from;
    axpy(h, along, out);
    return out;
  }
  void add(std::string name, double error, double tolerance) {
    checks_.push_back({std::move(name), error, tolerance});
  }
  /// Central differences of `call(x, y)` along (ux, vy) against `expected`; two steps, the better
  /// counts.
  void differences(const std::string& name,
                   const std::function<Vector(const Vector&, const Vector&)>& call, bool outer,
                   const Vector& expected) {
    double error = std::numeric_limits<double>::infinity();
    for (const double h : {1e-4, 1e-5, 1e-6}) {
      const Vector up = outer ? call(moved(x_, u_, h), y_) : call(x_, moved(y_, v_, h));
      const Vector down = outer ? call(moved(x_, u_, -h), y_) : call(x_, moved(y_, v_, -h));
      Vector slope(up.size());
      for (std::size_t k = 0; k < slope.size(); ++k) slope[k] = (up[k] - down[k]) / (2.0 * h);
      error = std::min(error, relative(slope, expected));
    }
    add(name + " against finite differences", error, 1e-6);
  }
  Vector gradient(OracleView::Gradient call, const Vector& x, const Vector& y,
                  std::size_t n) const {
    Vector out(n);
    call(s_, i_, {}, x, y, out);
    return out;
  }
  Vector product(OracleView::Product call, const Vector& v, std::size_t n) const {
    Vector out(n);
    call(s_, i_, {}, x_, y_, v, out);
    return out;
  }

  void derivatives() {
    const std::size_t dx = x_.size(), dy = y_.size();
    const auto slope = [&](OracleView::Gradient call, bool outer) {
      return Vector{outer ? dot(gradient(call, x_, y_, dx), u_)
                          : dot(gradient(call, x_, y_, dy), v_)};
    };
    const auto value = [&](OracleView::Value call) {
      return
          [this, call](const Vector& x, const Vector& y) { return Vector{call(s_, i_, {}, x, y)}; };
    };
    const auto lower = [this, dy](const Vector& x, const Vector& y) {
      return gradient(t_.grad_y_g, x, y, dy);
    };
    if (t_.g) differences("grad_y_g", value(t_.g), false, slope(t_.grad_y_g, false));
    if (t_.g && t_.grad_x_g) differences("grad_x_g", value(t_.g), true, slope(t_.grad_x_g, true));
    if (t_.f) {
      differences("grad_y_f", value(t_.f), false, slope(t_.grad_y_f, false));
      differences("grad_x_f", value(t_.f), true, slope(t_.grad_x_f, true));
    }
    if (t_.hvp_yy_g) differences("hvp_yy_g", lower, false, product(t_.hvp_yy_g, v_, dy));
    if (t_.jvp_yx_g) differences("jvp_yx_g", lower, true, product(t_.jvp_yx_g, u_, dy));
    if (t_.jvp_xy_g) {
      // <u, Hxy v> is the derivative of <v, grad_y g> along u.
      const auto along = [&](const Vector& x, const Vector& y) {
        return Vector{dot(lower(x, y), v_)};
      };
      differences("jvp_xy_g", along, true, Vector{dot(product(t_.jvp_xy_g, v_, dx), u_)});
    }
  }

  void structure() {
    const std::size_t dx = x_.size(), dy = y_.size();
    if (t_.hvp_yy_g) {
      const Vector hv = product(t_.hvp_yy_g, v_, dy), hw = product(t_.hvp_yy_g, w_, dy);
      add("symmetry of Hyy", std::abs(dot(w_, hv) - dot(hw, v_)) / (norm(w_) * norm(hv) + 1e-300),
          1e-10);
      add("curvature of g in y is positive", dot(v_, hv) > 0.0 ? 0.0 : 1.0, 0.0);
      if (t_.hess_yy_g) {
        Vector dense(dy * dy), dense_v(dy);
        t_.hess_yy_g(s_, i_, {}, x_, y_, dense);
        for (std::size_t k = 0; k < dy; ++k) dense_v[k] = dot(In(dense).subspan(k * dy, dy), v_);
        add("hess_yy_g v = hvp_yy_g", relative(dense_v, hv), 1e-10);
      }
    }
    if (t_.jvp_xy_g && t_.jvp_yx_g) {
      const Vector a = product(t_.jvp_xy_g, v_, dx), b = product(t_.jvp_yx_g, u_, dy);
      add("adjointness of Hxy and Hyx",
          std::abs(dot(u_, a) - dot(b, v_)) / (norm(u_) * norm(a) + 1e-300), 1e-10);
    }
  }

  void batches(const std::string& name, Level level, std::size_t size, const Call& call) {
    const std::int64_t n = oracle_.num_samples(i_, level);
    Vector whole(size), again(size), part(size), sum(size);
    call({}, whole);
    call({}, again);
    add(name + ": two calls, same bits",
        std::memcmp(whole.data(), again.data(), size * sizeof(double)) == 0 ? 0.0 : 1.0, 0.0);
    std::vector<std::int64_t> ids(static_cast<std::size_t>(n));
    std::iota(ids.begin(), ids.end(), std::int64_t{0});
    const std::size_t half = ids.size() / 2;
    for (const auto piece : {Batch(ids).first(half), Batch(ids).subspan(half)}) {
      if (piece.empty()) continue;
      call(piece, part);
      axpy(static_cast<double>(piece.size()) / static_cast<double>(n), part, sum);
    }
    add(name + ": batches average to the whole", relative(sum, whole), 1e-9);
  }

  void fused() {
    const std::size_t dx = x_.size(), dy = y_.size();
    Vector gradient(dy), hv(dy), jv(dx), expected(dy);
    t_.lower_pass(s_, i_, {}, x_, y_, v_, gradient, hv, jv);
    t_.grad_y_g(s_, i_, {}, x_, y_, expected);
    const double error =
        std::max({relative(gradient, expected), relative(hv, product(t_.hvp_yy_g, v_, dy)),
                  relative(jv, product(t_.jvp_xy_g, v_, dx))});
    add("lower_pass = separate calls", error, 1e-12);
  }

  OracleView oracle_;
  const OracleView::Table& t_;
  const void* s_;
  std::int64_t i_;
  Vector x_, y_, u_, v_, w_;
  std::vector<Check> checks_;
};

}  // namespace

std::vector<Check> check_oracle(OracleView oracle, std::int64_t block, In x, In y,
                                std::uint64_t seed) {
  return Checker(oracle, block, x, y, seed).run();
}

}  // namespace equipoise::bilevel
