// The ready problems on data: promises of their oracles, and reference figures.
#include <equipoise/bilevel/check.hpp>
#include <equipoise/bilevel/implicit.hpp>
#include <equipoise/bilevel/maid.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/formats/idx.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/bilevel/cleaning.hpp>
#include <equipoise/problems/bilevel/selection.hpp>
#include <equipoise/problems/bilevel/temperature.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <optional>

namespace {

using namespace equipoise;
using problems::LabelledRows;

parallel::Comm world() {
  static const parallel::Comm comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
  return comm;
}

std::string data(const std::string& name) {
  const char* const given = std::getenv("EQUIPOISE_DATA");
  return (given ? std::string(given) : std::string(EQUIPOISE_SOURCE_DIR "/../shared/data")) + "/" +
         name;
}

std::vector<double> random(std::int64_t n, double scale, std::int64_t stream) {
  std::vector<double> out(static_cast<std::size_t>(n));
  const parallel::Draw draw(7, parallel::Purpose::problem, stream);
  for (std::size_t k = 0; k < out.size(); ++k) out[k] = scale * draw.normal(k);
  return out;
}

LabelledRows synthetic(std::int64_t rows, std::int64_t features, std::int64_t stream) {
  LabelledRows out;
  out.features = features;
  const auto values = random(rows * features, 1.0, stream);
  const auto labels = random(rows, 1.0, stream + 1);
  for (std::int64_t r = 0; r < rows; ++r) {
    double sum = 0.5 * labels[static_cast<std::size_t>(r)];
    for (std::int64_t j = 0; j < features; ++j) {
      out.columns.push_back(static_cast<std::int32_t>(j));
      out.values.push_back(values[static_cast<std::size_t>(r * features + j)]);
      sum += j % 2 == 0 ? out.values.back() : 0.0;
    }
    out.labels.push_back(sum > 0.0 ? 1.0 : -1.0);
    out.offsets.push_back(static_cast<std::int64_t>(out.columns.size()));
  }
  return out;
}

problems::ClassRows digits(std::int64_t rows, std::int64_t stream) {
  problems::ClassRows out;
  out.dimension = 13;
  for (const double value : random(rows * 13, 1.0, 30 + stream))
    out.features.push_back(static_cast<float>(value));
  for (std::int64_t r = 0; r < rows; ++r) out.labels.push_back(static_cast<std::int32_t>(r % 10));
  return out;
}

void expect_promises(bilevel::OracleView oracle, std::int64_t block, double scale) {
  const auto x = random(oracle.dim_outer(), scale, 20),
             y = random(oracle.dim_inner(block), scale, 21);
  const auto checks = bilevel::check_oracle(oracle, block, x, y);
  EXPECT_GE(checks.size(), 18U);
  for (const auto& check : checks) EXPECT_TRUE(check.passed()) << check.name << " " << check.error;
}

TEST(Problems, OraclesKeepTheirPromises) {
  const problems::RegularisationSelection selection(synthetic(50, 6, 1), synthetic(30, 6, 3), {});
  expect_promises(selection, 0, 0.7);
  problems::TemperatureOptions options;
  options.train_rows = 40;
  options.blocks = 4;
  const problems::TemperatureReweighting temperature(synthetic(60, 5, 5), options);
  expect_promises(temperature, 2, 0.7);
  problems::CleaningOptions cleaning;
  expect_promises(problems::DataCleaning(digits(40, 1), digits(20, 2), digits(20, 3), cleaning, 1),
                  0, 0.5);
}

TEST(Problems, BadInputIsNamed) {
  problems::TemperatureOptions options;
  options.train_rows = 60;
  EXPECT_THROW(problems::TemperatureReweighting(synthetic(60, 5, 5), options), ConfigurationError);
  try {
    (void)problems::data_path("no/such/file");
    ADD_FAILURE();
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("EQUIPOISE_DATA"), std::string::npos);
  }
}

TEST(Selection, MaidFindsACriticalPointOfSmallData) {
  const problems::RegularisationSelection problem(synthetic(80, 6, 1), synthetic(60, 6, 3), {});
  bilevel::Maid maid({world(), bilevel::OracleView(problem)}, {});
  for (int k = 0; k < 300 && !(maid.report().residual <= 1e-7); ++k) maid.step();
  EXPECT_LE(maid.report().residual, 1e-7) << maid.report().message;
  EXPECT_FALSE(maid.hypergradient().certified);  // mu is computed, not proved
}

struct Ijcnn1 {
  LabelledRows train, validation;
};
std::optional<Ijcnn1> ijcnn1() {
  const auto train = data("libsvm/ijcnn1.trn.bz2"), test = data("libsvm/ijcnn1.tst.bz2");
  if (!std::filesystem::exists(train) || !std::filesystem::exists(test)) return std::nullopt;
  return Ijcnn1{problems::read_rows(train, false), problems::read_rows(test, false)};
}

