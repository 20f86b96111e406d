#include "program_generate.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/vi/traffic_network.hpp>

#include <fmt/format.h>

#include <cmath>

namespace equipoise::problems {
namespace {

using partition::Triplet;

/// Draws of one kind, by line.
class Lines {
 public:
  Lines(std::int64_t seed, std::int64_t kind)
      : draw_(static_cast<std::uint64_t>(seed), parallel::Purpose::problem, kind) {}
  [[nodiscard]] double uniform(std::int64_t line) const {
    return draw_.uniform(static_cast<std::uint64_t>(line));
  }
  [[nodiscard]] std::int64_t below(std::int64_t n, std::int64_t line) const {
    return static_cast<std::int64_t>(
        draw_.below(static_cast<std::uint64_t>(n), static_cast<std::uint64_t>(line)));
  }

 private:
  parallel::Draw draw_;
};

class Transport final : public ProgramGenerator {
 public:
  Transport(std::int64_t sources, std::int64_t sinks, std::int64_t seed)
      : sources_(sources),
        sinks_(sinks),
        name_(fmt::format("transport seed={}", seed)),
        x_(seed, 10),
        y_(seed, 11),
        amount_(seed, 12) {
    for (std::int64_t i = 0; i < sources; ++i) supply_ += 1.0 + amount_.uniform(i);
    for (std::int64_t k = 0; k < sinks; ++k) demand_ += 1.0 + amount_.uniform(sources + k);
  }
  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] std::int64_t rows() const override { return sources_ + sinks_; }
  [[nodiscard]] std::int64_t columns() const override { return sources_ * sinks_; }
  [[nodiscard]] GeneratedLine row(std::int64_t i) const override {
    const double amount = 1.0 + amount_.uniform(i);
    if (i < sources_) return {.lower = -HUGE_VAL, .upper = 1.2 * amount * demand_ / supply_};
    return {.lower = amount};
  }
  [[nodiscard]] GeneratedLine column(std::int64_t j) const override {
    const std::int64_t from = j / sinks_, to = sources_ + j % sinks_;
    return {.cost =
                std::hypot(x_.uniform(from) - x_.uniform(to), y_.uniform(from) - y_.uniform(to))};
  }
  void entries(std::int64_t j, std::vector<Triplet>& out) const override {
    out.push_back({j / sinks_, j, 1.0});
    out.push_back({sources_ + j % sinks_, j, 1.0});
  }

 private:
  std::int64_t sources_, sinks_;
  std::string name_;
  Lines x_, y_, amount_;
  double supply_ = 0.0, demand_ = 0.0;
};

/// A quarter of the rows' number of columns is positive in the solution, the others carry a reduced
/// cost; even rows are equations, odd ones inequalities >=, every second of them with slack.
class Random final : public ProgramGenerator {
 public:
  Random(std::int64_t rows, std::int64_t columns, std::int64_t per_column, std::int64_t seed)
      : rows_(rows),
        columns_(columns),
        per_column_(per_column),
        positive_(std::min(1.0, 0.25 * static_cast<double>(rows) / static_cast<double>(columns))),
        name_(fmt::format("random seed={} per_column={}", seed, per_column)),
        place_(seed, 20),
        value_(seed, 21),
        primal_(seed, 22),
        dual_(seed, 23),
        choice_(seed, 24) {}
  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] std::int64_t rows() const override { return rows_; }
  [[nodiscard]] std::int64_t columns() const override { return columns_; }
  [[nodiscard]] bool has_optimum() const override { return true; }
  [[nodiscard]] GeneratedLine row(std::int64_t i) const override {
    const double size = 0.1 + dual_.uniform(i);
    if (i % 2 == 0) return {.upper = 0.0, .known = dual_.uniform(rows_ + i) < 0.5 ? size : -size};
    if (i % 4 == 1) return {.known = size};
    return {.lower = -size, .known = 0.0};
  }
  [[nodiscard]] GeneratedLine column(std::int64_t j) const override {
    const double size = 0.1 + primal_.uniform(j);
    if (choice_.uniform(j) < positive_) return {.known = size};
    return {.cost = size};
  }
  void entries(std::int64_t j, std::vector<Triplet>& out) const override {
    for (std::int64_t k = 0; k < per_column_; ++k) {
      const std::int64_t at = j * per_column_ + k;
      out.push_back({place_.below(rows_, at), j, 2.0 * value_.uniform(at) - 1.0});
    }
  }

 private:
  std::int64_t rows_, columns_, per_column_;
  double positive_;
  std::string name_;
  Lines place_, value_, primal_, dual_, choice_;
};

