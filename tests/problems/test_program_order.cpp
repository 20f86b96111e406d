#include "../../src/problems/vi/program_halpern.hpp"
#include "../../src/problems/vi/program_order.hpp"

#include <equipoise/formats/mps.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/partition/distributed_vector.hpp>
#include <equipoise/solve/run.hpp>
#include <equipoise/state/field_map.hpp>

#include <gtest/gtest.h>

#include <cmath>

namespace equipoise::problems {
namespace {

using Vector = std::vector<double>;

constexpr int blocks = 16;

/// A x >= A x0, x >= 0 at cost A'y0 + z0, with x0 z0 = 0 and y0 > 0: optimal at x0. Every column
/// meets `per_column` rows, of its own block or, without blocks, of all. Rows and columns shuffled.
struct Shuffled {
  std::int64_t rows, columns;
  std::int64_t per_column;
  bool in_blocks;
  double objective = 0.0;

  formats::MpsProgram make() {
    formats::MpsProgram p;
    const parallel::Draw draw(1, parallel::Purpose::problem, 0);
    p.cost.assign(static_cast<std::size_t>(columns), 0.0);
    p.lower.assign(p.cost.size(), 0.0);
    p.upper.assign(p.cost.size(), HUGE_VAL);
    p.row_lower.assign(static_cast<std::size_t>(rows), 0.0);
    p.row_upper.assign(p.row_lower.size(), HUGE_VAL);
    std::uint64_t next = 0;
    for (std::int64_t c = 0; c < columns; ++c) {
      const auto j = static_cast<std::size_t>(c * 7919 % columns);
      const bool positive = 4 * c % columns < rows;
      const double x = positive ? 1.0 + draw.uniform(next++) : 0.0;
      if (!positive) p.cost[j] += 0.1 + draw.uniform(next++);
      const std::int64_t height = in_blocks ? rows / blocks : rows;
      const std::int64_t first = in_blocks ? c * blocks / columns * height : 0;
      const auto start = draw.below(static_cast<std::uint64_t>(height), next++);
      for (std::int64_t k = 0; k < per_column; ++k) {
        // Different rows: the stride has no common factor with the heights used here.
        const std::int64_t stride = in_blocks ? 1 : 37 + 210 * (c % 101);
        const std::int64_t row = first + (static_cast<std::int64_t>(start) + k * stride) % height;
        const auto i = static_cast<std::size_t>(row * 6007 % rows);
        const double value = 0.5 + draw.uniform(next++);
        p.matrix.push_back({static_cast<std::int32_t>(i), static_cast<std::int32_t>(j), value});
        p.row_lower[i] += value * x;
        p.cost[j] += value;  // y0 = 1
      }
      objective += p.cost[j] * x;
    }
    return p;
  }
};

class ProgramOrderTest : public testing::Test {
 protected:
  parallel::Comm comm_ = parallel::Comm::duplicate(MPI_COMM_WORLD);
  void TearDown() override { comm_.close(); }

