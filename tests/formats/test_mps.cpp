#include "sample.hpp"

#include <equipoise/formats/mps.hpp>

#include <cmath>
#include <limits>

namespace equipoise::formats {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

constexpr std::string_view small = R"(* a comment
NAME          SMALL
OBJSENSE
    MIN
ROWS
 N  COST
 L  LIM1
 G  LIM2
 E  MYEQN
 N  OTHER
 E  RANGED
COLUMNS
    X         COST         1.0   LIM1         1.0
    X         LIM2         1.0   OTHER        7.0
    MARK      'MARKER'                 'INTORG'
    Y         COST         2.0   LIM1         1.0
    Y         MYEQN       -1.0   RANGED       3.0
    MARK      'MARKER'                 'INTEND'
    Z         COST        -1.0   MYEQN        1.0
RHS
    RHS       COST        -2.5   LIM1         4.0
    RHS       LIM2         1.0   MYEQN        7.0
    RHS       RANGED       5.0
RANGES
    RNG       LIM1         2.5   LIM2         3.0
    RNG       RANGED      -4.0
BOUNDS
 UP BND       X            4.0
 LO BND       Y           -1.0
 UP BND       Y            1.0
 UP BND       Z           -2.0
ENDATA
)";

TEST(Mps, ReadsEverySectionByItsRules) {
  const MpsProgram p = parse_mps(small, "small.mps");
  EXPECT_EQ(p.name, "SMALL");
  EXPECT_EQ(p.objective_name, "COST");
  EXPECT_EQ(p.column_names, (std::vector<std::string>{"X", "Y", "Z"}));
  EXPECT_EQ(p.row_names, (std::vector<std::string>{"LIM1", "LIM2", "MYEQN", "RANGED"}));
  EXPECT_EQ(p.cost, (std::vector<double>{1.0, 2.0, -1.0}));
  EXPECT_EQ(p.constant, 2.5);  // minus the RHS of the objective
  EXPECT_EQ(p.matrix.size(), 6U);
  EXPECT_EQ(p.row_lower, (std::vector<double>{1.5, 1.0, 7.0, 1.0}));
  EXPECT_EQ(p.row_upper, (std::vector<double>{4.0, 4.0, 7.0, 5.0}));
  EXPECT_EQ(p.lower, (std::vector<double>{0.0, -1.0, -infinity}));  // negative UP, no LO
  EXPECT_EQ(p.upper, (std::vector<double>{4.0, 1.0, -2.0}));
}

TEST(Mps, FreeAndFixedFormatAndPackedFilesAgree) {
  std::string squeezed;
  for (bool blank = false; const char c : small) {
    if (c != ' ' || !blank) squeezed += c;
    blank = c == ' ';
  }
  const SampleFile packed("small.mps.gz", gzip(squeezed));
  const MpsProgram p = read_mps(packed.path());
  EXPECT_EQ(p.upper, parse_mps(small, "small.mps").upper);

  // Names with blanks: only the columns of the fixed format tell the fields.
  const MpsProgram q = parse_mps(
      "NAME          BLANKS\nROWS\n N  COST\n G  MY ROW\nCOLUMNS\n"
      "    MY COL    COST              3.0    MY ROW           2.0\nRHS\n"
      "    RHS       MY ROW            1.0\nBOUNDS\n UP BND       MY COL            9.0\nENDATA\n",
      "blanks.mps");
  EXPECT_EQ(q.column_names, std::vector<std::string>{"MY COL"});
  EXPECT_EQ(q.row_names, std::vector<std::string>{"MY ROW"});
  EXPECT_EQ(q.upper, std::vector<double>{9.0});
  EXPECT_EQ(q.row_lower, std::vector<double>{1.0});
}

std::string with(std::string_view bounds, std::string_view more = "") {
  return std::string(
             "NAME T\nROWS\n N C\n G R\nCOLUMNS\n X C 1 R 1\n Y R 1\nRHS\n B R 1\nBOUNDS\n") +
         std::string(bounds) + std::string(more) + "ENDATA\n";
}

TEST(Mps, BoundsOfEveryType) {
  const auto check = [](std::string_view line, double lower, double upper) {
    const MpsProgram p = parse_mps(with(line), "t");
    EXPECT_EQ(p.lower[0], lower) << line;
    EXPECT_EQ(p.upper[0], upper) << line;
  };
  check(" MI B X\n", -infinity, infinity);
  check(" PL B X\n", 0.0, infinity);
  check(" BV B X\n", 0.0, 1.0);
  check(" FR B X\n", -infinity, infinity);
  check(" FX B X -3\n", -3.0, -3.0);
  check(" LO B X 2\n UP B X 3\n", 2.0, 3.0);
  check(" MI B X\n UP B X -1\n", -infinity, -1.0);
  check(" LO B X -5\n UP B X -1\n", -5.0, -1.0);
  check(" UP B X 1e30\n", 0.0, infinity);
  check(" LO B X -Inf\n", -infinity, infinity);
  check(" UP X 7\n", 0.0, 7.0);  // no name of the set
}

