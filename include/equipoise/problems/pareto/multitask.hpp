#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/pareto/problem.hpp>
#include <equipoise/partition/distributed_dataset.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

/// One linear model for several groups of the rows of a LIBSVM file (replicated on every rank), one
/// objective a group:
///
///     f_t(x) = mean over the rows of group t of log(1 + exp(-b a^T x)) + ridge/2 |x|^2.
///
/// Smooth and strongly convex, so the front is what weighted sums reach; which group a row belongs
/// to decides what the front trades: errors of one label against the other, or of the rows with a
/// feature against those without.
struct Multitask {
  partition::SparseRows rows;
  std::vector<std::int32_t> group;  ///< [rows]
  std::vector<std::int64_t> sizes;  ///< [groups]
  std::int64_t features = 0;
  double ridge = 1e-3;
  std::string name;

  [[nodiscard]] std::int64_t dimension() const { return features; }
  [[nodiscard]] std::int64_t objectives() const { return static_cast<std::int64_t>(sizes.size()); }
  [[nodiscard]] double lower(std::int64_t) const;
  [[nodiscard]] double upper(std::int64_t i) const { return -lower(i); }
  void evaluate(std::span<const double> x, std::span<double> f) const;
  void gradients(std::span<const double> x, std::span<double> f, std::span<double> g) const;
  void hessian_product(std::span<const double> weights, std::span<const double> x,
                       std::span<const double> v, std::span<double> out) const;
  [[nodiscard]] pareto::Facts facts() const;
  [[nodiscard]] std::string fingerprint() const { return name; }
};
static_assert(pareto::DifferentiableProblem<Multitask>);

struct MultitaskOptions {
  std::string data;
  std::string scale = "auto";
  std::string split = "label";
  std::int64_t feature = 0;
  double ridge = 1e-3;
  void describe(state::OptionVisitor& visit);
};
/// Reads the file. **Collective.** Throws InputError for a file that is missing or damaged, and
/// ConfigurationError where a group would be empty.
[[nodiscard]] Multitask make_multitask(const parallel::Comm& comm, const MultitaskOptions& options);

}  // namespace equipoise::problems
