#include "equality_problems.hpp"

#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/random.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::problems {
namespace {

using control::make_vector;
using linalg::check;
using partition::Partition;

linalg::Matrix sparse(const parallel::Comm& comm, const Partition& rows, const Partition& columns,
                      PetscInt width) {
  linalg::Matrix m;
  check(MatCreateAIJ(comm.handle(), static_cast<PetscInt>(rows.range(comm.rank()).size()),
                     static_cast<PetscInt>(columns.range(comm.rank()).size()), PETSC_DETERMINE,
                     PETSC_DETERMINE, width, nullptr, width, nullptr, m.put()));
  return m;
}

void finish(Mat m) {
  check(MatAssemblyBegin(m, MAT_FINAL_ASSEMBLY));
  check(MatAssemblyEnd(m, MAT_FINAL_ASSEMBLY));
}

/// Moves x[0..m) between the layouts of the variables and of the constraints.
linalg::Scatter head_scatter(Vec x, Vec c, partition::Range owned_rows) {
  linalg::IndexSet rows;
  check(ISCreateStride(PETSC_COMM_SELF, static_cast<PetscInt>(owned_rows.size()),
                       static_cast<PetscInt>(owned_rows.begin), 1, rows.put()));
  linalg::Scatter scatter;
  check(VecScatterCreate(x, rows, c, rows, scatter.put()));
  return scatter;
}

class GridEquality : public control::EqualityProblem {
 public:
  GridEquality(const parallel::Comm& comm, std::int64_t nodes, double weight, double cubic)
      : comm_(comm),
        nodes_(nodes),
        weight_(weight),
        cubic_(cubic),
        constraints_(Partition::uniform(nodes * nodes, comm.size())),
        variables_(Partition::uniform(2 * nodes * nodes, comm.size())),
        linear_(sparse(comm, constraints_, variables_, 6)),
        jacobian_(sparse(comm, constraints_, variables_, 6)),
        hessian_(sparse(comm, variables_, variables_, 1)),
        target_(make_vector(comm, variables_)),
        offset_(make_vector(comm, variables_)),
        w_(make_vector(comm, constraints_)),
        scatter_(head_scatter(target_, w_, constraints_.range(comm.rank()))) {
    const auto owned = variables_.range(comm.rank());
    linalg::Entries target(target_);
    const double h = 0.1 / std::sqrt(15.0), middle = 0.5 * (static_cast<double>(nodes) + 1.0);
    for (std::int64_t i = owned.begin; i < std::min(owned.end, nodes * nodes); ++i) {
      const double a = static_cast<double>(i % nodes) + 1.0 - middle;
      const double b = static_cast<double>(i / nodes) + 1.0 - middle;
      target[i - owned.begin] = std::sin(4.0 + h * a) + std::cos(3.0 + h * b);
    }
    assemble(linear_, nullptr);
  }
  [[nodiscard]] const parallel::Comm& comm() const override { return comm_; }
  [[nodiscard]] const Partition& variables() const override { return variables_; }
  [[nodiscard]] const Partition& constraints() const override { return constraints_; }
  void start(Vec x, Vec lambda) override {
    check(VecSet(x, 1.0));
    check(VecSet(lambda, 1.0));
  }
  double value(Vec x) override {
    gradient(x, offset_);
    // 1/2 (x - target)^T D (x - target), D (x - target) being the gradient.
    const linalg::ConstEntries point(x), target(target_), slope(offset_);
    linalg::Vector parts = linalg::like(x);
    {
      linalg::Entries part(parts);
      for (std::int64_t i = 0; i < part.size(); ++i)
        part[i] = 0.5 * (point[i] - target[i]) * slope[i];
    }
    double sum = 0.0;
    check(VecSum(parts, &sum));
    return sum;
  }
  void gradient(Vec x, Vec out) override {
    const linalg::ConstEntries point(x), target(target_);
    linalg::Entries slope(out);
    for (std::int64_t i = 0; i < slope.size(); ++i) slope[i] = cost(i) * (point[i] - target[i]);
  }
  void constraint(Vec x, Vec out) override {
    check(MatMult(linear_, x, out));
    if (cubic_ == 0.0) return;
    head(x);
    const linalg::ConstEntries w(w_);
    linalg::Entries c(out);
    for (std::int64_t i = 0; i < c.size(); ++i) c[i] -= cubic_ * w[i] * w[i] * w[i];
  }
  Mat jacobian(Vec x) override {
    if (cubic_ == 0.0) return linear_;
    head(x);
    assemble(jacobian_, w_);
    return jacobian_;
  }
  Mat hessian(Vec x, Vec lambda) override {
    linalg::Vector spread = linalg::like(x);  // lambda where w lies
    check(VecScatterBegin(scatter_, lambda, spread, INSERT_VALUES, SCATTER_REVERSE));
    check(VecScatterEnd(scatter_, lambda, spread, INSERT_VALUES, SCATTER_REVERSE));
    const linalg::ConstEntries point(x), multiplier(spread);
    const auto begin = static_cast<PetscInt>(variables_.range(comm_.rank()).begin);
    for (PetscInt i = 0; i < static_cast<PetscInt>(point.size()); ++i) {
      const double curvature = cost(i) - 6.0 * cubic_ * multiplier[i] * point[i];
      check(MatSetValue(hessian_, begin + i, begin + i, curvature, INSERT_VALUES));
    }
    finish(hessian_);
    return hessian_;
  }

