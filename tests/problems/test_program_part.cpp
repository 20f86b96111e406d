#include "../../src/problems/vi/program_part.hpp"

#include <equipoise/formats/mps.hpp>

#include <gtest/gtest.h>

#include <cmath>

namespace equipoise::problems {
namespace {

using Vector = std::vector<double>;

class ProgramPartTest : public testing::Test {
 protected:
  parallel::Comm comm_ = parallel::Comm::duplicate(MPI_COMM_WORLD);
  void TearDown() override { comm_.close(); }

  std::shared_ptr<const DistributedProgram> program(const std::string& text) {
    const auto whole =
        comm_.rank() == 0 ? formats::parse_mps(text, "test.mps") : formats::MpsProgram();
    return std::make_shared<const DistributedProgram>(
        DistributedProgram::spread(comm_, whole, "test.mps"));
  }
  /// This rank's entries of a whole vector.
  [[nodiscard]] Vector owned(const partition::Layout& layout, const Vector& whole) const {
    const auto mine = layout.owned(comm_.rank());
    return {whole.begin() + mine.begin, whole.begin() + mine.end};
  }
};

// Scaling makes the entries of [1 1; 1 -1] half as large; that matrix times sqrt 2 is orthogonal.
TEST_F(ProgramPartTest, TheNormIsTheLargestSingularValue) {
  const auto square = program(
      "NAME T\nROWS\n N C\n G P\n G Q\nCOLUMNS\n X P 1 Q 1\n Y P 1 Q -1\nRHS\n B P 1\nENDATA\n");
  EXPECT_NEAR(ScaledProgram(comm_, square).norm(), std::sqrt(0.5), 1e-12);
  const auto nothing =
      program("NAME T\nROWS\n N C\n G P\nCOLUMNS\n X C 1\n Y C 1\nRHS\n B P -1\nENDATA\n");
  EXPECT_EQ(ScaledProgram(comm_, nothing).norm(), 0.0);
}

// min x0 + 2 x1 + 3 x2 + 40 x3 + 50 x4 with sum x >= 1, and two rows far from their bounds: at the
// solution (1, 0, 0, 0, 0), y = (1, 0, 0), the first row stays and the nearer one of the others;
// two columns for each would be four more.
TEST_F(ProgramPartTest, KeepsWhatThePairLeavesOpenAndTheNearest) {
  std::string text =
      "NAME T\nROWS\n N C\n G SUM\n L NEAR\n L FAR\nCOLUMNS\n A C 1 SUM 1\n A NEAR 1 FAR 1\n"
      " B C 2 SUM 1\n D C 3 SUM 1\n E C 40 SUM 1\n F C 50 SUM 1\n";
  for (int k = 0; k < 3; ++k) text += " G" + std::to_string(k) + " C 60 SUM 1\n";
  const auto p = program(text + "RHS\n R SUM 1 NEAR 2\n R FAR 2000\nENDATA\n");
  ScaledProgram scaled(comm_, p);
  Vector x = owned(p->columns, {1, 0, 0, 0, 0, 0, 0, 0}), y = owned(p->rows, {1, 0, 0});
  for (std::size_t j = 0; j < x.size(); ++j) x[j] /= scaled.column_scale[j];
  for (std::size_t i = 0; i < y.size(); ++i) y[i] /= scaled.row_scale[i];
  const ProgramPart part = open_part(comm_, scaled, 1.0, 1.0, x, y);
  const std::vector<char> rows = {1, 1, 0}, columns = {1, 1, 1, 1, 1, 0, 0, 0};
  const auto kept = [&](const partition::Layout& layout, const std::vector<char>& whole) {
    const auto mine = layout.owned(comm_.rank());
    return std::vector<char>(whole.begin() + mine.begin, whole.begin() + mine.end);
  };
  EXPECT_EQ(part.rows, kept(p->rows, rows));
  EXPECT_EQ(part.columns, kept(p->columns, columns));

  GatheredPart local = gather_part(comm_, scaled, part, x, y);
  EXPECT_EQ(local.nonzeros, 6);
  if (comm_.rank() == 0) {
    EXPECT_EQ(local.program.cost, (Vector{1, 2, 3, 40, 50}));
    EXPECT_EQ(local.program.row_upper[1], 2.0);
    EXPECT_NEAR(local.x[0], 1.0, 1e-15);
    EXPECT_NEAR(local.y[0], 1.0, 1e-15);
    equilibrate(local.program);
    for (std::size_t j = 0; j < local.x.size(); ++j) local.x[j] /= local.program.column_scale[j];
    for (std::size_t i = 0; i < local.y.size(); ++i) local.y[i] /= local.program.row_scale[i];
    EXPECT_LE(local_kkt(local.program, local.x, local.y).largest(), 1e-14);
    local.x = {10, 11, 12, 13, 14};
  }
  Vector whole = owned(p->columns, {0, 0, 0, 0, 0, 5, 6, 7});
  scatter_part(comm_, part.columns, local.x, whole);
  EXPECT_EQ(whole, owned(p->columns, {10, 11, 12, 13, 14, 5, 6, 7}));
}

// A column that stays at its bound 3 leaves 4 of 10 to the others, and costs 6.
TEST_F(ProgramPartTest, ColumnsAtTheirBoundsMoveTheRows) {
  const auto p = program(
      "NAME T\nROWS\n N C\n E SUM\nCOLUMNS\n X C 1 SUM 1\n Y C 2 SUM 2\nRHS\n R SUM 10\n"
      "BOUNDS\n UP B Y 3\nENDATA\n");
  ScaledProgram scaled(comm_, p);
  ProgramPart part;
  const auto columns = p->columns.owned(comm_.rank());
  for (std::int64_t j = columns.begin; j < columns.end; ++j) part.columns.push_back(j == 0);
  part.rows.assign(static_cast<std::size_t>(p->rows.owned(comm_.rank()).size()), 1);
  Vector x = owned(p->columns, {0, 3}), y = owned(p->rows, {0});
  for (std::size_t j = 0; j < x.size(); ++j) x[j] /= scaled.column_scale[j];
  const GatheredPart local = gather_part(comm_, scaled, part, x, y);
  if (comm_.rank() == 0) {
    EXPECT_NEAR(local.program.row_lower[0], 4.0, 1e-14);
    EXPECT_NEAR(local.program.row_upper[0], 4.0, 1e-14);
    EXPECT_NEAR(local.program.constant, 6.0, 1e-14);
    EXPECT_EQ(local.program.cost, Vector{1.0});
  }
}

}  // namespace
}  // namespace equipoise::problems
