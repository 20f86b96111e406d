#include "sample.hpp"

#include <equipoise/formats/libsvm.hpp>
#include <equipoise/parallel/agree.hpp>

#include <map>

namespace equipoise::formats {
namespace {

using parallel::Comm;

const Comm& world() {
  static const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  return comm;
}

/// Rank 0 writes the file; all ranks know its path.
class SharedFile {
 public:
  explicit SharedFile(std::string_view content) {
    if (world().rank() == 0) file_.emplace("shared", content);
    path_ = world().broadcast(file_ ? file_->path() : std::string());
  }
  ~SharedFile() { world().barrier(); }
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::optional<SampleFile> file_;
  std::string path_;
};

TEST(Libsvm, ParsesRowsCommentsAndBlankLines) {
  const LibsvmBlock block = parse_libsvm(
      "# a title\n+1 1:0.5 3:-2e-3 # a remark\n\n  -1\t2:7\r\n2.5\n0 2147483647:1", "train");
  EXPECT_EQ(block.labels, (std::vector<double>{1, -1, 2.5, 0}));
  EXPECT_EQ(block.offsets, (std::vector<std::int64_t>{0, 2, 3, 3, 4}));
  EXPECT_EQ(block.columns, (std::vector<std::int32_t>{0, 2, 1, 2147483646}));
  EXPECT_EQ(block.values, (std::vector<double>{0.5, -2e-3, 7, 1}));
  EXPECT_EQ(block.features, 2147483647);
  EXPECT_EQ(parse_libsvm("", "empty").rows(), 0);
}

TEST(Libsvm, RefusesWithThePlaceAndTheRemedy) {
  const auto expect = [](std::string_view line, std::string_view place, std::string_view text) {
    const std::string input = "1 1:1\n\n" + std::string(line) + "\n1 1:1\n";
    const std::string message = refusal([&] { (void)parse_libsvm(input, "train", 10); });
    EXPECT_TRUE(message.starts_with("train:12:" + std::string(place) + ": "))
        << line << " -> " << message;
    EXPECT_NE(message.find(text), std::string::npos) << line << " -> " << message;
  };
  expect("1 0:1", "3", "indices count from 1, so add 1");
  expect("1 -3:1", "3", "index -3");
  expect("1 x:1", "3", "not an integer");
  expect("1 1.5:1", "3", "not an integer");
  expect("1 :1", "3", "not an integer");
  expect("1 2147483648:1", "3", "above 2147483647");
  expect("1 99999999999999:1", "3", "above 2147483647");
  expect("1 2:1 1:1", "7", "index 1 follows index 2; sort");
  expect("1 2:1 2:3", "7", "merge repeated");
  expect("1 1:nan", "3", "not a finite number");
  expect("1 1:inf", "3", "not a finite number");
  expect("1 1:1e999", "3", "not a finite number");
  expect("1 1:", "3", "not a finite number");
  expect("1 1:2x", "3", "not a finite number");
  expect("1 1: 2", "3", "not a finite number");
  expect("1 7", "3", "no colon");
  expect("cat 1:1", "1", "the label 'cat'");
  expect("1:1 2:1", "1", "the label '1:1'");
  expect("nan 1:1", "1", "the label 'nan'");
  expect("3 qid:1 1:1", "3", "ranking data");
}

std::string numbered_rows(int rows) {
  std::string text;
  for (int row = 0; row < rows; ++row) {
    text += std::to_string(row) + " 1:" + std::to_string(row) + " " + std::to_string(2 + row % 5) +
            ":0.25" +
            (row % 3 == 0   ? "\r\n"
             : row % 7 == 0 ? "\n\n"
                            : "\n");
  }
  return text;
}

TEST(ReadLibsvm, RanksHoldConsecutiveRowsOfPlainAndPackedFiles) {
  const int rows = 1000;
  const std::string text = numbered_rows(rows);
  for (const std::string& content : {text, gzip(text), bzip2(text)}) {
    const SharedFile file(content);
    const LibsvmData data = read_libsvm(world(), file.path());
    EXPECT_EQ(data.rows, rows);
    EXPECT_EQ(data.features, 6);
    EXPECT_EQ(data.nonzeros, 2 * rows);
    EXPECT_EQ(world().sum(data.block.rows()), rows);
    bool right = true;
    for (std::size_t r = 0; r < data.block.labels.size(); ++r) {
      const auto row = static_cast<double>(data.first_row) + static_cast<double>(r);
      right = right && data.block.labels[r] == row && data.block.values[2 * r] == row;
    }
    EXPECT_TRUE(right);
  }
}

TEST(ReadLibsvm, FewerRowsThanRanks) {
  const SharedFile file("1 1:1\n");
  const LibsvmData data = read_libsvm(world(), file.path());
  EXPECT_EQ(data.rows, 1);
  EXPECT_EQ(world().sum(data.block.rows()), 1);
}

TEST(ReadLibsvm, ErrorsNameTheLineOnEveryRank) {
  for (const int bad : {0, 333, 999}) {
    std::string text;
    for (int row = 0; row < 1000; ++row) text += row == bad ? "1 2:1 1:1\n" : "1 1:1 2:1\n";
    for (const std::string& content : {text, bzip2(text)}) {
      const SharedFile file(content);
      const std::string message = refusal([&] { (void)read_libsvm(world(), file.path()); });
      EXPECT_TRUE(message.starts_with(file.path() + ":" + std::to_string(bad + 1) + ":7: "))
          << message;
    }
  }
}

TEST(ReadLibsvm, RefusesMissingAndEmptyFiles) {
  const std::string missing = refusal([&] { (void)read_libsvm(world(), "/nowhere/a9a"); });
  EXPECT_NE(missing.find("/nowhere/a9a: cannot be opened"), std::string::npos) << missing;
  for (const std::string& content : {std::string(), std::string("\n# nothing\n\n"), gzip("")}) {
    const SharedFile file(content);
    const std::string empty = refusal([&] { (void)read_libsvm(world(), file.path()); });
    EXPECT_NE(empty.find("holds no rows"), std::string::npos) << empty;
  }
}

struct Known {
  const char* file;
  std::int64_t rows, features, nonzeros;
  std::map<double, std::int64_t> labels;
};

/// Figures: README of the shared data sets, found by an independent program.
TEST(ReadLibsvm, PublishedDataSets) {
  const std::vector<Known> sets = {
      {"a9a", 32561, 123, 451592, {{-1, 24720}, {1, 7841}}},
      {"a9a.t", 16281, 122, 225731, {{-1, 12435}, {1, 3846}}},
      {"ijcnn1.trn.bz2", 49990, 22, 649870, {{-1, 45137}, {1, 4853}}},
      {"mushrooms.txt", 8124, 112, 170604, {{1, 3916}, {2, 4208}}},
      {"phishing.txt", 11055, 68, 331650, {{0, 4898}, {1, 6157}}},
      {"splice.txt", 3175, 60, 190500, {{-1, 1527}, {1, 1648}}},
      {"german.numer", 1000, 24, 24000, {{-1, 700}, {1, 300}}},
      {"reuters.tst.bz2", 3299, 8315, 136821, {{-1, 3120}, {1, 179}}},
      {"abalone.trn.bz2", 4177, 8, 32080, {}},
  };
  int found = 0;
  for (const Known& known : sets) {
    const std::string path = data_folder() + "/libsvm/" + known.file;
    if (!std::filesystem::exists(path)) continue;
    ++found;
    const LibsvmData data = read_libsvm(world(), path);
    EXPECT_EQ(data.rows, known.rows) << path;
    EXPECT_EQ(data.features, known.features) << path;
    EXPECT_EQ(data.nonzeros, known.nonzeros) << path;
    for (const auto& [label, count] : known.labels) {
      const auto here = std::count(data.block.labels.begin(), data.block.labels.end(), label);
      EXPECT_EQ(world().sum(static_cast<std::int64_t>(here)), count) << path;
    }
  }
  if (found == 0) GTEST_SKIP() << "no data sets under " << data_folder() << "; set EQUIPOISE_DATA";
}

}  // namespace
}  // namespace equipoise::formats