 private:
  [[nodiscard]] double cost(std::int64_t local) const {
    return variables_.range(comm_.rank()).begin + local < nodes_ * nodes_ ? 1.0 : weight_;
  }
  void head(Vec x) {
    check(VecScatterBegin(scatter_, x, w_, INSERT_VALUES, SCATTER_FORWARD));
    check(VecScatterEnd(scatter_, x, w_, INSERT_VALUES, SCATTER_FORWARD));
  }
  /// [Lap_h - 3 cubic w^2, I]; w may be null for 0.
  void assemble(Mat m, Vec w) const {
    const auto owned = constraints_.range(comm_.rank());
    const double scale =
        std::pow((static_cast<double>(nodes_) + 1.0) / 2.0, 2);  // 1/h^2, h = 2/(N+1)
    linalg::Vector zero;
    if (w == nullptr) zero = make_vector(comm_, constraints_);
    const linalg::ConstEntries at(w == nullptr ? zero.get() : w);
    for (std::int64_t row = owned.begin; row < owned.end; ++row) {
      const double value = at[row - owned.begin];
      const auto r = static_cast<PetscInt>(row);
      check(MatSetValue(m, r, r, -4.0 * scale - 3.0 * cubic_ * value * value, INSERT_VALUES));
      check(MatSetValue(m, r, static_cast<PetscInt>(row + nodes_ * nodes_), 1.0, INSERT_VALUES));
      const auto link = [&](bool exists, std::int64_t column) {
        if (exists) check(MatSetValue(m, r, static_cast<PetscInt>(column), scale, INSERT_VALUES));
      };
      link(row % nodes_ > 0, row - 1);
      link(row % nodes_ + 1 < nodes_, row + 1);
      link(row >= nodes_, row - nodes_);
      link(row + nodes_ < nodes_ * nodes_, row + nodes_);
    }
    finish(m);
  }
  parallel::Comm comm_;
  std::int64_t nodes_;
  double weight_, cubic_;
  Partition constraints_, variables_;
  linalg::Matrix linear_, jacobian_, hessian_;
  linalg::Vector target_, offset_, w_;
  linalg::Scatter scatter_;
};

class LogisticEquality : public control::EqualityProblem {
 public:
  LogisticEquality(const parallel::Comm& comm,
                   std::shared_ptr<const partition::DistributedDataset> data, std::int64_t rows,
                   std::int64_t seed)
      : comm_(comm),
        data_(std::move(data)),
        rows_(rows),
        variables_(Partition::uniform(data_->features, comm.size())),
        constraints_(Partition::uniform(rows + 1, comm.size())),
        jacobian_(sparse(comm, constraints_, variables_, static_cast<PetscInt>(data_->features))),
        hessian_(sparse(comm, variables_, variables_, static_cast<PetscInt>(data_->features))),
        x_(static_cast<std::size_t>(data_->features)) {
    if (rows + 1 >= data_->features) {
      throw ConfigurationError("{} linear constraints and a sphere leave no freedom to {} features",
                               rows, data_->features);
    }
    // The smaller label is -1.
    double low = INFINITY, high = -INFINITY;
    for (const auto& shard : data_->shards) {
      for (const double label : shard.labels)
        low = std::min(low, label), high = std::max(high, label);
    }
    low_ = -comm.max(-low);
    high_ = comm.max(high);
    parallel::agree(comm, [&] {
      for (const auto& shard : data_->shards) {
        for (const double label : shard.labels) {
          if (label != low_ && label != high_)
            throw InputError("logistic regression needs two labels, found {}, {} and {}", low_,
                             high_, label);
        }
      }
      if (low_ == high_) throw InputError("all labels are {}; logistic regression needs two", low_);
    });
    const parallel::Draw draw(static_cast<std::uint64_t>(seed), parallel::Purpose::problem, 0);
    const double scale = 1.0 / std::sqrt(static_cast<double>(data_->features));
    const auto d = static_cast<std::uint64_t>(data_->features);
    for (std::uint64_t i = 0; i < d * static_cast<std::uint64_t>(rows); ++i)
      linear_.push_back(draw.normal(i));
    for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(rows); ++i)
      right_.push_back(scale * draw.normal(d * static_cast<std::uint64_t>(rows) + i));
  }
  [[nodiscard]] const parallel::Comm& comm() const override { return comm_; }
  [[nodiscard]] const Partition& variables() const override { return variables_; }
  [[nodiscard]] const Partition& constraints() const override { return constraints_; }
  void start(Vec x, Vec lambda) override {
    check(VecSet(x, 1.0 / std::sqrt(static_cast<double>(data_->features))));
    check(VecSet(lambda, 0.0));
  }
  double value(Vec x) override {
    gather(x);
    std::vector<double> sum(1, 0.0);
    for_each_row(
        [&](std::span<const std::int32_t>, std::span<const double>, double, double margin) {
          sum[0] +=
              margin > 0.0 ? std::log1p(std::exp(-margin)) : std::log1p(std::exp(margin)) - margin;
        });
    total(sum);
    return sum[0] / count();
  }
  void gradient(Vec x, Vec out) override {
    gather(x);
    std::vector<double> sum(x_.size(), 0.0);
    for_each_row([&](std::span<const std::int32_t> index, std::span<const double> values,
                     double label, double margin) {
      const double factor = -label / (1.0 + std::exp(margin));
      for (std::size_t k = 0; k < index.size(); ++k)
        sum[static_cast<std::size_t>(index[k])] += factor * values[k];
    });
    total(sum);
    linalg::Entries slope(out);
    const auto begin = variables_.range(comm_.rank()).begin;
    for (std::int64_t i = 0; i < slope.size(); ++i)
      slope[i] = sum[static_cast<std::size_t>(begin + i)] / count();
  }
  void constraint(Vec x, Vec out) override {
    gather(x);
    linalg::Entries c(out);
    const auto owned = constraints_.range(comm_.rank());
    for (std::int64_t row = owned.begin; row < owned.end; ++row) {
      double sum = row < rows_ ? -right_[static_cast<std::size_t>(row)] : -1.0;
      for (std::size_t j = 0; j < x_.size(); ++j)
        sum += (row < rows_ ? entry(row, j) : x_[j]) * x_[j];
      c[row - owned.begin] = sum;
    }
  }
  Mat jacobian(Vec x) override {
    gather(x);
    const auto owned = constraints_.range(comm_.rank());
    for (std::int64_t row = owned.begin; row < owned.end; ++row) {
      for (std::size_t j = 0; j < x_.size(); ++j) {
        check(MatSetValue(jacobian_, static_cast<PetscInt>(row), static_cast<PetscInt>(j),
                          row < rows_ ? entry(row, j) : 2.0 * x_[j], INSERT_VALUES));
      }
    }
    finish(jacobian_);
    return jacobian_;
  }
  Mat hessian(Vec x, Vec lambda) override {
    gather(x);
    const std::size_t d = x_.size();
    std::vector<double> sum(d * d + 1, 0.0);
    for_each_row([&](std::span<const std::int32_t> index, std::span<const double> values, double,
                     double margin) {
      const double s = 1.0 / (1.0 + std::exp(margin));
      for (std::size_t a = 0; a < index.size(); ++a) {
        const double factor = s * (1.0 - s) * values[a];
        double* row = sum.data() + static_cast<std::size_t>(index[a]) * d;
        for (std::size_t b = 0; b < index.size(); ++b)
          row[static_cast<std::size_t>(index[b])] += factor * values[b];
      }
    });
    const auto held = constraints_.range(comm_.rank());
    if (held.contains(rows_)) sum.back() = linalg::ConstEntries(lambda)[rows_ - held.begin];
    total(sum);
    const auto owned = variables_.range(comm_.rank());
    for (std::int64_t i = owned.begin; i < owned.end; ++i) {
      for (std::size_t j = 0; j < d; ++j) {
        const auto row = static_cast<std::size_t>(i);
        const double value = sum[row * d + j] / count() + (row == j ? 2.0 * sum.back() : 0.0);
        check(MatSetValue(hessian_, static_cast<PetscInt>(i), static_cast<PetscInt>(j), value,
                          INSERT_VALUES));
      }
    }
    finish(hessian_);
    return hessian_;
  }

