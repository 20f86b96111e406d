#pragma once

#include <equipoise/solve/instance.hpp>
#include <equipoise/vi/problem.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

struct MatrixGameOptions {
  std::string payoff = "random";
  std::int64_t rows = 50, columns = 50, seed = 0;
  void describe(state::OptionVisitor& visit);
};

/// A zero-sum game: the row player chooses x to make x'Ay small, the column player y to make it
/// large, both among mixed strategies. z = (x, y), F = (A y, -A'x), Z a product of two simplices.
/// The duality gap max_j (A'x)_j - min_i (Ay)_i bounds what either could gain, so it is a proof.
class MatrixGame {
 public:
  /// Throws ConfigurationError.
  explicit MatrixGame(const MatrixGameOptions& options);
  /// From a matrix given row by row.
  MatrixGame(std::int64_t rows, std::int64_t columns, std::vector<double> payoff);

  [[nodiscard]] std::int64_t dimension() const { return rows_ + columns_; }
  [[nodiscard]] std::int64_t agents() const { return 1; }
  void apply(std::int64_t agent, std::span<const double> z, std::span<double> out) const;
  void prox(double step, std::span<double> z) const;
  /// Every strategy alike.
  void start(std::span<double> z) const;
  /// The value of the game lies between `value_at_least` and `value_at_most`.
  [[nodiscard]] vi::Facts check(std::span<const double> z) const;
  [[nodiscard]] vi::Facts facts() const;
  [[nodiscard]] std::string fingerprint() const;

 private:
  std::int64_t rows_, columns_;
  std::vector<double> payoff_;
  std::string name_ = "given";
};

/// Registry entry: family vi, name matrix-game.
[[nodiscard]] solve::ProblemEntry matrix_game_problem();

}  // namespace equipoise::problems
