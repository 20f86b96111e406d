#include <equipoise/parallel/error.hpp>
#include <equipoise/state/config.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace equipoise::state {
namespace {

struct Sample {
  double step = 0.5;
  std::int64_t count = 10;
  bool restart = true;
  std::string codec = "identity";
  std::vector<double> weights = {1.0, 0.1};
  std::vector<std::string> names;
  std::string measure = "residual";
  void describe(OptionVisitor& visit) {
    visit.option("step", step, "step size", positive);
    visit.option("count", count, "how many", at_least_one);
    visit.option("restart", restart, "whether to restart");
    visit.option("codec", codec, "compressor");
    visit.option("weights", weights, "weights", non_negative);
    visit.option("names", names, "names");
    visit.choice("measure", measure, {"residual", "distance", "gap"}, "what to measure");
  }
};

/// The message of the ConfigurationError that `work` throws, or "" if it throws none.
template <class Work>
std::string refusal(const Work& work) {
  try {
    work();
  } catch (const ConfigurationError& error) {
    return error.what();
  }
  return "";
}

Sample read(Config& config) {
  Sample sample;
  config.read("method", sample);
  return sample;
}

std::string refused(const std::string& assignment) {
  return refusal([&] {
    Config config;
    config.assign(assignment);
    read(config);
  });
}

testing::AssertionResult has(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "`" << part << "` is missing in: " << text;
}

TEST(Config, ReadsEveryTypeFromTablesAndDottedKeys) {
  auto config = Config::parse(R"(
other.step = 1e-7
[method]
step = 1e-7
count = 1_000
restart = false
codec = "topk:0.01"
weights = [1, 2.5]
names = ["a", 'b c']
measure = "gap"
)",
                              "case.toml");
  const Sample sample = read(config);
  EXPECT_EQ(sample.step, 1e-7);
  EXPECT_EQ(sample.count, 1000);
  EXPECT_FALSE(sample.restart);
  EXPECT_EQ(sample.codec, "topk:0.01");
  EXPECT_EQ(sample.weights, (std::vector<double>{1.0, 2.5}));
  EXPECT_EQ(sample.names, (std::vector<std::string>{"a", "b c"}));
  EXPECT_EQ(sample.measure, "gap");
  EXPECT_EQ(config.text("other.step"), "1e-07");
  EXPECT_NO_THROW(config.reject_unused());
}

TEST(Config, SyntaxErrorsNameFileLineAndColumn) {
  const auto message = refusal([] { Config::parse("a = 1\nb = = 2\n", "case.toml"); });
  EXPECT_EQ(message.rfind("case.toml:2:", 0), 0U) << message;
  EXPECT_TRUE(has(refusal([] { Config::parse("a = 1\na = 2\n", "x.toml"); }), "x.toml:2:"));
  EXPECT_TRUE(has(refusal([] { Config::parse("when = 2020-01-01\n", "x.toml"); }), "x.toml:1:8"));
  EXPECT_TRUE(has(refusal([] { Config::parse("[[t]]\na = 1\n", "x.toml"); }), "`t`"));
}

TEST(Config, MissingFileIsAnInputError) {
  EXPECT_THROW(Config::load("/no/such/case.toml"), InputError);
  EXPECT_THROW(Config::load("/"), InputError);
}

TEST(Config, AssignmentsAreTomlOrPlainText) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"topk:0.01", "topk:0.01"},
      {"masha1", "masha1"},
      {"data/my file.txt", "data/my file.txt"},
      {"\"quoted\"", "quoted"},
      {"5", "5"},
      {"", ""},
      {"a=b", "a=b"},
      {"2024-01-01", "2024-01-01"},
      {"5 # five", "5 # five"},
      {"1,2", "1,2"},
      {"1,", "1,"},
      {"[1", "[1"},
      {"1\nb = 2", "1\nb = 2"},
      {"αβ\tγ", "αβ\tγ"},
      {"\x01\x7f\\\"", "\x01\x7f\\\""}};
  for (const auto& [value, expected] : cases) {
    Config config;
    config.assign("method.codec=" + value);
    EXPECT_EQ(read(config).codec, expected);
    auto again = Config::parse(config.toml(), "again");
    EXPECT_EQ(read(again).codec, expected);
  }
  Config config;
  config.assign("method.weights = [3, 4]");
  config.assign("method.names=solo");
  config.assign("method={step = 0.25, count = 3}");
  config.assign("method.step=1e-7");
  const Sample sample = read(config);
  EXPECT_EQ(sample.weights, (std::vector<double>{3.0, 4.0}));
  EXPECT_EQ(sample.names, (std::vector<std::string>{"solo"}));
  EXPECT_EQ(sample.count, 3);
  EXPECT_EQ(sample.step, 1e-7);
}

