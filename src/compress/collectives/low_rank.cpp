#include "collective.hpp"

#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace equipoise::compress {
namespace {

constexpr std::string_view prefix = "powersgd";
constexpr int largest_rank = 64;

/// A vector of length d as a matrix of n rows of m, filled up with zeros.
struct Shape {
  std::int64_t d, n, m;
  int r;
  Shape(std::int64_t dimension, int rank) : d(dimension) {
    m = std::max<std::int64_t>(1, std::llround(std::ceil(std::sqrt(static_cast<double>(d)))));
    n = std::max<std::int64_t>(1, (d + m - 1) / m);
    r = static_cast<int>(std::min<std::int64_t>({rank, n, m}));
  }
  [[nodiscard]] std::span<const double> row(std::span<const double> v, std::int64_t i) const {
    return v.subspan(at(i * m), at(std::min(m, d - i * m)));
  }
  [[nodiscard]] std::span<double> row(std::span<double> v, std::int64_t i) const {
    return v.subspan(at(i * m), at(std::min(m, d - i * m)));
  }
};

/// Column j of a matrix that is stored column by column.
std::span<double> column(std::vector<double>& matrix, std::int64_t length, int j) {
  return std::span(matrix).subspan(at(j * length), at(length));
}

double dot(std::span<const double> a, std::span<const double> b) {
  double lane[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= a.size(); i += 8) {
    for (std::size_t k = 0; k < 8; ++k) lane[k] += a[i + k] * b[i + k];
  }
  double sum = 0.0;
  for (; i < a.size(); ++i) sum += a[i] * b[i];
  for (const double x : lane) sum += x;
  return sum;
}

/// Gram and Schmidt, twice over; columns that vanish, or nearly so, become zero.
void orthonormalise(std::vector<double>& matrix, std::int64_t length, int columns) {
  for (int j = 0; j < columns; ++j) {
    const auto v = column(matrix, length, j);
    const double before = std::sqrt(dot(v, v));
    for (int pass = 0; pass < 2; ++pass) {
      for (int i = 0; i < j; ++i) {
        const auto u = column(matrix, length, i);
        add_weighted(-dot(u, v), u, false, v);
      }
    }
    const double after = std::sqrt(dot(v, v));
    const double scale = after <= 1e-13 * before ? 0.0 : 1.0 / after;  // a NaN stays one
    for (double& x : v) x *= scale;
  }
}

/// PowerSGD (Vogels, Karimireddy and Jaggi, 2019), one step of subspace iteration with a warm
/// start: with every vector seen as a matrix G_m [n x m] and Q [m x r] kept from the round before,
///
///     P = mean of G_m Q, orthonormalised;   Q = mean of G_m' P;   out = P Q'
///     e_m = G_m - P P' G_m                   what the error feedback keeps
///
/// Both means are dense and short, r (n + m) values in all, so sums of any number of agents are as
/// long as one agent's. They are exact means: the same bits on any number of ranks. 4 r d flops an
/// agent; memory r (n + m) an agent.
class LowRank final : public Collective {
 public:
  LowRank(Round& round, int rank)
      : round_(round),
        shape_(round.dimension(), rank),
        left_mean_(inner_mean(round, shape_.n * shape_.r)),
        right_mean_(inner_mean(round, shape_.m * shape_.r)),
        left_(at(shape_.n * shape_.r)),
        right_(at(shape_.m * shape_.r), 0.0),
        lefts_(at(round.hosted.size() * shape_.n * shape_.r)),
        rights_(at(round.hosted.size() * shape_.m * shape_.r)) {}

  [[nodiscard]] std::string name() const override { return "low-rank"; }
  [[nodiscard]] bool checks() const override { return false; }  // the inner means do

  void operator()(std::span<const double> source, std::span<double> out) override {
    draw_lost_columns();
    for (std::int64_t a = 0; a < round_.hosted.size(); ++a) {
      multiply(round_.row(source, a),
               std::span(lefts_).subspan(at(a) * left_.size(), left_.size()));
    }
    average(left_mean_, lefts_, left_);
    orthonormalise(left_, shape_.n, shape_.r);
    for (std::int64_t a = 0; a < round_.hosted.size(); ++a) {
      const auto right = std::span(rights_).subspan(at(a) * right_.size(), right_.size());
      multiply_transposed(round_.row(source, a), right);
      if (round_.setting.error_feedback) add_product(-1.0, right, round_.error_row(a));
    }
    average(right_mean_, rights_, right_);
    std::fill(out.begin(), out.end(), 0.0);
    add_product(1.0, right_, out);
  }

