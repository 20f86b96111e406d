#include "support.hpp"

#include <equipoise/control/all_at_once.hpp>
#include <equipoise/control/elliptic.hpp>
#include <equipoise/control/mesh_space.hpp>
#include <equipoise/control/moreau_yosida.hpp>
#include <equipoise/parallel/agree.hpp>

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace equipoise::control {
namespace {

/// Writes a text to a file that all ranks can read; returns its path.
std::string file(const std::string& name, const std::string& text) {
  const std::string path =
      fmt::format("{}/mesh_test_{}_{}", EQUIPOISE_BINARY_DIR, world().size(), name);
  if (world().rank() == 0) std::ofstream(path) << text;
  world().barrier();
  return path;
}

/// A mesh as Gmsh 2.2 text: triangles of one box with tagged sides.
std::string gmsh_text(const Mesh& mesh) {
  std::string text = "$MeshFormat\n2.2 0 8\n$EndMeshFormat\n$Nodes\n";
  text += fmt::format("{}\n", mesh.points.size());
  for (std::size_t i = 0; i < mesh.points.size(); ++i) {
    const auto& x = mesh.points[i];
    text += fmt::format("{} {:.17g} {:.17g} {:.17g}\n", i + 1, x[0], x[1], x[2]);
  }
  text += fmt::format("$EndNodes\n$Elements\n{}\n", mesh.facets.size() + mesh.cells.size());
  std::size_t number = 0;
  const auto add = [&](int type, std::int64_t tag, const auto& nodes, int size) {
    text += fmt::format("{} {} 2 {} {}", ++number, type, tag, tag);
    for (int k = 0; k < size; ++k)
      text += fmt::format(" {}", nodes[static_cast<std::size_t>(k)] + 1);
    text += "\n";
  };
  const bool plane = mesh.dimension == 2;
  for (std::size_t f = 0; f < mesh.facets.size(); ++f)
    add(plane ? 1 : 2, mesh.facet_tags[f], mesh.facets[f], mesh.dimension);
  for (std::size_t c = 0; c < mesh.cells.size(); ++c)
    add(plane ? 2 : 4, 7, mesh.cells[c], mesh.dimension + 1);
  return text + "$EndElements\n";
}

/// The box mesh with its inner points moved by up to a fifth of a cell.
Mesh uneven_box(int dimension, std::int64_t cells) {
  Mesh mesh = box_mesh(dimension, cells);
  for (std::size_t i = 0; i < mesh.points.size(); ++i) {
    for (std::size_t d = 0; d < static_cast<std::size_t>(dimension); ++d) {
      double& x = mesh.points[i][d];
      if (x > 1e-9 && x < 1.0 - 1e-9)
        x += 0.4 / static_cast<double>(cells) * scrambled(static_cast<std::int64_t>(3 * i + d));
    }
  }
  return mesh;
}

double sines(const Point& x, int dimension) {
  double value = 1.0;
  for (std::size_t d = 0; d < static_cast<std::size_t>(dimension); ++d)
    value *= std::sin(std::numbers::pi * x[d]);
  return value;
}

struct OnMesh {
  std::shared_ptr<const FiniteElements> elements;
  std::shared_ptr<const MeshSpace> states, controls;
  std::shared_ptr<EquationFunctional> functional;
};

OnMesh on_mesh(const parallel::Comm& comm, const Mesh& mesh, int degree, const Elliptic& equation,
               TrackingTerms terms, const std::function<double(const Point&)>& target,
               Riesz riesz = Riesz::mass, const LinearSolves& solves = {}) {
  OnMesh s;
  s.elements = std::make_shared<FiniteElements>(comm, mesh, degree, std::vector<std::int64_t>{});
  s.states = std::make_shared<MeshSpace>(s.elements, Riesz::mass);
  s.controls = std::make_shared<MeshSpace>(s.elements, riesz);
  terms.target = s.elements->interpolate(target);
  s.functional = std::make_shared<EquationFunctional>(
      std::make_shared<EllipticEquation>(s.states, s.controls, equation, s.elements->vector()),
      std::make_shared<TrackingObjective>(s.states, std::move(terms)), solves);
  return s;
}

TEST(Mesh, ElementsIntegrateAndInterpolatePolynomialsExactly) {
  for (const int dimension : {2, 3}) {
    const FiniteElements p2(world(), uneven_box(dimension, 3), 2, {});
    EXPECT_NEAR(p2.volume(), 1.0, 1e-13);
    EXPECT_NEAR(p2.integrate([](const Place& q) { return std::pow(q.x[0], 4); }, {}), 0.2, 1e-13);
    EXPECT_NEAR(p2.integrate([](const Place& q) { return std::pow(q.x[0] * q.x[1], 2); }, {}),
                1.0 / 9.0, 1e-13);
    const auto quadratic = [](const Point& x) { return x[0] * x[1] - x[1] * x[1] + x[2]; };
    const auto v = p2.interpolate(quadratic);
    EXPECT_NEAR(
        p2.integrate([&](const Place& q) { return std::abs(q.values[0] - quadratic(q.x)); }, {v}),
        0.0, 1e-13);
    EXPECT_NEAR(p2.integrate([](const Place& q) { return std::abs(q.gradient[0] - q.x[1]); }, {v}),
                0.0, 1e-12);
    const auto values = p2.evaluation({{0.31, 0.47, 0.0}, {1.0, 1.0, 0.0}});
    linalg::Vector at;
    linalg::check(MatCreateVecs(values, nullptr, at.put()));
    linalg::check(MatMult(values, v, at));
    const linalg::ConstEntries samples(at);
    for (std::int64_t i = 0; i < samples.size(); ++i) {
      EXPECT_NEAR(std::min(std::abs(samples[i]), std::abs(samples[i] - 0.31 * 0.47 + 0.47 * 0.47)),
                  0.0, 1e-12);
    }
    EXPECT_THROW(static_cast<void>(p2.evaluation({{1.5, 0.5, 0.5}})), ConfigurationError);
  }
}

TEST(Mesh, TheMassSolverIsExactAndSymmetricOnAnyMesh) {
  for (const int degree : {1, 2}) {
    for (const int dimension : {2, 3}) {
      const FiniteElements elements(world(), uneven_box(dimension, 4), degree, {});
      const MeshSpace space(
          std::make_shared<FiniteElements>(elements.comm(), uneven_box(dimension, 4), degree,
                                           std::vector<std::int64_t>{}),
          Riesz::mass);
      Primal v = space.primal(), back = space.primal();
      Dual f = space.dual();
      linalg::check(VecCopy(
          elements.interpolate([](const Point& x) { return std::exp(x[0]) - x[1]; }), v.values));
      space.to_dual(v, f);
      space.to_primal(f, back);
      linalg::check(VecAXPY(back.values, -1.0, v.values));
      double error = 0.0;
      linalg::check(VecNorm(back.values, NORM_INFINITY, &error));
      EXPECT_LT(error, 1e-12) << degree << " " << dimension;
    }
  }
}

TEST(Mesh, GmshFilesAreReadRefinedAndTagged) {
  for (const int dimension : {2, 3}) {
    const Mesh written = box_mesh(dimension, 3);
    const std::string path = file(fmt::format("box{}.msh", dimension), gmsh_text(written));
    const Mesh read = read_gmsh(world(), path, 0);
    EXPECT_EQ(read.points.size(), written.points.size());
    EXPECT_EQ(read.cells.size(), written.cells.size());
    EXPECT_EQ(read.facets.size(), written.facets.size());
    EXPECT_EQ(read.cell_tags[0], 7);
    for (std::int64_t tag = 1; tag <= 2 * dimension; ++tag) {
      EXPECT_EQ(std::count(read.facet_tags.begin(), read.facet_tags.end(), tag),
                std::count(written.facet_tags.begin(), written.facet_tags.end(), tag));
    }
    const Mesh fine = read_gmsh(world(), path, 1);
    const std::size_t children = dimension == 2 ? 4 : 8;
    EXPECT_EQ(fine.cells.size(), children * written.cells.size());
    EXPECT_EQ(fine.facets.size(), children / 2 * written.facets.size());
    double volume = 0.0;
    for (std::size_t c = 0; c < fine.cells.size(); ++c) volume += std::abs(fine.volume(c));
    EXPECT_NEAR(volume, 1.0, 1e-12);
    // One side alone: its nodes are fixed, the others are free.
    const FiniteElements one_side(world(), read, 1, {1});
    for (std::size_t i = 0; i < one_side.points().size(); ++i)
      EXPECT_EQ(one_side.dirichlet()[i] != 0, one_side.points()[i][0] < 1e-9);
    try {
      FiniteElements(world(), read, 1, {99});
      ADD_FAILURE() << "an unknown tag was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::configuration);
      EXPECT_NE(std::string(error.what()).find("there are 1, 2, 3, 4"), std::string::npos);
    }
  }
}

TEST(Mesh, BrokenAndMixedFilesAreRefusedOnEveryRank) {
  const std::string good = gmsh_text(box_mesh(2, 2));
  const auto replaced = [&](const std::string& what, const std::string& with) {
    std::string text = good;
    text.replace(text.find(what), what.size(), with);
    return text;
  };
  const std::string head =
      "$MeshFormat\n2.2 0 8\n$EndMeshFormat\n$Nodes\n5\n1 0 0 0\n2 1 0 0\n3 1 1 0\n4 0 1 0\n5 2 0 "
      "1\n$EndNodes\n$Elements\n";
  for (const auto& [name, text] : std::vector<std::pair<std::string, std::string>>{
           {"empty", ""},
           {"garbage", "this is no mesh\n"},
           {"cut", good.substr(0, good.size() / 2)},
           {"cut_nodes", good.substr(0, good.find("$EndNodes") - 20)},
           {"letters", replaced("$Nodes\n9\n1 0", "$Nodes\n9\n1 x")},
           {"unknown_node", replaced(" 2 2 7 7 ", " 2 2 7 7 400 ")},
           {"quadrilaterals", head + "2\n1 3 2 1 1 1 2 3 4\n2 3 2 1 1 1 2 3 4\n$EndElements\n"},
           {"mixed", head + "2\n1 3 2 1 1 1 2 3 4\n2 2 2 1 1 1 2 5\n$EndElements\n"},
           {"mixed_dimension", head + "2\n1 4 2 1 1 1 2 3 5\n2 2 2 1 1 1 2 4\n$EndElements\n"},
           {"lines", head + "2\n1 1 2 1 1 1 2\n2 1 2 1 1 2 3\n$EndElements\n"},
           {"flat", head + "1\n1 2 2 1 1 1 2 2\n$EndElements\n"}}) {
    const std::string path = file(name + ".msh", text);
    try {
      static_cast<void>(read_gmsh(world(), path, 0));
      ADD_FAILURE() << name << " was read";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::input) << name << ": " << error.what();
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(static_cast<void>(read_gmsh(world(), "/nowhere.msh", 0)), Error);
}

TEST(Mesh, SecondOrderErrorsOnUnevenMeshes) {
  // y = yd/(1+c), u = lambda y, lambda = d pi^2, c = beta lambda^2.
  for (const int dimension : {2, 3}) {
    const double lambda = dimension * std::pow(std::numbers::pi, 2), beta = 1e-3;
    const double c = beta * lambda * lambda;
    std::vector<double> control_errors, state_errors;
    for (const std::int64_t n : dimension == 2 ? std::vector<std::int64_t>{6, 12, 24, 48}
                                               : std::vector<std::int64_t>{4, 8, 12, 16}) {
      const OnMesh s = on_mesh(world(), uneven_box(dimension, n), 1, {}, {.beta = beta},
                               [&](const Point& x) { return sines(x, dimension); });
      ReducedCg method(s.functional);
      EXPECT_GT(run(method, 1e-9, 12), 0);
      const auto error = [&](Vec v, double factor) {
        return std::sqrt(s.elements->integrate(
            [&](const Place& q) {
              return std::pow(q.values[0] - factor * sines(q.x, dimension), 2);
            },
            {v}));
      };
      s.functional->value(method.control());
      control_errors.push_back(error(method.control().values, lambda / (1.0 + c)));
      state_errors.push_back(error(s.functional->state(), 1.0 / (1.0 + c)));
    }
    const std::vector<double> ratio = dimension == 2 ? std::vector<double>{2.0, 2.0, 2.0}
                                                     : std::vector<double>{2.0, 1.5, 4.0 / 3.0};
    for (std::size_t k = 0; k < 3; ++k) {
      const double scale = std::log(ratio[k]);
      EXPECT_GT(std::log(control_errors[k] / control_errors[k + 1]) / scale, 1.7) << dimension << k;
      EXPECT_GT(std::log(state_errors[k] / state_errors[k + 1]) / scale, 1.7) << dimension << k;
    }
  }
}

TEST(Mesh, AnswersDoNotDependOnTheNumberOfRanks) {
  const Elliptic equation{.diffusion = 0.1, .reaction = 1.0, .cubic = 2.0, .advection = {1.0, 0.5}};
  const auto cost = [&](const parallel::Comm& comm) {
    const OnMesh s = on_mesh(comm, uneven_box(2, 9), 2, equation, {.beta = 1e-3}, corner_target);
    const auto u = s.elements->interpolate([](const Point& x) { return x[0] - 2.0 * x[1]; });
    Dual derivative = s.controls->dual();
    const double value = s.functional->value({linalg::copy(u)});
    s.functional->derivative(derivative);
    return std::pair(value, s.controls->norm(derivative));
  };
  const auto together = cost(world());
  const auto alone = cost(parallel::Comm());
  EXPECT_NEAR(together.first / alone.first, 1.0, 1e-10);
  EXPECT_NEAR(together.second / alone.second, 1.0, 1e-10);
}

TEST(Mesh, CountsDependOnTheMeshOnlyUnderTheWrongInnerProduct) {
  std::vector<int> right, wrong;
  for (const std::int64_t n : {8, 16, 32}) {
    for (const Riesz riesz : {Riesz::mass, Riesz::identity}) {
      const OnMesh s =
          on_mesh(world(), box_mesh(2, n, 0.9), 1, {}, {.beta = 1e-4}, corner_target, riesz);
      ReducedCg method(s.functional);
      (riesz == Riesz::mass ? right : wrong).push_back(run(method, 1e-8, 2000));
    }
  }
  EXPECT_NEAR(right[2], right[0], 2) << right[0] << " " << right[1];
  EXPECT_GT(wrong[2], wrong[1] + 4);
  EXPECT_GT(wrong[1], wrong[0] + 4);
}

linalg::Matrix stiffness_of(OnMesh& s) {
  return linalg::share(
      s.functional->equation().linearise(s.elements->vector(), s.elements->vector()));
}

TEST(Mesh, AllAtOnceAgreesWithReducedCgInFewIterations) {
  for (const int dimension : {2, 3}) {
    for (const double beta : {1e-2, 1e-4, 1e-6}) {
      for (const std::int64_t cells : {dimension == 2 ? 12 : 4, dimension == 2 ? 24 : 8}) {
        OnMesh s = on_mesh(world(), uneven_box(dimension, cells), 1, {.reaction = 0.5},
                           {.beta = beta}, corner_target);
        const AllAtOnceOptions options;
        AllAtOnce method(std::make_unique<MeshOptimality>(
                             s.states, stiffness_of(s), beta, options.shift(beta),
                             s.elements->interpolate(corner_target), s.elements->vector()),
                         options);
        EXPECT_LE(run(method, 1e-6), 25) << dimension << " " << beta << " " << cells;
        EXPECT_GT(run(method, 1e-11), 0);
        ReducedCg cg(s.functional);
        run(cg, 1e-9, 200);
        auto difference = method.point().control;
        linalg::check(VecAXPY(difference, -1.0, cg.control().values));
        double off = 0.0, size = 0.0;
        linalg::check(VecNorm(difference, NORM_2, &off));
        linalg::check(VecNorm(cg.control().values, NORM_2, &size));
        EXPECT_LT(off, 1e-6 * size) << dimension << " " << beta << " " << cells;
      }
    }
  }
}

TEST(Mesh, ABoundOfTheStateIsKeptAsOnTheGrid) {
  // y = sin sin touches its bound in a disc; test_moreau_yosida has the same problem on a grid.
  const double beta = 1e-3, pi = std::numbers::pi;
  const auto mode = [=](const Point& x, double k) {
    return std::sin(k * pi * x[0]) * std::sin(k * pi * x[1]);
  };
  const auto hump = [](const Point& x) {
    return 0.1 - std::pow(x[0] - 0.5, 2) - std::pow(x[1] - 0.5, 2);
  };
  const auto target = [&](const Point& x) {
    return mode(x, 1) + 10.0 * std::max(0.0, hump(x)) + 8.0 * pi * pi * beta * mode(x, 2);
  };
  const auto bound = [&](const Point& x) { return mode(x, 1) + std::max(0.0, -hump(x)); };
  std::vector<double> errors;
  for (const std::int64_t cells : {12, 24, 48}) {
    OnMesh s = on_mesh(world(), uneven_box(2, cells), 1, {}, {.beta = beta}, target);
    MeshStateConstrained method(s.states, stiffness_of(s), beta, s.elements->interpolate(target),
                                s.elements->interpolate([&](const Point& x) {
                                  return 2.0 * pi * pi * mode(x, 1) - mode(x, 2);
                                }),
                                s.elements->interpolate(bound), {.last_weight = 1e8});
    EXPECT_GT(run(method, 1e-6, 200), 0) << method.report().message;
    EXPECT_LE(*std::max_element(method.steps().begin() + 1, method.steps().end()), 6);
    auto y = s.elements->vector();
    {
      linalg::Entries values(y);
      std::copy(method.state().begin(), method.state().end(), values.span().begin());
    }
    errors.push_back(std::sqrt(s.elements->integrate(
        [&](const Place& q) { return std::pow(q.values[0] - mode(q.x, 1), 2); }, {y})));
  }
  EXPECT_GT(std::log2(errors[0] / errors[1]), 1.6) << errors[0] << " " << errors[1];
  EXPECT_GT(std::log2(errors[1] / errors[2]), 1.6) << errors[2];
}

TEST(Mesh, DerivativesHoldForEveryTermAndAWrongOneIsFound) {
  const auto smooth = [](const FiniteElements& e, double shift) {
    return Primal{e.interpolate([=](const Point& x) {
      return std::sin(3.0 * x[0] + shift) + std::cos(2.0 * x[1] - x[2] + shift);
    })};
  };
  const Elliptic all{.diffusion = 0.5,
                     .reaction = 1.0,
                     .cubic = 3.0,
                     .advection = {2.0, -1.0},
                     .streamline = true};
  const auto expect_all = [&](OnMesh& s, const std::string& what) {
    const auto found = check_equation(*s.functional, smooth(*s.elements, 0.1),
                                      smooth(*s.elements, 1.0), smooth(*s.elements, 2.0));
    for (const auto& item : found.items)
      EXPECT_TRUE(item.holds) << what << ": " << item.property << " " << item.figure;
  };
  TrackingTerms points{.beta = 1e-2, .cost = ControlCost::h1};
  points.points = {{0.3, 0.4}, {0.7, 0.2}};
  OnMesh observed = on_mesh(world(), box_mesh(2, 6, 0.6), 2, all, std::move(points), corner_target,
                            Riesz::h1, {.kind = "direct"});
  expect_all(observed, "points");
  OnMesh iterative = on_mesh(world(), box_mesh(2, 6, 0.6), 2, all, {.beta = 1e-2}, corner_target,
                             Riesz::mass, {.kind = "multigrid", .tolerance = 1e-13});
  expect_all(iterative, "multigrid");
  TrackingTerms region{.beta = 1e-2, .cost = ControlCost::bv, .smoothing = 0.3};
  region.observed = [](const Place& q) { return q.x[0] < 0.5; };
  OnMesh bv = on_mesh(world(), box_mesh(3, 3, 0.3), 1, {.cubic = 1.0}, std::move(region),
                      corner_target, Riesz::h1);
  expect_all(bv, "total variation");

  class Wrong : public EllipticEquation {
   public:
    using EllipticEquation::EllipticEquation;
    void control_adjoint(Vec p, Vec out) override {
      EllipticEquation::control_adjoint(p, out);
      linalg::check(VecScale(out, 1.0 + 1e-6));
    }
  };
  TrackingTerms terms{.beta = 1e-2};
  terms.target = bv.elements->interpolate(corner_target);
  EquationFunctional wrong(
      std::make_shared<Wrong>(bv.states, bv.states, Elliptic{}, bv.elements->vector()),
      std::make_shared<TrackingObjective>(bv.states, std::move(terms)));
  EXPECT_FALSE(check_equation(wrong, smooth(*bv.elements, 0.1), smooth(*bv.elements, 1.0),
                              smooth(*bv.elements, 2.0))
                   .holds());
}

TEST(Mesh, BadTermsAreRefused) {
  const Mesh mesh = box_mesh(2, 2);
  EXPECT_THROW(FiniteElements(world(), mesh, 3, {}), ConfigurationError);
  EXPECT_THROW(on_mesh(world(), mesh, 1, {.diffusion = 0.0}, {}, corner_target),
               ConfigurationError);
  EXPECT_THROW(on_mesh(world(), mesh, 1, {}, {.beta = 0.0}, corner_target), ConfigurationError);
  const OnMesh s = on_mesh(world(), mesh, 1, {}, {}, corner_target);
  const FiniteElements other(world(), box_mesh(2, 3), 1, {});
  TrackingTerms terms;
  terms.target = other.vector();
  EXPECT_THROW(TrackingObjective(s.states, std::move(terms)), ConfigurationError);
  OnMesh t = on_mesh(world(), mesh, 1, {}, {}, corner_target);
  const auto fits = s.elements->vector(), off = other.vector();
  EXPECT_THROW(MeshOptimality(s.states, stiffness_of(t), 0.0, 1.0, fits, fits), ConfigurationError);
  EXPECT_THROW(MeshOptimality(s.states, stiffness_of(t), 1.0, 1.0, off, fits), ConfigurationError);
  EXPECT_THROW(MeshStateConstrained(s.states, stiffness_of(t), 1.0, s.elements->vector(),
                                    s.elements->vector(),
                                    s.elements->interpolate([](const Point&) { return -1.0; }), {}),
               ConfigurationError);
  EXPECT_THROW(static_cast<void>(box_mesh(4, 2)), ConfigurationError);
}

}  // namespace
}  // namespace equipoise::control
