#include <equipoise/bilevel/penalty.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>

#include <mpi.h>

#include <algorithm>
#include <cmath>
#include <exception>

namespace equipoise::bilevel {
namespace {

constexpr std::string_view needed[] = {"grad_x_g"};
std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
/// An estimate of the Lipschitz constant of a gradient at a point: the largest of a few normalised
/// power steps on differences, which first-order oracles allow.
template <class Gradient>
double lipschitz(Gradient gradient, In y, std::int64_t block) {
  const std::size_t n = y.size();
  std::vector<double> base(n), moved(n), probe(n), direction(n);
  const parallel::Draw draw(0, parallel::Purpose::probe, 2, block);
  for (std::size_t k = 0; k < n; ++k) direction[k] = draw.normal(k);
  gradient(y, base);
  double estimate = 0.0;
  for (int round = 0; round < 20; ++round) {
    const double length = norm(direction);
    if (length == 0.0) break;
    const double h = 1e-5 * (1.0 + norm(y)) / length;
    for (std::size_t k = 0; k < n; ++k) probe[k] = y[k] + h * direction[k];
    gradient(probe, moved);
    for (std::size_t k = 0; k < n; ++k) direction[k] = (moved[k] - base[k]) / h;
    estimate = std::max(estimate, norm(direction) / length);
  }
  return estimate;
}

double lower_lipschitz(CountedOracle& oracle, std::int64_t i, In x, In y) {
  const double stated = oracle.view().bounds(i, x, y).smoothness;
  if (stated > 0.0) return stated;
  return 1.2 * lipschitz([&](In p, Out out) { oracle.grad_y_g(i, {}, x, p, out); }, y, i);
}

double upper_lipschitz(CountedOracle& oracle, std::int64_t i, In x, In y) {
  const double stated = oracle.view().bounds(i, x, y).upper_smoothness;
  if (stated > 0.0) return stated;
  return 1.2 * lipschitz([&](In p, Out out) { oracle.grad_y_f(i, {}, x, p, out); }, y, i);
}

}  // namespace

void PenaltyOptions::describe(state::OptionVisitor& visit) {
  visit.option("inner", inner, "lower steps an iteration", state::at_least_one);
  visit.option("batch", batch, "samples per block and level, 0 for all", state::non_negative);
  visit.option("penalty", penalty,
               "penalty lambda at the start; the limit is biased by O(1 / lambda)",
               state::positive);
  visit.option("growth", growth, "lambda grows like (k + 1)^growth", {0.0, 0.5});
  visit.option("lower_step", lower_step, "step of the lower variable, 0 for 1 / L",
               state::non_negative);
  visit.option("outer_step", outer_step, "step of x, 0 for 0.4 times the lower step",
               state::non_negative);
  visit.option("storm", storm, "STORM estimate of the outer direction");
  visit.option("beta", beta, "constant of STORM", state::probability);
  visit.option("evaluate_every", evaluate_every,
               "iterations between evaluations of the hypergradient, 0 for never",
               state::non_negative);
  exchange.describe(visit);
}

PenaltyMethod::PenaltyMethod(const Setup& setup, PenaltyOptions options)
    : MethodBase(setup, options.exchange.setting(setup.seed), "of penalty type", needed),
      options_(std::move(options)),
      z_(y_),
      old_y_(y_),
      old_z_(y_),
      old_x_(x_),
      estimate_(x_.size()) {
  evaluates(options_.evaluate_every);
  double limits[2] = {0.0, 0.0};
  blocks_.work([&] {
    require_batches(options_.batch);
    CountedOracle counted(oracle_.view());
    for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i) {
      const In y = blocks_.of(std::as_const(y_), i);
      limits[0] = std::max(limits[0], lower_lipschitz(counted, i, x_, y));
      limits[1] = std::max(limits[1], upper_lipschitz(counted, i, x_, y));
    }
  });
  blocks_.comm().max(std::span(limits));
  gamma_ = options_.lower_step > 0.0 ? options_.lower_step : 1.0 / limits[0];
  ratio_ = limits[1] / limits[0];
  eta_ = options_.outer_step > 0.0 ? options_.outer_step : 0.4 * gamma_;
  const auto dy = at(blocks_.largest_dim());
  a_.resize(dy);
  b_.resize(dy);
  for (auto* buffer : {&h_, &g_, &h_old_, &next_}) buffer->resize(x_.size());
}