TEST(Config, BadAssignmentsAreRefusedWithTheRemedy) {
  for (const std::string bad : {"novalue", "=3", "  = 3", ""}) {
    EXPECT_TRUE(has(refusal([&] { Config().assign(bad); }), "key=value"));
  }
  for (const std::string bad : {"a..b=1", ".a=1", "a.=1", "a. b=1"}) {
    EXPECT_TRUE(has(refusal([&] { Config().assign(bad); }), "empty part"));
  }
  EXPECT_TRUE(has(refusal([] { Config().assign("a=\xff\xfe"); }), "UTF-8"));
  Config config;
  config.assign("a.b=1");
  EXPECT_TRUE(has(refusal([&] { config.assign("a=1"); }), "`a.b`"));
  EXPECT_TRUE(has(refusal([&] { config.assign("a.b.c=1"); }), "`a.b`"));
}

TEST(Config, NumbersMayBeWrittenAsInAShell) {
  for (const auto& [text, value] : {std::pair{".5", 0.5}, {"1.", 1.0}, {"2.e-1", 0.2}}) {
    Config config;
    config.assign(std::string("method.step=") + text);
    EXPECT_EQ(read(config).step, value) << text;
  }
  for (const std::string bad : {".", "1.x", "..5", "1.0.0"})
    EXPECT_TRUE(has(refused("method.step=" + bad), "method.step"));
}

TEST(Config, IntegersMayBeWrittenWithAnExponent) {
  Config config;
  config.assign("method.count=1e6");
  EXPECT_EQ(read(config).count, 1'000'000);
  Config large;
  large.assign("method.count=9007199254740993");
  EXPECT_EQ(read(large).count, 9007199254740993);
  for (const std::string bad : {"1.5", "1e30", "nan", "inf", "0", "-1", "ten", "true", "[1]"}) {
    EXPECT_TRUE(has(refused("method.count=" + bad), "method.count"));
  }
}

TEST(Config, RangeErrorsNameKeyValueOriginRangeAndDefault) {
  const auto message = refused("method.step=-0.5");
  for (const std::string part : {"command line", "method.step", "-0.5", "> 0", "default is 0.5"}) {
    EXPECT_TRUE(has(message, part));
  }
  const auto in_file = refusal([] {
    auto config = Config::parse("[method]\nstep = 0\n", "case.toml");
    read(config);
  });
  EXPECT_TRUE(has(in_file, "case.toml:2:8"));
  for (const std::string bad :
       {"method.step=nan", "method.step=fast", "method.restart=1", "method.weights=[1, -1]",
        "method.weights=[1, x]", "method.weights=[nan]", "method.codec=[1]"}) {
    EXPECT_NE(refused(bad), "") << bad;
  }
  Config config;
  config.assign("method.step=inf");
  EXPECT_EQ(read(config).step, std::numeric_limits<double>::infinity());
}

TEST(Config, ChoicesNameTheNearest) {
  EXPECT_TRUE(has(refused("method.measure=distanse"), "did you mean `distance`?"));
  EXPECT_TRUE(has(refused("method.measure=7"), "residual, distance or gap"));
}

TEST(Config, TheLastAssignmentWins) {
  auto config = Config::parse("method.step = 1.0", "f");
  config.assign("method.step=2");
  config.assign("method.step=3");
  EXPECT_EQ(read(config).step, 3.0);
}