// h at exact inner solutions, and B13: <= .20351 from x = -5 (best known .2034980473).
TEST(Selection, Ijcnn1) {
  if (world().size() > 1) GTEST_SKIP() << "one block: one rank does all the work";
  auto files = ijcnn1();
  if (!files) GTEST_SKIP() << "no ijcnn1 data; set EQUIPOISE_DATA";
  EXPECT_EQ(files->train.rows(), 49990);
  EXPECT_EQ(files->validation.rows(), 91701);
  const problems::RegularisationSelection problem(std::move(files->train),
                                                  std::move(files->validation), {});
  bilevel::CountedOracle oracle{bilevel::OracleView(problem)};
  const std::pair<double, double> figures[] = {
      {std::log(0.5), .6266191479}, {-2.0, .5216424970}, {-30.0, .2105487383}};
  for (const auto& [start, value] : figures) {
    const std::vector<double> x(22, start);
    std::vector<double> y(22);
    bilevel::solve_lower(oracle, 0, x, y, 1e-13, 60);
    EXPECT_NEAR(oracle.f(0, {}, x, y), value, 1e-9);
  }
  bilevel::Maid maid({world(), bilevel::OracleView(problem)}, {});
  int steps = 0;
  while (steps < 150 && !(maid.report().objective <= .20351)) {
    maid.step();
    ++steps;
  }
  EXPECT_LE(maid.report().objective, .20351) << steps << " steps";
}

// Section 9, R4: what the validation losses of single blocks change by from x = 0 to x = -2.
TEST(Temperature, A9aFigures) {
  if (!std::filesystem::exists(data("libsvm/a9a")))
    GTEST_SKIP() << "no a9a data; set EQUIPOISE_DATA";
  const problems::TemperatureReweighting problem(problems::read_rows(data("libsvm/a9a"), true), {});
  EXPECT_EQ(problem.dim_outer(), 26049);
  EXPECT_EQ(problem.dim_inner(0), 124);
  EXPECT_EQ(problem.num_samples(0, bilevel::Level::upper), 6512);
  bilevel::CountedOracle oracle{bilevel::OracleView(problem)};
  const std::pair<std::int64_t, double> figures[] = {{0, .3243133696 - .3237692015},
                                                     {49, .3243068146 - .3294816582},
                                                     {99, .3281384233 - .3438028891}};
  std::size_t row = 0;
  for (const auto& [block, change] : figures) {
    if (static_cast<int>(row++ % static_cast<std::size_t>(world().size())) != world().rank())
      continue;
    double value[2];
    for (const std::size_t k : {0U, 1U}) {
      const std::vector<double> x(26049, k == 0 ? 0.0 : -2.0);
      std::vector<double> y(124);
      EXPECT_TRUE(bilevel::solve_lower(oracle, block, x, y, 1e-12, 60).converged);
      value[k] = oracle.f(block, {}, x, y);
    }
    EXPECT_NEAR(value[0] - value[1], change, 3e-6);
  }
}

TEST(Cleaning, AreaUnderCurveAndErrors) {
  problems::CleaningOptions options;
  const problems::DataCleaning problem(digits(400, 1), digits(20, 2), digits(200, 3), options, 1);
  std::vector<double> x(400, 0.3);
  EXPECT_EQ(problem.area_under_curve(x), 0.5);  // all ties
  for (std::size_t k = 0; k < x.size(); ++k) x[k] = std::sin(static_cast<double>(k));
  const double area = problem.area_under_curve(x);
  for (double& entry : x) entry = -entry;
  EXPECT_NEAR(problem.area_under_curve(x), 1.0 - area, 1e-12);
  EXPECT_NEAR(problem.test_error(std::vector<double>(130, 0.0)), 90.0, 1e-12);  // all say class 0
}

TEST(Idx, RefusesWhatItCannotTrust) {
  const std::string path = testing::TempDir() + "equipoise_idx_" + std::to_string(world().rank());
  const auto write = [&](const std::string& bytes) {
    std::FILE* const file = std::fopen(path.c_str(), "wb");
    std::fwrite(bytes.data(), 1, bytes.size(), file);
    std::fclose(file);
  };
  using namespace std::string_literals;
  write("\0\0\x08\x02\0\0\0\x02\0\0\0\x03"s + "abcdef");
  const auto array = formats::read_idx(path);
  EXPECT_EQ(array.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(array.data[5], 'f');
  const std::pair<std::string, std::string> bad[] = {
      {"hello", "not an IDX file"},
      {"\0\0\x0D\x01\0\0\0\x01"s + "abcd", "element type 0x0d"},
      {"\0\0\x08\x02\0\0\0\x02"s, "cut short"},
      {"\0\0\x08\x01\0\0\0\x02"s + "a", "promises"},
      {"\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"s, "promises more"}};
  for (const auto& [bytes, part] : bad) {
    write(bytes);
    try {
      (void)formats::read_idx(path);
      ADD_FAILURE() << part;
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }
  std::remove(path.c_str());
}

}  // namespace