  void fields(state::FieldVisitor& visit) override { visit.replicated("mean/low_rank", right_); }
  void reset() override { std::fill(right_.begin(), right_.end(), 0.0); }

 private:
  /// Columns of Q that hold no direction (at the start, or after a vector of lower rank or a NaN)
  /// are drawn at random.
  void draw_lost_columns() {
    const parallel::Draw draw(round_.setting.seed, parallel::Purpose::mask, round_.iteration);
    for (int j = 0; j < shape_.r; ++j) {
      const auto q = column(right_, shape_.m, j);
      const double size = dot(q, q);
      if (size > 0.0 && std::isfinite(size)) continue;
      for (std::size_t i = 0; i < q.size(); ++i) {
        q[i] = draw.with_agent(j).normal(static_cast<std::uint64_t>(i));
      }
    }
  }

  /// left = G Q.
  void multiply(std::span<const double> g, std::span<double> left) {
    for (std::int64_t i = 0; i < shape_.n; ++i) {
      const auto row = shape_.row(g, i);
      for (int j = 0; j < shape_.r; ++j) {
        left[at(j * shape_.n + i)] = dot(row, column(right_, shape_.m, j).first(row.size()));
      }
    }
  }
  /// right = G' P.
  void multiply_transposed(std::span<const double> g, std::span<double> right) {
    std::fill(right.begin(), right.end(), 0.0);
    for (std::int64_t i = 0; i < shape_.n; ++i) {
      const auto row = shape_.row(g, i);
      for (int j = 0; j < shape_.r; ++j) {
        add_weighted(left_[at(j * shape_.n + i)], row, false,
                     right.subspan(at(j * shape_.m), row.size()));
      }
    }
  }
  /// v += scale P right'.
  void add_product(double scale, std::span<const double> right, std::span<double> v) const {
    for (std::int64_t i = 0; i < shape_.n; ++i) {
      const auto row = shape_.row(v, i);
      for (int j = 0; j < shape_.r; ++j) {
        add_weighted(scale * left_[at(j * shape_.n + i)],
                     right.subspan(at(j * shape_.m), row.size()), false, row);
      }
    }
  }

  void average(Mean& mean, std::span<const double> rows, std::span<double> out) {
    mean.set_traffic({});
    mean.dense(rows, out);
    count_inner(round_, mean.traffic());
  }

  Round& round_;
  Shape shape_;
  Mean left_mean_, right_mean_;
  std::vector<double> left_;   ///< P, column by column
  std::vector<double> right_;  ///< Q, column by column
  std::vector<double> lefts_, rights_;
};

}  // namespace

CollectivePointer make_low_rank(Round& round, int rank) {
  return std::make_unique<LowRank>(round, rank);
}

std::optional<int> low_rank_of(std::string_view codec) {
  if (!codec.starts_with(prefix)) return std::nullopt;
  const std::string_view number = codec.substr(std::min(codec.size(), prefix.size() + 1));
  int rank = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), rank);
  if (codec.size() <= prefix.size() || codec[prefix.size()] != ':' || error != std::errc() ||
      end != number.data() + number.size() || rank < 1 || rank > largest_rank) {
    throw ConfigurationError(
        "method.codec = {}: write the rank, an integer from 1 to {}, as in powersgd:4; it combines "
        "with no other codec",
        codec, largest_rank);
  }
  return rank;
}

Descriptor describe_low_rank(std::int64_t d, int rank) {
  const Shape shape(d, rank);
  Descriptor result;
  result.kind = Descriptor::Kind::contractive;
  result.q = result.omega = result.alpha = result.delta = result.collection_a =
      result.collection_b = Descriptor::unknown;
  result.beta = std::max(1.0, static_cast<double>(d) / (static_cast<double>(shape.r) *
                                                        static_cast<double>(shape.n + shape.m)));
  result.needs_error_feedback = true;
  return result;
}

}  // namespace equipoise::compress