TEST(Config, UnusedKeysAreRefusedWithTheNearestOfAllDescribedKeys) {
  auto config =
      Config::parse("methd.step = 1\ncount = 3\nmethod.restrat = true\nzzzzzz = 1\n", "f");
  read(config);
  const auto message = refusal([&] { config.reject_unused(); });
  EXPECT_TRUE(has(message, "f:1:14: unknown key `methd.step`, did you mean `method.step`?"));
  EXPECT_TRUE(has(message, "`count`, did you mean `method.count`?"));
  EXPECT_TRUE(has(message, "did you mean `method.restart`?"));
  EXPECT_TRUE(has(message, "`zzzzzz`; `equipoise list"));
}

TEST(Config, TomlIsCompleteAndRoundTrips) {
  Config config;
  config.assign("method.step=0.1");
  config.assign("method.count=1e6");
  config.assign("\"odd key\".x=3");
  config.assign("petsc.ksp_rtol=1e-9");
  config.text("problem.path", "C:\\data \"x\"");
  read(config);
  const std::string text = config.toml();
  for (const std::string line : {"method.step = 0.1\n", "method.count = 1000000\n",
                                 "method.restart = true\n", "method.weights = [1.0, 0.1]\n"}) {
    EXPECT_TRUE(has(text, line));
  }
  auto again = Config::parse(text, "again");
  EXPECT_EQ(again.toml(), text);
  const Sample sample = read(again);
  EXPECT_EQ(sample.step, 0.1);
  EXPECT_EQ(sample.count, 1'000'000);
  EXPECT_EQ(again.text("problem.path"), "C:\\data \"x\"");
  EXPECT_EQ(again.toml(), text);
}

TEST(Config, DoublesRoundTripToTheLastBit) {
  for (const double value :
       {0.1, 1.0 / 3.0, 1e-300, 5e-324, 1.7976931348623157e308, 123456789.0, 1e22}) {
    Sample sample;
    sample.step = value;
    Config config;
    config.read("method", sample);
    auto again = Config::parse(config.toml(), "again");
    EXPECT_EQ(read(again).step, value);
  }
}

TEST(Config, DefaultsOfALaterReaderAreNotHiddenByAnEarlierOne) {
  Config config;
  EXPECT_EQ(config.text("method.codec", "first"), "first");
  EXPECT_FALSE(config.has("method.codec"));
  EXPECT_EQ(read(config).codec, "identity");
  config.set("method.codec", "measured");
  EXPECT_TRUE(config.has("method.codec"));
  EXPECT_EQ(read(config).codec, "measured");
  EXPECT_NO_THROW(config.reject_unused());
}

TEST(Config, TakeGivesTextsAndMarksThem) {
  auto config = Config::parse("petsc.ksp_type = \"cg\"\npetsc.mg.levels = 3\npetscx = 1\n", "f");
  const auto taken = config.take("petsc");
  EXPECT_EQ(taken.size(), 2U);
  EXPECT_EQ(taken.front(), (std::pair<std::string, std::string>{"ksp_type", "cg"}));
  EXPECT_EQ(taken.back(), (std::pair<std::string, std::string>{"mg.levels", "3"}));
  EXPECT_TRUE(has(refusal([&] { config.reject_unused(); }), "`petscx`"));
}

TEST(Options, ListedWithTypeDefaultRangeAndHelp) {
  const auto options = list_options([](OptionVisitor& visit) {
    static Sample sample;
    sample.describe(visit);
  });
  EXPECT_EQ(options.size(), 7U);
  EXPECT_EQ(options[0].key, "step");
  EXPECT_EQ(options[0].type, "number");
  EXPECT_EQ(options[0].fallback, "0.5");
  EXPECT_EQ(options[0].range, "> 0");
  EXPECT_EQ(options[0].help, "step size");
  EXPECT_EQ(options[4].fallback, "[1.0, 0.1]");
  EXPECT_EQ(options[6].range, "residual, distance or gap");
}

TEST(Options, NearestCountsEditsAndSwaps) {
  const std::vector<std::string> names = {"method.name", "method.step", "stop.tolerance"};
  EXPECT_EQ(nearest("methd.name", names), "method.name");
  EXPECT_EQ(nearest("stop.tolernace", names), "stop.tolerance");
  EXPECT_EQ(nearest("qqqqqqqqqq", names), "");
  EXPECT_EQ(nearest("x", names), "");
  EXPECT_EQ(nearest("method.name", {}), "");
}

}  // namespace
}  // namespace equipoise::state