/// Columns: link flows, commodity by commodity, then the overflow of every link. Rows: balance of
/// every node, commodity by commodity, then the capacity of every link.
class Multicommodity final : public ProgramGenerator {
 public:
  Multicommodity(formats::TntpNetwork network, const formats::TntpTrips& trips,
                 const std::string& file, double overflow)
      : network_(std::move(network)), links_(std::ssize(network_.links)) {
    for (const OdPair& pair : sorted_demand(trips, network_, file)) {
      if (origins_.empty() || origins_.back() != pair.origin) {
        origins_.push_back(pair.origin);
        balance_.emplace_back(static_cast<std::size_t>(network_.nodes), 0.0);
      }
      balance_.back()[static_cast<std::size_t>(pair.origin) - 1] += pair.demand;
      balance_.back()[static_cast<std::size_t>(pair.destination) - 1] -= pair.demand;
    }
    double mean = 0.0;
    for (const auto& link : network_.links)
      mean += link.free_flow_time / static_cast<double>(links_);
    overflow_ = overflow * mean;
    name_ = fmt::format("multicommodity {} overflow={}", file, overflow);
  }
  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] std::int64_t rows() const override {
    return commodities() * network_.nodes + links_;
  }
  [[nodiscard]] std::int64_t columns() const override { return (commodities() + 1) * links_; }
  [[nodiscard]] GeneratedLine row(std::int64_t i) const override {
    const std::int64_t o = i / network_.nodes;
    if (o < commodities()) {
      const double b =
          balance_[static_cast<std::size_t>(o)][static_cast<std::size_t>(i % network_.nodes)];
      return {.lower = b, .upper = b};
    }
    return {.lower = -HUGE_VAL, .upper = link(i - commodities() * network_.nodes).capacity};
  }
  [[nodiscard]] GeneratedLine column(std::int64_t j) const override {
    if (j / links_ == commodities()) return {.cost = overflow_};
    const auto& l = link(j % links_);
    const bool barred = l.from < network_.first_thru_node &&
                        l.from != origins_[static_cast<std::size_t>(j / links_)];
    return {.cost = l.free_flow_time, .upper = barred ? 0.0 : HUGE_VAL};
  }
  void entries(std::int64_t j, std::vector<Triplet>& out) const override {
    const std::int64_t o = j / links_, a = j % links_;
    const std::int64_t capacity = commodities() * network_.nodes + a;
    if (o == commodities()) return out.push_back({capacity, j, -1.0});
    if (link(a).from != link(a).to) {
      out.push_back({o * network_.nodes + link(a).from - 1, j, 1.0});
      out.push_back({o * network_.nodes + link(a).to - 1, j, -1.0});
    }
    out.push_back({capacity, j, 1.0});
  }

 private:
  [[nodiscard]] std::int64_t commodities() const { return std::ssize(origins_); }
  [[nodiscard]] const formats::TntpLink& link(std::int64_t a) const {
    return network_.links[static_cast<std::size_t>(a)];
  }

  formats::TntpNetwork network_;
  std::int64_t links_;
  std::vector<std::int32_t> origins_;
  std::vector<std::vector<double>> balance_;  ///< [commodities][nodes]
  double overflow_ = 0.0;
  std::string name_;
};

}  // namespace

std::unique_ptr<ProgramGenerator> ProgramGenerator::transport(std::int64_t sources,
                                                              std::int64_t sinks,
                                                              std::int64_t seed) {
  return std::make_unique<Transport>(sources, sinks, seed);
}

std::unique_ptr<ProgramGenerator> ProgramGenerator::random(std::int64_t rows, std::int64_t columns,
                                                           std::int64_t per_column,
                                                           std::int64_t seed) {
  return std::make_unique<Random>(rows, columns, per_column, seed);
}

std::unique_ptr<ProgramGenerator> ProgramGenerator::multicommodity(formats::TntpNetwork network,
                                                                   const formats::TntpTrips& trips,
                                                                   const std::string& file,
                                                                   double overflow) {
  return std::make_unique<Multicommodity>(std::move(network), trips, file, overflow);
}

std::unique_ptr<ProgramGenerator> ProgramGenerator::make(const LinearProgramOptions& o) {
  if (o.generate == "transport") return transport(o.rows, o.columns, o.seed);
  if (o.generate == "random") return random(o.rows, o.columns, o.per_column, o.seed);
  if (o.net.empty() || o.trips.empty()) {
    throw ConfigurationError(
        "problem.generate = multicommodity needs problem.net and problem.trips, two files in TNTP "
        "format");
  }
  return multicommodity(formats::read_tntp_network(o.net), formats::read_tntp_trips(o.trips),
                        o.trips, o.overflow_cost);
}

}  // namespace equipoise::problems
