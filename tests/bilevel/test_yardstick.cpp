// The quadratics of the benchopt comparison (the published comparison), whose samples have
// Hessians of rank one: only their mean is strongly convex.
#include <equipoise/bilevel/driver.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/random.hpp>

#include <Eigen/Dense>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace {

using namespace equipoise;
using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

MatrixXd normals(std::int64_t stream, Index rows, Index columns) {
  const parallel::Draw draw(11, parallel::Purpose::problem, stream);
  MatrixXd out(rows, columns);
  for (Index k = 0; k < out.size(); ++k) out.data()[k] = draw.normal(static_cast<std::uint64_t>(k));
  return out;
}

MatrixXd orthonormal(std::int64_t stream, Index rows, Index columns) {
  return Eigen::HouseholderQR<MatrixXd>(normals(stream, rows, columns)).householderQ() *
         MatrixXd::Identity(rows, columns);
}

/// Rows of the square root of a matrix with eigenvalues log-spaced in [.1, 1], `zeros` of them 0.
MatrixXd rank_one_rows(std::int64_t stream, Index n, Index d, Index zeros) {
  VectorXd root(d);
  for (Index k = 0; k < d; ++k)
    root[k] = k < zeros ? 0.0 : std::pow(10.0, -0.5 * static_cast<double>(k) / double(d - 1));
  return normals(stream, n, d) * root.asDiagonal() * orthonormal(stream + 1, d, d).transpose();
}

/// Sample j: (a_j.z)^2 / 2 + (c_j.x)^2 / 2 + (p_j.z)(q_j.x) + l_j.z + k_j.x.
struct LevelSamples {
  using Row = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Row a, c, p, q, l, k;
  MatrixXd zz, xx, xz;
  VectorXd z, x;
  LevelSamples(std::int64_t stream, Index n, Index dz, Index dx) {
    const Index r = std::min(dz, dx);
    const MatrixXd xi = normals(stream, n, r);
    a = rank_one_rows(stream + 1, n, dz, 0);
    c = rank_one_rows(stream + 3, n, dx, 1);
    p = 0.1 * xi * orthonormal(stream + 5, dz, r).transpose();
    q = xi * orthonormal(stream + 6, dx, r).transpose();
    l = normals(stream + 7, n, dz);
    k = normals(stream + 8, n, dx);
    const double share = 1.0 / static_cast<double>(n);
    zz = share * a.transpose() * a;
    xx = share * c.transpose() * c;
    xz = share * q.transpose() * p;
    z = l.colwise().mean().transpose();
    x = k.colwise().mean().transpose();
  }
};

class RankOneQuadratics {
 public:
  using In = bilevel::In;
  using Out = bilevel::Out;
  using Batch = bilevel::Batch;
  RankOneQuadratics(Index dz, Index dx, Index lower, Index upper)
      : lower_(100, lower, dz, dx), upper_(200, upper, dz, dx) {
    // Redrawn until F is convex.
    for (int draw = 1; draw < 20 && smallest() < 1e-12; ++draw)
      upper_ = LevelSamples(200 + 100 * draw, upper, dz, dx);
  }
  std::int64_t dim_outer() const { return lower_.xx.rows(); }
  std::int64_t num_blocks() const { return 1; }
  std::int64_t dim_inner(std::int64_t) const { return lower_.zz.rows(); }
  std::int64_t num_samples(std::int64_t, bilevel::Level level) const {
    return level == bilevel::Level::lower ? lower_.a.rows() : upper_.a.rows();
  }
  void grad_y_g(std::int64_t, Batch b, In x, In y, Out o) const { slope_z(lower_, b, x, y, o); }
  void grad_y_f(std::int64_t, Batch b, In x, In y, Out o) const { slope_z(upper_, b, x, y, o); }
  void grad_x_f(std::int64_t, Batch b, In x, In y, Out o) const {
    const auto& s = upper_;
    mean(
        b, o, [&] { return VectorXd(s.xx * of(x) + s.xz * of(y) + s.x); },
        [&](Index j, auto& out) {
          out +=
              s.c.row(j).dot(of(x)) * s.c.row(j) + s.p.row(j).dot(of(y)) * s.q.row(j) + s.k.row(j);
        });
  }
  void hvp_yy_g(std::int64_t, Batch b, In, In, In v, Out o) const {
    const auto& s = lower_;
    mean(
        b, o, [&] { return VectorXd(s.zz * of(v)); },
        [&](Index j, auto& out) { out += s.a.row(j).dot(of(v)) * s.a.row(j); });
  }
  void jvp_xy_g(std::int64_t, Batch b, In, In, In v, Out o) const {
    const auto& s = lower_;
    mean(
        b, o, [&] { return VectorXd(s.xz * of(v)); },
        [&](Index j, auto& out) { out += s.p.row(j).dot(of(v)) * s.q.row(j); });
  }
  void start(Out x) const { std::fill(x.begin(), x.end(), -2.0); }
  bilevel::Bounds bounds(std::int64_t, In, In) const { return {}; }

