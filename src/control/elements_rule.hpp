#pragma once

#include <equipoise/control/elements.hpp>

#include <Eigen/Dense>

#include <array>
#include <cmath>
#include <vector>

namespace equipoise::control {

using Slopes = std::array<Point, 10>;  ///< gradients of the basis functions of a cell

[[nodiscard]] inline double inner(const Point& a, const Point& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/// Values of the basis of degree 1 (width = corners) or 2 at barycentric coordinates l: corners,
/// then the middles of the edges 01 02 12 03 13 23.
[[nodiscard]] inline std::array<double, 10> basis_values(const std::array<double, 4>& l,
                                                         std::size_t width, std::size_t corners) {
  std::array<double, 10> values{};
  for (std::size_t k = 0; k < corners; ++k)
    values[k] = width == corners ? l[k] : l[k] * (2.0 * l[k] - 1.0);
  std::size_t at = corners;
  for (std::size_t b = 1; width > corners && b < corners; ++b) {
    for (std::size_t a = 0; a < b; ++a) values[at++] = 4.0 * l[a] * l[b];
  }
  return values;
}

/// A point of a quadrature rule; the weights sum to 1.
struct QuadraturePoint {
  std::array<double, 4> barycentric{};
  double weight = 0.0;
  std::array<double, 10> values{};
  /// Gradients of the basis, from those of the barycentric coordinates.
  [[nodiscard]] Slopes slopes(const std::array<Point, 4>& g, std::size_t width,
                              std::size_t corners) const {
    Slopes result{};
    const auto& l = barycentric;
    for (std::size_t d = 0; d < 3; ++d) {
      for (std::size_t k = 0; k < corners; ++k)
        result[k][d] = (width == corners ? 1.0 : 4.0 * l[k] - 1.0) * g[k][d];
      std::size_t at = corners;
      for (std::size_t b = 1; width > corners && b < corners; ++b) {
        for (std::size_t a = 0; a < b; ++a)
          result[at++][d] = 4.0 * (l[a] * g[b][d] + l[b] * g[a][d]);
      }
    }
    return result;
  }
};

/// Degree 4 on triangles with 6 points (Dunavant, IJNME 21, 1985), degree 5 on tetrahedra with 14
/// (Walkington).
struct FiniteElements::Rule {
  std::vector<QuadraturePoint> points;
  Rule(int dimension, int degree) {
    const auto corners = static_cast<std::size_t>(dimension) + 1;
    const std::size_t width = degree == 1 ? corners : corners * (corners + 1) / 2;
    const auto add = [&](std::array<double, 4> l, double weight) {
      points.push_back({l, weight, basis_values(l, width, corners)});
    };
    // Orbits of one distinguished corner: a at all corners but one.
    const auto vertex_orbit = [&](double a, double weight) {
      for (std::size_t k = 0; k < corners; ++k) {
        std::array<double, 4> l{};
        std::fill_n(l.begin(), corners, a);
        l[k] = 1.0 - static_cast<double>(dimension) * a;
        add(l, weight);
      }
    };
    if (dimension == 2) {
      vertex_orbit(0.445948490915965, 0.223381589678011);
      vertex_orbit(0.091576213509771, 0.109951743655322);
    } else {
      vertex_orbit(0.31088591926330060980, 0.11268792571801585080);
      vertex_orbit(0.092735250310891226402, 0.073493043116361949544);
      for (std::size_t b = 1; b < 4; ++b) {
        for (std::size_t a = 0; a < b; ++a) {
          std::array<double, 4> l{};
          l.fill(0.5 - 0.045503704125649649492);
          l[a] = l[b] = 0.045503704125649649492;
          add(l, 0.042546020777081466438);
        }
      }
    }
    double sum = 0.0;
    for (const auto& q : points) sum += q.weight;
    for (auto& q : points) q.weight /= sum;
  }
};

/// Volume, and gradients of the barycentric coordinates, of the simplex with these corners.
template <class Geometry, class Corner>
[[nodiscard]] Geometry simplex_geometry(int dimension, Corner&& corner) {
  Eigen::Matrix3d edges = Eigen::Matrix3d::Identity();
  const Point origin = corner(0);
  for (int k = 0; k < dimension; ++k) {
    const Point p = corner(static_cast<std::size_t>(k) + 1);
    for (int d = 0; d < dimension; ++d) {
      const auto a = static_cast<std::size_t>(d);
      edges(d, k) = p[a] - origin[a];
    }
  }
  const Eigen::Matrix3d inverse = edges.inverse();
  Geometry g;
  g.volume = std::abs(edges.determinant()) / (dimension == 2 ? 2.0 : 6.0);
  for (int k = 0; k < dimension; ++k) {
    for (int d = 0; d < dimension; ++d) {
      const auto a = static_cast<std::size_t>(d);
      g.slopes[static_cast<std::size_t>(k) + 1][a] = inverse(k, d);
      g.slopes[0][a] -= inverse(k, d);
    }
  }
  return g;
}

/// Barycentric coordinates of a point, from the slopes and the first corner.
[[nodiscard]] inline std::array<double, 4> barycentric(const std::array<Point, 4>& slopes,
                                                       const Point& first, const Point& x,
                                                       std::size_t corners) {
  std::array<double, 4> l{};
  const Point offset = {x[0] - first[0], x[1] - first[1], x[2] - first[2]};
  for (std::size_t k = 0; k < corners; ++k) l[k] = (k == 0 ? 1.0 : 0.0) + inner(slopes[k], offset);
  return l;
}

/// Smallest and largest eigenvalue of diag(M)^-1 M on the reference cell.
[[nodiscard]] inline std::pair<double, double> reference_mass_bounds(
    const std::vector<QuadraturePoint>& points, std::size_t width) {
  const auto n = static_cast<Eigen::Index>(width);
  Eigen::MatrixXd mass = Eigen::MatrixXd::Zero(n, n);
  for (const auto& q : points) {
    for (Eigen::Index i = 0; i < n; ++i) {
      for (Eigen::Index j = 0; j < n; ++j)
        mass(i, j) += q.weight * q.values[static_cast<std::size_t>(i)] *
                      q.values[static_cast<std::size_t>(j)];
    }
  }
  const Eigen::MatrixXd diagonal = mass.diagonal().asDiagonal();
  const Eigen::GeneralizedSelfAdjointEigenSolver<Eigen::MatrixXd> eigen(mass, diagonal,
                                                                        Eigen::EigenvaluesOnly);
  return {eigen.eigenvalues()(0), eigen.eigenvalues()(n - 1)};
}

}  // namespace equipoise::control
