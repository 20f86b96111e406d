#include <equipoise/linalg/kernels.hpp>
#include <equipoise/linalg/sets.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/vi/instance.hpp>
#include <equipoise/problems/vi/matrix_game.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace equipoise::problems {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

void MatrixGameOptions::describe(state::OptionVisitor& visit) {
  visit.choice("payoff", payoff, {"random", "rock-paper-scissors"},
               "uniform in [-1, 1], or the game of three that is won by chance alone");
  visit.option("rows", rows, "strategies of the player who pays", state::Limits{1.0, 20000.0});
  visit.option("columns", columns, "strategies of the player who receives",
               state::Limits{1.0, 20000.0});
  visit.option("seed", seed, "of the random payoffs", state::non_negative);
}

MatrixGame::MatrixGame(std::int64_t rows, std::int64_t columns, std::vector<double> payoff)
    : rows_(rows), columns_(columns), payoff_(std::move(payoff)) {}

MatrixGame::MatrixGame(const MatrixGameOptions& options)
    : rows_(options.rows), columns_(options.columns), name_(options.payoff) {
  if (options.payoff == "rock-paper-scissors") {
    rows_ = columns_ = 3;
    payoff_ = {0, 1, -1, -1, 0, 1, 1, -1, 0};
    return;
  }
  name_ += fmt::format(" seed={}", options.seed);
  const parallel::Draw draw(static_cast<std::uint64_t>(options.seed), parallel::Purpose::problem,
                            30);
  payoff_.resize(at(rows_ * columns_));
  for (std::size_t k = 0; k < payoff_.size(); ++k) payoff_[k] = 2.0 * draw.uniform(k) - 1.0;
}

void MatrixGame::apply(std::int64_t, std::span<const double> z, std::span<double> out) const {
  const auto x = z.first(at(rows_)), y = z.subspan(at(rows_));
  const auto by_y = out.subspan(at(rows_));
  std::fill(by_y.begin(), by_y.end(), 0.0);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto row = std::span(payoff_).subspan(i * y.size(), y.size());
    out[i] = linalg::dot(row, y);
    linalg::add_scaled(by_y, -x[i], row, by_y);
  }
}

void MatrixGame::prox(double, std::span<double> z) const {
  const linalg::Simplex simplex;
  simplex.project(z.first(at(rows_)));
  simplex.project(z.subspan(at(rows_)));
}

void MatrixGame::start(std::span<double> z) const {
  std::fill_n(z.begin(), rows_, 1.0 / static_cast<double>(rows_));
  std::fill_n(z.begin() + rows_, columns_, 1.0 / static_cast<double>(columns_));
}

vi::Facts MatrixGame::check(std::span<const double> z) const {
  std::vector<double> value(z.size());
  apply(0, z, value);
  const double low = *std::min_element(value.begin(), value.begin() + rows_);
  const double high = -*std::min_element(value.begin() + rows_, value.end());
  return {{"value_at_least", fmt::format("{:.17g}", low)},
          {"value_at_most", fmt::format("{:.17g}", high)},
          {"duality_gap", fmt::format("{:.17g}", high - low)}};
}

vi::Facts MatrixGame::facts() const {
  return {{"payoff", name_}, {"strategies", fmt::format("{} x {}", rows_, columns_)}};
}

std::string MatrixGame::fingerprint() const {
  return fmt::format("matrix-game {} {} x {}", name_, rows_, columns_);
}

static_assert(vi::AgentProblem<MatrixGame>);

solve::ProblemEntry matrix_game_problem() {
  return {
      "vi", "matrix-game", "zero-sum game between mixed strategies",
      [](state::OptionVisitor& visit) { MatrixGameOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        MatrixGameOptions options;
        config.read("problem", options);
        return make_instance(comm, config, MatrixGame(options));
      }};
}

}  // namespace equipoise::problems