  VectorXd hypergradient(In x) const {
    const auto solver = lower_.zz.ldlt();
    const VectorXd y = -solver.solve(lower_.xz.transpose() * of(x) + lower_.z);
    const VectorXd v = solver.solve(upper_.zz * y + upper_.xz.transpose() * of(x) + upper_.z);
    return upper_.xx * of(x) + upper_.xz * y + upper_.x - lower_.xz * v;
  }

 private:
  static Eigen::Map<const VectorXd> of(In v) { return {v.data(), static_cast<Index>(v.size())}; }
  template <class Whole, class Add>
  static void mean(Batch batch, Out o, Whole whole, Add add) {
    Eigen::Map<VectorXd> out(o.data(), static_cast<Index>(o.size()));
    if (batch.empty()) {
      out = whole();
      return;
    }
    out.setZero();
    Eigen::Map<Eigen::RowVectorXd> row(o.data(), static_cast<Index>(o.size()));
    for (const auto j : batch) add(static_cast<Index>(j), row);
    out /= static_cast<double>(batch.size());
  }
  static void slope_z(const LevelSamples& s, Batch b, In x, In y, Out o) {
    mean(
        b, o, [&] { return VectorXd(s.zz * of(y) + s.xz.transpose() * of(x) + s.z); },
        [&](Index j, auto& out) {
          out +=
              s.a.row(j).dot(of(y)) * s.a.row(j) + s.q.row(j).dot(of(x)) * s.p.row(j) + s.l.row(j);
        });
  }
  double smallest() const {
    const MatrixXd j = -lower_.zz.ldlt().solve(lower_.xz.transpose());
    const MatrixXd cross = upper_.xz * j;
    const MatrixXd hessian = upper_.xx + cross + cross.transpose() + j.transpose() * upper_.zz * j;
    return Eigen::SelfAdjointEigenSolver<MatrixXd>(hessian).eigenvalues()(0);
  }

  LevelSamples lower_, upper_;
};

parallel::Comm world() {
  static const parallel::Comm comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
  return comm;
}

// B14 of docs/bilevel-studies.md: squared norm of grad F at most 1e-8, by the published steps. Both
// sizes dealt to the ranks.
TEST(Yardstick, SabaAndSrbaReachTheClosedForm) {
  struct Size {
    Index dz, dx, lower, upper;
  };
  int row = 0;
  for (const auto& size : {Size{100, 100, 1024, 1024}, Size{100, 10, 32768, 1024}}) {
    if (row++ % world().size() != world().rank()) continue;
    const RankOneQuadratics problem(size.dz, size.dx, size.lower, size.upper);
    for (const std::string stream : {"saga", "sarah"}) {
      bilevel::DriverOptions options;
      options.lower = options.linear = options.outer = stream;
      options.lower_step = options.outer_step = 0.1;
      options.batch = 64;
      options.evaluate_every = 0;
      bilevel::Driver driver({parallel::Comm(), bilevel::OracleView(problem), 64, 1}, options);
      double square = 1.0;
      int k = 0;
      while (k < 60000 && square > 1e-8) {
        for (int many = 0; many < 500; ++many, ++k) driver.step();
        square = problem.hypergradient(driver.outer()).squaredNorm();
      }
      EXPECT_LE(square, 1e-8) << stream << " " << size.dx << " after " << k;
      RecordProperty(stream + std::to_string(size.dx), k);
    }
  }
}

}  // namespace