 private:
  [[nodiscard]] double entry(std::int64_t row, std::size_t column) const {
    return linear_[static_cast<std::size_t>(row) * x_.size() + column];
  }
  [[nodiscard]] double count() const { return static_cast<double>(data_->rows.size()); }
  void total(std::vector<double>& sum) const {
    MPI_Allreduce(MPI_IN_PLACE, sum.data(), static_cast<int>(sum.size()), MPI_DOUBLE, MPI_SUM,
                  comm_.handle());
  }
  /// The whole of x on every rank.
  void gather(Vec x) {
    const linalg::ConstEntries local(x);
    std::vector<int> counts, offsets;
    for (int rank = 0; rank < comm_.size(); ++rank) {
      counts.push_back(static_cast<int>(variables_.range(rank).size()));
      offsets.push_back(static_cast<int>(variables_.range(rank).begin));
    }
    MPI_Allgatherv(local.span().data(), static_cast<int>(local.size()), MPI_DOUBLE, x_.data(),
                   counts.data(), offsets.data(), MPI_DOUBLE, comm_.handle());
  }
  /// visit(features, values, label, label a^T x) for the rows held here.
  template <class Visit>
  void for_each_row(Visit&& visit) const {
    for (const auto& shard : data_->shards) {
      for (std::int64_t r = 0; r < shard.rows(); ++r) {
        const auto index = shard.row_index(r);
        const auto values = shard.row_values(r);
        const double label = shard.labels[static_cast<std::size_t>(r)] == low_ ? -1.0 : 1.0;
        double product = 0.0;
        for (std::size_t k = 0; k < index.size(); ++k)
          product += values[k] * x_[static_cast<std::size_t>(index[k])];
        visit(index, values, label, label * product);
      }
    }
  }
  parallel::Comm comm_;
  std::shared_ptr<const partition::DistributedDataset> data_;
  std::int64_t rows_;
  Partition variables_, constraints_;
  linalg::Matrix jacobian_, hessian_;
  std::vector<double> x_, linear_, right_;
  double low_ = -1.0, high_ = 1.0;
};

}  // namespace

std::shared_ptr<control::EqualityProblem> grid_equality(const parallel::Comm& comm,
                                                        std::int64_t nodes, double weight,
                                                        double cubic) {
  linalg::start_petsc(comm);
  return std::make_shared<GridEquality>(comm, nodes, weight, cubic);
}

std::shared_ptr<control::EqualityProblem> logistic_equality(
    const parallel::Comm& comm, std::shared_ptr<const partition::DistributedDataset> data,
    std::int64_t rows, std::int64_t seed) {
  linalg::start_petsc(comm);
  return std::make_shared<LogisticEquality>(comm, std::move(data), rows, seed);
}

}  // namespace equipoise::problems
