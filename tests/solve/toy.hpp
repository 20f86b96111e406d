#pragma once

#include <equipoise/parallel/agree.hpp>
#include <equipoise/solve/run.hpp>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace equipoise::solve {

/// A method whose every figure is known: the residual after k steps is factor^k, each rank sends
/// 10 + rank bytes a step (100 at the start), and "work" counts one call a step on each rank and
/// one at the start. Its state is a vector by items, partitioned over the ranks: item i grows by i.
class Toy : public Method {
 public:
  explicit Toy(const parallel::Comm& comm, double factor = 0.5)
      : comm_(comm),
        factor_(factor),
        items_(partition::Partition::uniform(7, comm.size())),
        values_(static_cast<std::size_t>(items_.range(comm.rank()).size()), 0.0) {
    report_.residual = 1.0;
    report_.fresh = true;
    report_.objective = 0.0;
    traffic_.sent = 100;
    traffic_.uplink_per_agent = 50;
    traffic_.rounds = 1;
  }

  void step() override {
    if (on_step) on_step(steps_ + 1);
    ++steps_;
    ++work_;
    traffic_.sent += 10 + comm_.rank();
    traffic_.header_sent += 1;
    traffic_.uplink_per_agent += 5;
    traffic_.rounds += 1;
    for (std::size_t i = 0; i < values_.size(); ++i) {
      values_[i] += 0.1 * static_cast<double>(items_.range(comm_.rank()).begin + std::int64_t(i));
    }
    const bool evaluate = steps_ % every == 0;
    report_.fresh = evaluate;
    if (!evaluate) return;
    report_.residual = residual ? residual(steps_) : std::pow(factor_, double(steps_));
    report_.objective = -static_cast<double>(steps_);
  }

  [[nodiscard]] Report report() const override { return report_; }
  [[nodiscard]] parallel::Traffic traffic() const override { return traffic_; }
  [[nodiscard]] Counters counters() const override { return {{"work", work_}}; }
  void fields(state::FieldVisitor& visit) override {
    visit.scalar("steps", steps_);
    visit.scalar("residual", report_.residual);
    visit.scalar("objective", report_.objective);
    visit.partitioned("values", items_, comm_.rank(), 1, values_);
  }
  void solution(state::FieldVisitor& visit) override {
    visit.partitioned("values", items_, comm_.rank(), 1, values_);
  }

  [[nodiscard]] const std::vector<double>& values() const { return values_; }
  [[nodiscard]] std::int64_t steps() const { return steps_; }
  Report& edit() { return report_; }

  std::function<void(std::int64_t step)> on_step;
  std::function<double(std::int64_t step)> residual;
  std::int64_t every = 1;

 private:
  const parallel::Comm& comm_;
  double factor_;
  partition::Partition items_;
  std::vector<double> values_;
  std::int64_t steps_ = 0;
  std::int64_t work_ = 1;
  Report report_;
  parallel::Traffic traffic_;
};

}  // namespace equipoise::solve