double PenaltyMethod::penalty(std::int64_t k) const {
  return options_.penalty * std::pow(static_cast<double>(k + 1), options_.growth);
}

/// T steps on z and y of block i.
void PenaltyMethod::descend(std::int64_t i) {
  const Out y = blocks_.of(y_, i), z = blocks_.of(z_, i);
  const Out a = Out(a_).first(y.size()), b = Out(b_).first(y.size());
  const double lambda = penalty(iteration_), step = gamma_ / (lambda + ratio_);
  for (std::int64_t round = 1; round <= options_.inner; ++round) {
    draw_batch(i, Level::lower, options_.batch, round, lower_);
    draw_batch(i, Level::upper, options_.batch, round, upper_);
    oracle_.grad_y_g(i, lower_, x_, z, a);
    axpy(-gamma_, a, z);
    oracle_.view().proj_y(i, z);
    oracle_.grad_y_g(i, lower_, x_, y, a);
    oracle_.grad_y_f(i, upper_, x_, y, b);
    axpy(lambda, a, b);
    axpy(-step, b, y);
    oracle_.view().proj_y(i, y);
  }
}

/// out = grad_x f(x, y) + lambda (grad_x g(x, y) - grad_x g(x, z)) on the present samples.
void PenaltyMethod::direction(std::int64_t i, double lambda, In x, In y, In z,
                              std::vector<double>& out) {
  oracle_.grad_x_f(i, upper_, x, y, out);
  oracle_.grad_x_g(i, lower_, x, y, g_);
  axpy(lambda, g_, out);
  oracle_.grad_x_g(i, lower_, x, z, g_);
  axpy(-lambda, g_, out);
}

void PenaltyMethod::step() {
  exchange_.clear();
  std::int64_t bad = -1;
  const bool look_back = options_.storm && iteration_ > 0;
  const Blend storm = blend(Estimator::storm, {options_.beta, 0.0, 0.0}, !look_back, false);
  blocks_.work([&] {
    for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i) {
      descend(i);
      draw_batch(i, Level::lower, options_.batch, 0, lower_);
      draw_batch(i, Level::upper, options_.batch, 0, upper_);
      direction(i, penalty(iteration_), x_, blocks_.of(y_, i), blocks_.of(z_, i), h_);
      if (look_back) {
        direction(i, penalty(iteration_ - 1), old_x_, blocks_.of(old_y_, i), blocks_.of(old_z_, i),
                  h_old_);
        axpy(storm.previous, h_old_, h_);
      }
      exchange_.add(i, 1.0, h_);
      if (bad < 0 && !all_finite(h_)) bad = i;
    }
  });
  exchange_.mean(iteration_, next_);
  report_.fresh = false;
  if (!all_finite(next_)) {
    failed_block(bad);
    report_.failed = true;
    return;
  }
  update({look_back ? storm.keep : 0.0, 1.0, 0.0}, next_, next_, estimate_);
  if (options_.storm) {
    old_x_ = x_;
    old_y_ = y_;
    old_z_ = z_;
  }
  axpy(-eta_, estimate_, x_);
  oracle_.view().proj_x(x_);
  ++iteration_;
  if (options_.evaluate_every > 0 && iteration_ % options_.evaluate_every == 0) evaluate();
}

void PenaltyMethod::fields(state::FieldVisitor& visit) {
  base_fields(visit);
  block_field(visit, "z", z_);
  if (options_.storm) {
    block_field(visit, "old_y", old_y_);
    block_field(visit, "old_z", old_z_);
    visit.replicated("old_x", old_x_);
    visit.replicated("estimate", estimate_);
  }
  visit.scalar("gamma", gamma_);
  visit.scalar("eta", eta_);
  visit.scalar("ratio", ratio_);
}

std::vector<std::pair<std::string, std::string>> PenaltyMethod::notes() const {
  return {{"steps", fmt::format("lower {:.3g}, outer {:.3g}, penalty {:.3g}", gamma_, eta_,
                                penalty(iteration_))}};
}

void DifferenceOptions::describe(state::OptionVisitor& visit) {
  visit.option("order", order, "p: 1, 2, 3, 4 or 8 points", state::at_least_one);
  visit.option("spacing", spacing, "s = 1 / lambda; the limit is biased by O(s^p)",
               state::positive);
  visit.option("outer_step", outer_step, "step of x, 0 for 0.2 / L", state::non_negative);
  visit.option("accuracy", accuracy, "gradient norm at which a node is solved", state::positive);
  visit.option("evaluate_every", evaluate_every,
               "iterations between evaluations of the hypergradient, 0 for never",
               state::non_negative);
  exchange.describe(visit);
}