TEST(Mps, QuadraticSectionsGiveBothTriangles) {
  const MpsProgram half = parse_mps(with("", "QUADOBJ\n X X 2\n X Y -1\n Y Y 4\n"), "t");
  const MpsProgram full = parse_mps(with("", "QMATRIX\n X X 2\n X Y -1\n Y X -1\n Y Y 4\n"), "t");
  EXPECT_EQ(half.quadratic.size(), 4U);
  for (std::size_t k = 0; k < 4; ++k) EXPECT_EQ(half.quadratic[k].value, full.quadratic[k].value);
}

TEST(Mps, MaximisationIsTurnedRound) {
  const MpsProgram p = parse_mps(
      "NAME T\nOBJSENSE MAX\nROWS\n N C\n L R\nCOLUMNS\n X C 2 R 1\nRHS\n B C 3 R 1\nENDATA\n",
      "t");
  EXPECT_TRUE(p.maximise);
  EXPECT_EQ(p.cost, std::vector<double>{-2.0});
  EXPECT_EQ(p.constant, 3.0);
}

TEST(Mps, AnObjectiveMayBeMissing) {
  const MpsProgram p = parse_mps("NAME T\nROWS\n L R\nCOLUMNS\n X R 1\nRHS\n B R 1\nENDATA\n", "t");
  EXPECT_EQ(p.objective_name, "");
  EXPECT_EQ(p.cost, std::vector<double>{0.0});
}

TEST(Mps, BadFilesAreRefusedWithTheirPlace) {
  const auto expect = [](const std::string& text, std::string_view place, std::string_view what) {
    const std::string message = refusal([&] { (void)parse_mps(text, "bad.mps"); });
    EXPECT_TRUE(message.starts_with(place)) << message;
    EXPECT_NE(message.find(what), std::string::npos) << message;
  };
  expect("NAME T\nROWS\n N C\n G R\n L R\nENDATA\n",
         "bad.mps:5: ", "row R stands twice, first in line 4");
  expect("NAME T\nROWS\n N C\n G R\nCOLUMNS\n X R 1\n Y R 1\n X C 1\nENDATA\n",
         "bad.mps:8: ", "column X stands twice");
  expect("NAME T\nROWS\n N C\n G R\nCOLUMNS\n X R 1\n X R 2\nENDATA\n",
         "bad.mps:7: ", "two coefficients");
  expect("NAME T\nROWS\n N C\nSTUFF\n", "bad.mps:4: ", "section STUFF is unknown");
  expect("NAME T\nROWS\n N C\n G R\nCOLUMNS\n X R 1\n", "bad.mps:6: ", "without ENDATA");
  expect("NAME T\nROWS\n N C\n G R\nCOLUMNS\n X R inf\nENDATA\n",
         "bad.mps:6: ", "not a finite number");
  expect("NAME T\nROWS\n N C\n G R\nCOLUMNS\n X R nan\nENDATA\n",
         "bad.mps:6: ", "not a finite number");
  expect("NAME T\nROWS\n N C\n G R\nCOLUMNS\n X S 1\nENDATA\n",
         "bad.mps:6: ", "row S does not stand");
  expect("NAME T\nROWS\n Q C\nENDATA\n", "bad.mps:3: ", "row type Q");
  expect("NAME T\nROWS\n N C\nENDATA\n", "bad.mps:4: ", "no columns");
  expect(with(" SC B X 3\n"), "bad.mps:11: ", "nonconvex");
  expect(with(" XX B X 3\n"), "bad.mps:11: ", "bound type XX");
  expect(with(" UP B Q 3\n"), "bad.mps:11: ", "column Q does not stand");
  expect(with(" LO B Y 3\n UP B Y 2\n"), "bad.mps: the program is infeasible: column Y",
         "3 above the upper bound 2");
  expect(" X 1\n", "bad.mps:1: ", "expected an MPS file");
}

TEST(Mps, NetlibFiles) {
  const std::string folder = data_folder() + "/lp/netlib";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "shared data not found: " << folder;
  const MpsProgram e226 = read_mps(folder + "/e226.mps.gz");
  EXPECT_EQ(e226.row_names.size(), 223U);
  EXPECT_EQ(e226.column_names.size(), 282U);
  EXPECT_EQ(e226.constant, 7.113);
  const MpsProgram boeing2 = read_mps(folder + "/boeing2.mps.gz");
  EXPECT_EQ(boeing2.row_names.size(), 166U);
  std::size_t ranged = 0;
  for (std::size_t i = 0; i < 166; ++i) {
    ranged += std::isfinite(boeing2.row_lower[i]) && std::isfinite(boeing2.row_upper[i]) &&
              boeing2.row_lower[i] < boeing2.row_upper[i];
  }
  EXPECT_EQ(ranged, 19U);
}

}  // namespace
}  // namespace equipoise::formats