  static std::shared_ptr<const DistributedProgram> spread(const parallel::Comm& comm,
                                                          Shuffled shape) {
    return std::make_shared<const DistributedProgram>(DistributedProgram::spread(
        comm, comm.rank() == 0 ? shape.make() : formats::MpsProgram(), "shuffled"));
  }
  /// Numbers that eight runs of chunks need of each other.
  std::int64_t halo(const DistributedProgram& p) {
    const auto eight = [](const partition::Layout& l) {
      std::vector<std::int64_t> offsets;
      for (int k = 0; k <= 8; ++k)
        offsets.push_back(
            l.chunks().offsets()[static_cast<std::size_t>(k * l.chunks().parts() / 8)]);
      return partition::Partition::from_offsets(offsets);
    };
    const partition::DistributedMatrix matrix(comm_, p.rows.coordinates(), p.columns.coordinates(),
                                              p.matrix);
    return halo_between(comm_, matrix, eight(p.rows), eight(p.columns));
  }
};

TEST_F(ProgramOrderTest, PicksEntriesInAnyOrderWithRepeats) {
  const auto items = partition::Partition::uniform(10, comm_.size());
  Vector owned;
  for (auto i = items.range(comm_.rank()).begin; i < items.range(comm_.rank()).end; ++i)
    owned.push_back(100.0 + static_cast<double>(i));
  Pick pick(comm_, items, {9, 0, 4, 0});
  Vector out(pick.size());
  pick(owned, out);
  EXPECT_EQ(out, (Vector{109, 100, 104, 100}));
}

TEST_F(ProgramOrderTest, ShuffledBlocksHaveNoHalo) {
  const auto file =
      spread(comm_, {.rows = 640, .columns = 1280, .per_column = 5, .in_blocks = true});
  const ProgramOrder order(comm_, file, "graph");
  EXPECT_GT(halo(*file), 5000);
  // Sixteen blocks in eight parts; Scotch may cut one or two of them to balance.
  EXPECT_LT(halo(*order.program()), 300);
  EXPECT_EQ(order.program()->nonzeros, file->nonzeros);
}

TEST_F(ProgramOrderTest, TheOrderDoesNotDependOnTheNumberOfRanks) {
  const Shuffled shape = {.rows = 320, .columns = 640, .per_column = 4, .in_blocks = true};
  const auto together = ProgramOrder(comm_, spread(comm_, shape), "graph").program();
  const auto alone =
      ProgramOrder(parallel::Comm(), spread(parallel::Comm(), shape), "graph").program();
  EXPECT_EQ(together->columns.chunks(), alone->columns.chunks());
  EXPECT_EQ(together->rows.chunks(), alone->rows.chunks());
  const auto mine = together->columns.owned(comm_.rank());
  EXPECT_EQ(together->cost,
            Vector(alone->cost.begin() + mine.begin, alone->cost.begin() + mine.end));
}

TEST_F(ProgramOrderTest, ThereAndBackIsTheSame) {
  const auto file =
      spread(comm_, {.rows = 320, .columns = 640, .per_column = 4, .in_blocks = true});
  ProgramOrder order(comm_, file, "graph");
  Vector cost = file->cost, lower = file->row_lower;
  order.columns_from_file(cost);
  order.rows_from_file(lower);
  EXPECT_EQ(cost, order.program()->cost);
  EXPECT_EQ(lower, order.program()->row_lower);
  order.columns_to_file(cost);
  order.rows_to_file(lower);
  EXPECT_EQ(cost, file->cost);
  EXPECT_EQ(lower, file->row_lower);
}

TEST_F(ProgramOrderTest, AutoKeepsSmallFilesAndThoseWithoutOrder) {
  const auto small =
      spread(comm_, {.rows = 640, .columns = 1280, .per_column = 5, .in_blocks = true});
  EXPECT_EQ(ProgramOrder(comm_, small, "auto").program(), small);
  const auto everywhere =
      spread(comm_, {.rows = 6400, .columns = 12'800, .per_column = 8, .in_blocks = false});
  const ProgramOrder kept(comm_, everywhere, "auto");
  EXPECT_EQ(kept.program(), everywhere);
  EXPECT_NE(kept.note().find("few steps"), std::string::npos) << kept.note();
  const auto large =
      spread(comm_, {.rows = 6400, .columns = 12'800, .per_column = 8, .in_blocks = true});
  EXPECT_NE(ProgramOrder(comm_, large, "auto").program(), large);
}

TEST_F(ProgramOrderTest, TheAnswerIsThatOfTheFile) {
  Shuffled shape = {.rows = 160, .columns = 320, .per_column = 4, .in_blocks = true};
  (void)shape.make();
  const double optimum = shape.objective;
  const auto file =
      spread(comm_, {.rows = 160, .columns = 320, .per_column = 4, .in_blocks = true});
  for (const auto* polish : {"off", "auto"}) {
    HalpernOptions options;
    options.order = "graph";
    options.polish = polish;
    HalpernPdhg method(comm_, file, options, 1e-9);
    solve::StopOptions stop;
    stop.tolerance = 1e-9;
    stop.max_iterations = 100'000;
    const auto summary = solve::run(comm_, method, stop, {}, {}, {true, {}});
    EXPECT_EQ(summary.stop, solve::Stop::converged) << polish;
    EXPECT_NEAR(summary.objective, optimum, 1e-7 * optimum) << polish;
    // In the file's order.
    struct Stored : state::Stateful {
      explicit Stored(solve::Method& m) : method(m) {}
      void fields(state::FieldVisitor& visit) override { method.solution(visit); }
      solve::Method& method;
    } stored(method);
    state::FieldMap map;
    stored.fields(map);
    EXPECT_NEAR(partition::dot(comm_, file->columns, file->cost, map.doubles("x")), optimum,
                1e-7 * optimum)
        << polish;
  }
}

}  // namespace
}  // namespace equipoise::problems