std::vector<DifferenceMethod::Node> DifferenceMethod::nodes(std::int64_t order) {
  switch (order) {
    case 1:
      return {{1, 1.0}, {0, -1.0}};
    case 2:
      return {{1, 0.5}, {-1, -0.5}};
    case 3:
      return {{1, 1.0}, {2, -1.0 / 6}, {0, -0.5}, {-1, -1.0 / 3}};
    case 4:
      return {{1, 2.0 / 3}, {-1, -2.0 / 3}, {2, -1.0 / 12}, {-2, 1.0 / 12}};
    case 8: {
      std::vector<Node> out;
      const double c[] = {672.0 / 840, -168.0 / 840, 32.0 / 840, -3.0 / 840};
      for (int j = 1; j <= 4; ++j) {
        out.push_back({static_cast<double>(j), c[j - 1]});
        out.push_back({-static_cast<double>(j), -c[j - 1]});
      }
      return out;
    }
    default:
      throw ConfigurationError("method.order = {}: differences have 1, 2, 3, 4 or 8 points", order);
  }
}

DifferenceMethod::DifferenceMethod(const Setup& setup, DifferenceOptions options)
    : MethodBase(setup, options.exchange.setting(setup.seed), "f2sa-p", needed),
      options_(std::move(options)),
      nodes_(nodes(options_.order)),
      points_(nodes_.size(), y_),
      part_(x_.size()),
      next_(x_.size()) {
  evaluates(options_.evaluate_every);
  const parallel::Comm& comm = blocks_.comm();
  const int owners = static_cast<int>(blocks_.classes().size());
  // A sharded oracle has helpers of its own.
  const bool teams = oracle_.view().everywhere() && oracle_.view().table().enter == nullptr;
  if (teams && owners < comm.size()) team_ = comm.split(comm.rank() % owners, comm.rank());
  const int owner = team_.size() > 1 ? comm.rank() % owners : comm.rank();
  team_blocks_ = blocks_.over_ranks().range(owner);
  shares_ = partition::Partition::uniform(std::ssize(nodes_), team_.size());
  double largest = 0.0;
  blocks_.work([&] {
    CountedOracle counted(oracle_.view());
    for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i) {
      const In y = blocks_.of(std::as_const(y_), i);
      smoothness_.push_back(lower_lipschitz(counted, i, x_, y));
      upper_smoothness_.push_back(upper_lipschitz(counted, i, x_, y));
      const double convexity = oracle_.view().bounds(i, x_, y).strong_convexity;
      largest = std::max(largest, smoothness_.back());
      for (const auto& node : nodes_) {
        const double bend = -node.at * options_.spacing * upper_smoothness_.back();
        if (convexity > 0.0 && node.at < 0.0 && bend >= convexity) {
          throw ConfigurationError(
              "method.spacing = {}: block {} at node {} is not convex (|j| s L_f = {:.3g} must "
              "stay below mu = {:.3g}); "
              "take a smaller spacing or order 1",
              options_.spacing, i, node.at, bend, convexity);
        }
      }
    }
  });
  for (auto* constants : {&smoothness_, &upper_smoothness_}) {
    constants->resize(at(team_blocks_.size()));
    team_.broadcast(std::span(*constants));
  }
  eta_ = options_.outer_step > 0.0 ? options_.outer_step : 0.2 / comm.max(largest);
}

/// min_y g + weight f by accelerated gradients, restarted whenever the gradient opposes the
/// momentum.
void DifferenceMethod::solve(std::int64_t i, double weight, In x, Out y) {
  const auto local = at(i - team_blocks_.begin);
  const double step = 1.0 / (smoothness_[local] + std::abs(weight) * upper_smoothness_[local]);
  const std::size_t n = y.size();
  std::vector<double> point(y.begin(), y.end()), gradient(n), slope(n), last(n);
  double t = 1.0;
  for (int round = 0; round < 20000; ++round) {
    oracle_.grad_y_g(i, {}, x, point, gradient);
    if (weight != 0.0) {
      oracle_.grad_y_f(i, {}, x, point, slope);
      axpy(weight, slope, gradient);
    }
    const double length = norm(gradient);
    if (!std::isfinite(length))
      throw NotFiniteError("block {}: the lower gradient is not finite", i);
    std::copy(y.begin(), y.end(), last.begin());
    for (std::size_t k = 0; k < n; ++k) y[k] = point[k] - step * gradient[k];
    if (length <= options_.accuracy) return;
    double against = 0.0;
    for (std::size_t k = 0; k < n; ++k) against += gradient[k] * (y[k] - last[k]);
    const double next = against > 0.0 ? 1.0 : 0.5 * (1.0 + std::sqrt(1.0 + 4.0 * t * t));
    const double momentum = against > 0.0 ? 0.0 : (t - 1.0) / next;
    for (std::size_t k = 0; k < n; ++k) point[k] = y[k] + momentum * (y[k] - last[k]);
    t = next;
  }
}

