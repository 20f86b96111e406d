#pragma once

#include <equipoise/problems/pareto/pde_objectives.hpp>

#include <utility>

namespace equipoise::problems {

/// What solvers of weighted sums under a PDE share: nodal fields in packets.
class PdeFieldSolver : public pareto::WeightedSolver {
 public:
  PdeFieldSolver(std::shared_ptr<const PdeObjectives> problem, std::vector<std::string> fields)
      : problem_(std::move(problem)), fields_(std::move(fields)) {}
  [[nodiscard]] std::size_t objectives() const override { return problem_->objectives.size(); }
  [[nodiscard]] std::string fingerprint() const override { return problem_->fingerprint; }
  [[nodiscard]] const partition::Partition& rows() const override { return grid().partition(); }
  [[nodiscard]] std::vector<std::string> fields() const override { return fields_; }

 protected:
  [[nodiscard]] const control::Grid& grid() const { return problem_->grid(); }
  [[nodiscard]] std::size_t local() const {
    return static_cast<std::size_t>(grid().owned().size());
  }
  [[nodiscard]] std::size_t size_of_packet() const { return local() * fields_.size(); }
  /// Field number `field` of a packet, into a vector and out of it.
  void load(const std::vector<double>& x, std::size_t field, Vec vector) const {
    linalg::Entries entries(vector);
    for (std::size_t i = 0; i < local(); ++i)
      entries[static_cast<std::int64_t>(i)] = x[field * local() + i];
  }
  void store(Vec vector, std::vector<double>& x, std::size_t field) const {
    const linalg::ConstEntries entries(vector);
    for (std::size_t i = 0; i < local(); ++i)
      x[field * local() + i] = entries[static_cast<std::int64_t>(i)];
  }

  std::shared_ptr<const PdeObjectives> problem_;

 private:
  std::vector<std::string> fields_;
};

}  // namespace equipoise::problems
