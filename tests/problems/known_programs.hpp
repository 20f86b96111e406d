#pragma once

#include <equipoise/formats/mps.hpp>

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace equipoise::problems {

enum class KnownAnswer { optimum, infeasible, unbounded };

struct KnownProgram {
  formats::MpsProgram program;
  KnownAnswer answer = KnownAnswer::optimum;
  double optimum = 0.0;
};

/// A small linear program whose answer is known by construction: a pair (x, y) that satisfies the
/// optimality conditions exactly, degenerate in a third of its lines, over columns that are free,
/// fixed, or bounded on either side or both, and rows that are equations, inequalities, ranges, or
/// free. Every fifth program then gets a row that the others contradict, every fifth of the rest a
/// column along which the objective falls for ever. At last rows and columns are scaled by powers
/// of ten from 1e-4 to 1e4.
class KnownProgramMaker {
 public:
  explicit KnownProgramMaker(std::uint64_t number) : random_(number), number_(number) {}

  KnownProgram make() {
    const int rows = 5 + below(25), columns = rows / 2 + 2 + below(2 * rows);
    fill(rows, columns);
    draw_columns();
    draw_rows();
    price();
    if (number_ % 5 == 3) contradict();
    if (number_ % 5 == 4) descend();
    scale();
    return finish();
  }

 private:
  struct Line {
    double lower = 0.0, upper = 0.0, value = 0.0, multiplier = 0.0;
  };

  int below(int n) { return static_cast<int>(random_() % static_cast<std::uint64_t>(n)); }
  double uniform() { return static_cast<double>(random_() >> 11U) * 0x1p-53; }
  double signed_size() { return (uniform() < 0.5 ? -1.0 : 1.0) * (0.1 + uniform()); }
  double magnitude() { return std::pow(10.0, 8.0 * uniform() - 4.0); }

  void fill(int rows, int columns) {
    a_.assign(static_cast<std::size_t>(rows),
              std::vector<double>(static_cast<std::size_t>(columns)));
    for (auto& row : a_) {
      for (double& v : row) v = uniform() < 0.35 ? signed_size() : 0.0;
      row[static_cast<std::size_t>(below(columns))] = signed_size();
    }
    columns_.resize(static_cast<std::size_t>(columns));
    rows_.resize(static_cast<std::size_t>(rows));
  }

  /// Bounds around the value, and a multiplier that they can carry.
  void place(Line& line, int kind) {
    const double multiplier = uniform() < 1.0 / 3.0 ? 0.0 : 0.1 + uniform();
    const bool at_bound = uniform() < 0.6;
    const double room = at_bound ? 0.0 : 0.1 + uniform();
    line.lower = -HUGE_VAL;
    line.upper = HUGE_VAL;
    line.multiplier = 0.0;
    switch (kind) {
      case 0:  // free
        break;
      case 1:  // fixed, or an equation
        line.lower = line.upper = line.value;
        line.multiplier = uniform() < 0.5 ? multiplier : -multiplier;
        break;
      case 2:
        line.lower = line.value - room;
        line.multiplier = at_bound ? multiplier : 0.0;
        break;
      case 3:
        line.upper = line.value + room;
        line.multiplier = at_bound ? -multiplier : 0.0;
        break;
      default:  // both sides
        line.lower = line.value - room;
        line.upper = line.value + 0.1 + uniform();
        line.multiplier = at_bound ? multiplier : 0.0;
    }
  }

  void draw_columns() {
    for (Line& column : columns_) {
      const double draw = uniform();
      column.value = uniform() < 0.2 ? 0.0 : signed_size();
      place(column, draw < 0.15 ? 0 : draw < 0.2 ? 1 : draw < 0.65 ? 2 : draw < 0.75 ? 3 : 4);
    }
  }

  void draw_rows() {
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      for (std::size_t j = 0; j < columns_.size(); ++j)
        rows_[i].value += a_[i][j] * columns_[j].value;
      const double draw = uniform();
      place(rows_[i], draw < 0.05 ? 0 : draw < 0.35 ? 1 : draw < 0.6 ? 2 : draw < 0.85 ? 3 : 4);
    }
  }

  void price() {
    cost_.resize(columns_.size());
    for (std::size_t j = 0; j < cost_.size(); ++j) {
      cost_[j] = columns_[j].multiplier;
      for (std::size_t i = 0; i < rows_.size(); ++i) cost_[j] += a_[i][j] * rows_[i].multiplier;
      optimum_ += cost_[j] * columns_[j].value;
    }
  }

  /// A nonnegative combination of lower sides, at most what it least is, minus 1.
  void contradict() {
    std::vector<double> row(columns_.size());
    double least = 0.0;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (std::isinf(rows_[i].lower)) continue;
      const double share = uniform();
      least += share * rows_[i].lower;
      for (std::size_t j = 0; j < row.size(); ++j) row[j] += share * a_[i][j];
    }
    for (std::size_t j = 0; j < row.size(); ++j) {
      if (std::isinf(columns_[j].lower)) continue;
      const double more = uniform() < 0.5 ? 0.0 : uniform();
      row[j] += more;
      least += more * columns_[j].lower;
    }
    a_.push_back(std::move(row));
    rows_.push_back({-HUGE_VAL, least - 1.0, 0.0, 0.0});
    answer_ = KnownAnswer::infeasible;
  }

  /// One more column, which undoes what a direction of the others does to the rows.
  void descend() {
    std::vector<double> direction(columns_.size());
    double slope = 0.0;
    for (std::size_t j = 0; j < direction.size(); ++j) {
      if (std::isinf(columns_[j].upper)) direction[j] = uniform();
      if (std::isinf(columns_[j].lower)) direction[j] = -uniform();
      slope += cost_[j] * direction[j];
    }
    for (auto& row : a_) {
      double moved = 0.0;
      for (std::size_t j = 0; j < direction.size(); ++j) moved += row[j] * direction[j];
      row.push_back(-moved);
    }
    columns_.push_back({0.0, HUGE_VAL, 0.0, 0.0});
    cost_.push_back(-slope - 1.0);
    answer_ = KnownAnswer::unbounded;
  }

  void scale() {
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const double size = magnitude();
      for (double& v : a_[i]) v *= size;
      rows_[i].lower *= size;
      rows_[i].upper *= size;
    }
    for (std::size_t j = 0; j < columns_.size(); ++j) {
      const double size = magnitude();
      for (auto& row : a_) row[j] *= size;
      cost_[j] *= size;
      columns_[j].lower /= size;
      columns_[j].upper /= size;
    }
  }

  KnownProgram finish() const {
    KnownProgram out;
    out.answer = answer_;
    out.optimum = optimum_;
    formats::MpsProgram& p = out.program;
    p.name = "known " + std::to_string(number_);
    p.cost = cost_;
    for (const Line& column : columns_) {
      p.lower.push_back(column.lower);
      p.upper.push_back(column.upper);
    }
    for (const Line& row : rows_) {
      p.row_lower.push_back(row.lower);
      p.row_upper.push_back(row.upper);
    }
    for (std::size_t j = 0; j < columns_.size(); ++j) {
      for (std::size_t i = 0; i < rows_.size(); ++i) {
        if (a_[i][j] != 0.0)
          p.matrix.push_back(
              {static_cast<std::int32_t>(i), static_cast<std::int32_t>(j), a_[i][j]});
      }
    }
    return out;
  }

  std::mt19937_64 random_;
  std::uint64_t number_;
  std::vector<std::vector<double>> a_;
  std::vector<Line> columns_, rows_;
  std::vector<double> cost_;
  double optimum_ = 0.0;
  KnownAnswer answer_ = KnownAnswer::optimum;
};

}  // namespace equipoise::problems