/// Solves node j of block i from y; share = c_j / s [grad_x g + j s grad_x f] there.
void DifferenceMethod::visit_node(std::int64_t i, std::size_t j, In x, Out y, Out share) {
  const double weight = nodes_[j].at * options_.spacing;
  const double factor = nodes_[j].coefficient / options_.spacing;
  solve(i, weight, x, y);
  std::fill(share.begin(), share.end(), 0.0);
  oracle_.grad_x_g(i, {}, x, y, part_);
  axpy(factor, part_, share);
  if (weight == 0.0) return;
  oracle_.grad_x_f(i, {}, x, y, part_);
  axpy(factor * weight, part_, share);
}

/// The rows that the ranks of the team have worked on, to the owner.
void DifferenceMethod::gather_nodes(std::size_t width) {
  std::vector<int> counts, places;
  for (int r = 0; r < team_.size(); ++r) {
    counts.push_back(static_cast<int>(at(shares_.range(r).size()) * width));
    places.push_back(static_cast<int>(at(shares_.range(r).begin) * width));
  }
  const auto rank = static_cast<std::size_t>(team_.rank());
  const bool owner = rank == 0;
  MPI_Gatherv(owner ? MPI_IN_PLACE : rows_.data() + places[rank], counts[rank], MPI_DOUBLE,
              rows_.data(), counts.data(), places.data(), MPI_DOUBLE, 0, team_.handle());
}

void DifferenceMethod::hypergradient(In x, Out out) {
  exchange_.clear();
  const bool owner = team_.rank() == 0;
  const auto mine = shares_.range(team_.rank());
  std::vector<double> sum(x.size());
  blocks_.work([&] {
    std::exception_ptr problem;  // waits until the team has met for every block
    for (auto i = team_blocks_.begin; i < team_blocks_.end; ++i) {
      const std::size_t dy = at(oracle_.view().dim_inner(i)), width = dy + x.size();
      rows_.resize(nodes_.size() * width);
      const auto point = [&](std::size_t j) { return Out(rows_).subspan(j * width, dy); };
      const auto share = [&](std::size_t j) {
        return Out(rows_).subspan(j * width + dy, x.size());
      };
      for (std::size_t j = 0; owner && j < nodes_.size(); ++j) {
        const In y = blocks_.of(std::as_const(points_[j]), i);
        std::copy(y.begin(), y.end(), point(j).begin());
      }
      if (team_.size() > 1) team_.broadcast(std::span(rows_));
      try {
        for (auto j = mine.begin; j < mine.end; ++j)
          visit_node(i, at(j), x, point(at(j)), share(at(j)));
      } catch (...) {
        problem = std::current_exception();
      }
      if (team_.size() > 1) gather_nodes(width);
      if (!owner) continue;
      std::fill(sum.begin(), sum.end(), 0.0);
      for (std::size_t j = 0; j < nodes_.size(); ++j) {
        std::copy_n(point(j).begin(), dy, blocks_.of(points_[j], i).begin());
        axpy(1.0, share(j), sum);
      }
      exchange_.add(i, 1.0, sum);
    }
    if (problem) std::rethrow_exception(problem);
  });
  exchange_.mean(iteration_, out);
}

void DifferenceMethod::step() {
  hypergradient(x_, next_);
  report_.fresh = false;
  axpy(-eta_, next_, x_);
  oracle_.view().proj_x(x_);
  y_ = points_[0];
  ++iteration_;
  if (options_.evaluate_every > 0 && iteration_ % options_.evaluate_every == 0) evaluate();
}

void DifferenceMethod::fields(state::FieldVisitor& visit) {
  base_fields(visit);
  for (std::size_t j = 0; j < points_.size(); ++j)
    block_field(visit, "node" + std::to_string(j), points_[j]);
  visit.scalar("eta", eta_);
}

}  // namespace equipoise::bilevel
