#pragma once

#include "support.hpp"

#include <algorithm>

/// What the tests of methods over agents share.
namespace equipoise::vi::agents {

using Words = std::vector<std::string>;

inline Setting setting(const Comm& comm, const std::string& measure = "residual",
                       std::uint64_t seed = 0) {
  Setting s;
  s.comm = comm;
  s.seed = seed;
  s.measure = measure;
  s.chunks = 20;
  s.tolerance = 1e-8;
  return s;
}

inline problems::DenseGame game(const Comm& comm, double heterogeneity, std::int64_t d = 100,
                                std::int64_t agents = 20) {
  problems::GameOptions options;
  options.dimension = d;
  options.agents = agents;
  options.heterogeneity = heterogeneity;
  return {options, partition::Partition::uniform(agents, comm.size()).range(comm.rank())};
}

inline std::unique_ptr<solve::Method> make(const Setting& s, const ProblemView& problem,
                                           const std::string& name, const Words& words = {}) {
  state::Config config;
  for (const std::string& word : words) config.assign(word);
  return make_method(name, s, problem, config);
}

inline solve::Summary solve_to(const Comm& comm, solve::Method& method, double tolerance,
                               std::int64_t most = 100'000) {
  solve::StopOptions stop;
  stop.tolerance = tolerance;
  stop.max_iterations = most;
  return solve::run(comm, method, stop, {}, {}, {.quiet = true, .note = {}});
}

/// Takes the local state of one object and puts it into another of the same kind.
class Transfer final : public state::FieldVisitor {
 public:
  void restore() { writing_ = true; }
  void scalar(std::string_view, double& v) override { one(v, doubles_, next_double_); }
  void scalar(std::string_view, std::int64_t& v) override { one(v, integers_, next_integer_); }
  void replicated(std::string_view, Vector& v) override { one(v, vectors_, next_vector_); }
  void replicated(std::string_view, std::vector<std::int64_t>& v) override {
    one(v, lists_, next_list_);
  }
  void partitioned(std::string_view, const partition::Partition&, int, std::int64_t,
                   Vector& v) override {
    one(v, vectors_, next_vector_);
  }
  void partitioned(std::string_view, const partition::Partition&, int, std::int64_t,
                   std::vector<std::int64_t>& v) override {
    one(v, lists_, next_list_);
  }
  void ragged(std::string_view, const partition::Partition&, int, std::vector<Vector>&) override {}
  void ragged(std::string_view, const partition::Partition&, int,
              std::vector<std::vector<std::int64_t>>&) override {}

 private:
  template <class T>
  void one(T& value, std::vector<T>& kept, std::size_t& next) {
    if (writing_) {
      value = kept[next++];
    } else {
      kept.push_back(value);
    }
  }
  bool writing_ = false;
  Vector doubles_;
  std::vector<std::int64_t> integers_;
  std::vector<Vector> vectors_;
  std::vector<std::vector<std::int64_t>> lists_;
  std::size_t next_double_ = 0, next_integer_ = 0, next_vector_ = 0, next_list_ = 0;
};

/// A quadratic game on the box [-r, r]^d: the same operator, constrained.
struct BoxGame {
  problems::DenseGame game;
  double radius;
  [[nodiscard]] std::int64_t dimension() const { return game.dimension(); }
  [[nodiscard]] std::int64_t agents() const { return game.agents(); }
  void apply(std::int64_t agent, std::span<const double> z, std::span<double> out) const {
    game.apply(agent, z, out);
  }
  void surrogate(std::span<const double> z, std::span<double> out) const { game.surrogate(z, out); }
  void prox(double, std::span<double> z) const {
    for (double& v : z) v = std::min(radius, std::max(-radius, v));
  }
};
static_assert(AgentProblem<BoxGame>);

}  // namespace equipoise::vi::agents
