#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/dominance.hpp>
#include <equipoise/pareto/front_plan.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace equipoise::pareto {
namespace {

constexpr std::array<double, 2> end_shares{1e-2, 1e-4};  ///< of the anchor weight

}  // namespace

void FrontOptions::describe(state::OptionVisitor& visit) {
  visit.choice("scalarisation", scalarisation,
               {"pascoletti_serafini", "weighted_sum", "epsilon_constraint", "chebyshev",
                "reference_point", "nbi", "nnc"},
               "the problem with one objective that a point solves");
  visit.option("spacing", spacing, "wanted distance of neighbours, objectives scaled to [0, 1]",
               {0.0, 1.0, true});
  visit.option("anchor_weight", anchor_weight,
               "weight of the other objectives at the ends of the front", {0.0, 0.5});
  visit.option("max_points", max_points, "points at which to end", {3.0});
  visit.option("weights", weights,
               "weights of the first of two objectives: these weighted sums alone", {0.0, 1.0});
  visit.option("tolerance", solver.tolerance, "criticality of a point, relative to its gradients",
               state::positive);
  visit.option("max_iterations", solver.max_iterations, "iterations of one point",
               state::at_least_one);
}

FrontPlan::FrontPlan(std::size_t objectives, FrontOptions options)
    : objectives_(objectives), options_(std::move(options)) {
  if (objectives < 2) {
    throw ConfigurationError(
        "the problem has {} objective(s): a front needs at least 2; with one objective there is a "
        "single best value, which the families control and bilevel compute",
        objectives);
  }
  if (objectives > 2 && options_.scalarisation != "pascoletti_serafini") {
    throw ConfigurationError(
        "method.scalarisation = {} fills fronts of two objectives, not of {}: use "
        "pascoletti_serafini",
        options_.scalarisation, objectives);
  }
  if (!options_.weights.empty() && objectives != 2) {
    throw ConfigurationError("method.weights are for two objectives; there are {}", objectives);
  }
  std::sort(options_.weights.begin(), options_.weights.end(), std::greater<>());
  options_.weights.erase(std::unique(options_.weights.begin(), options_.weights.end()),
                         options_.weights.end());
  plan();
}

void FrontPlan::plan() {
  tasks_.clear();
  if (generation_ == 0) {
    tasks_ = anchors();
  } else if (generation_ == 1 && options_.weights.empty()) {
    tasks_ = ends();
    if (tasks_.empty()) ++generation_;
  }
  if (generation_ >= first_fill()) {
    tasks_ = plane() ? fills() : lines();
    cut_short_ =
        !tasks_.empty() && static_cast<std::int64_t>(members_.size()) >= options_.max_points;
    if (cut_short_) tasks_.clear();
  }
  solved_.assign(tasks_.size(), false);
  pending_.assign(tasks_.size(), {});
}

void FrontPlan::store(std::size_t task, ScalarAnswer answer) {
  ++solves_;
  const bool trial = generation_ > 0 && generation_ < first_fill();  // an end may stay where it is
  if (answer.status != ScalarStatus::converged && !trial) {
    ++failures_;
    if (trouble_.empty()) trouble_ = answer.message;
  }
  solved_[task] = true;
  pending_[task] = std::move(answer);
  if (std::find(solved_.begin(), solved_.end(), false) != solved_.end()) return;
  absorb();
  ++generation_;
  plan();
}

void FrontPlan::absorb() {
  if (generation_ == 0) {
    absorb_anchors();
  } else if (generation_ < first_fill()) {
    absorb_ends();
  } else if (plane()) {
    absorb_fills();
  } else {
    absorb_lines();
  }
}

std::vector<FrontTask> FrontPlan::anchors() const {
  std::vector<FrontTask> tasks;
  if (!options_.weights.empty()) {
    // From the first and the last on, the middle of what is left, warmed by the neighbour.
    for (const double a : {options_.weights.front(), options_.weights.back()}) {
      tasks.push_back({weighted_sum({a, 1.0 - a}), -1, static_cast<std::int64_t>(tasks.size())});
    }
    if (options_.weights.size() == 1) tasks.pop_back();
    return tasks;
  }
  for (std::size_t i = 0; i < objectives_; ++i) {
    std::vector<double> w(objectives_,
                          options_.anchor_weight / static_cast<double>(objectives_ - 1));
    w[i] = 1.0 - options_.anchor_weight;
    tasks.push_back({weighted_sum(std::move(w)), -1, static_cast<std::int64_t>(i)});
  }
  return tasks;
}

/// The weights of the other objectives that the ends are followed down to, one after the other.
std::vector<FrontTask> FrontPlan::ends() const {
  std::vector<FrontTask> tasks;
  const bool degenerate = plane() && closed_[0] != 0;
  if (degenerate || !(options_.anchor_weight > 0.0)) return tasks;
  for (std::size_t i = 0; i < objectives_; ++i) {
    for (const double share : end_shares) {
      const double rest = share * options_.anchor_weight;
      std::vector<double> w(objectives_, rest / static_cast<double>(objectives_ - 1));
      w[i] = 1.0 - rest;
      const auto end = static_cast<std::int64_t>(i);
      tasks.push_back({weighted_sum(std::move(w)), end, end});
    }
  }
  return tasks;
}

/// An end moves on where the values settle as the weights of the other objectives vanish. Where
/// they do not (an objective without a minimizer), it stays at `anchor_weight`.
void FrontPlan::absorb_ends() {
  for (std::size_t i = 0; i < objectives_; ++i) {
    const ScalarAnswer& before = pending_[end_shares.size() * i];
    ScalarAnswer& last = pending_[end_shares.size() * i + 1];
    const bool solved =
        before.status == ScalarStatus::converged && last.status == ScalarStatus::converged;
    if (!solved || distance(before.f, last.f) > 0.25 * options_.spacing) continue;
    const bool worse = std::any_of(members_.begin(), members_.end(), [&](const FrontMember& m) {
      return dominates(m.answer.f, last.f);
    });
    if (!worse) members_[i].answer = std::move(last);
  }
  set_range();
}

void FrontPlan::set_range() {
  PointSet values{{}, objectives_};
  const std::size_t ends = std::min(objectives_, members_.size());
  for (std::size_t i = 0; i < ends; ++i) values.push(members_[i].answer.f);
  range_ = range_of(values);
}

double FrontPlan::distance(std::span<const double> a, std::span<const double> b) const {
  double sum = 0.0;
  for (std::size_t j = 0; j < a.size(); ++j) {
    const double width = range_.nadir[j] - range_.ideal[j];
    const double d = (a[j] - b[j]) / (width > 0.0 ? width : 1.0);
    sum += d * d;
  }
  return std::sqrt(sum);
}

void FrontPlan::absorb_anchors() {
  for (auto& answer : pending_) {
    if (answer.status != ScalarStatus::converged) {
      throw NotFiniteError(
          "an end of the front cannot be computed: objective {}: {}; it may be unbounded below",
          members_.size() + 1, answer.message);
    }
    members_.push_back({std::move(answer), -1});
  }
  set_range();
  if (!plane()) return;
  order_.resize(members_.size());
  std::iota(order_.begin(), order_.end(), 0);
  closed_.assign(members_.size(), 0);
  if (members_.size() < 2) return;
  if (members_[1].answer.f[0] < members_[0].answer.f[0]) std::swap(order_[0], order_[1]);
  const auto& a = members_[0].answer.f;
  const auto& b = members_[1].answer.f;
  // Ends that coincide to rounding: the front is one point.
  const double scale = 1.0 + std::abs(a[0]) + std::abs(a[1]);
  const bool same = std::abs(a[0] - b[0]) <= 1e-9 * scale && std::abs(a[1] - b[1]) <= 1e-9 * scale;
  if (!same && (dominates(a, b) || dominates(b, a))) {
    const bool second = dominates(a, b);
    dominated_end_ = fmt::format(
        "the end computed for objective {} is dominated by the other: ({:.6g}, {:.6g}) "
        "against ({:.6g}, {:.6g}). A better minimizer of objective {} is needed: the solver found "
        "a local one, or method.anchor_weight is too large",
        second ? 2 : 1, second ? b[0] : a[0], second ? b[1] : a[1], second ? a[0] : b[0],
        second ? a[1] : b[1], second ? 2 : 1);
  }
  if (same || !dominated_end_.empty()) closed_[0] = 1;
}

void FrontPlan::absorb_fills() {
  std::vector<std::int64_t> order;
  std::vector<std::int64_t> closed;
  std::size_t next = 0;
  for (std::size_t i = 0; i < order_.size(); ++i) {
    order.push_back(order_[i]);
    closed.push_back(closed_[i]);
    bool asked = false;
    bool found = false;
    for (; next < tasks_.size() && tasks_[next].place == static_cast<std::int64_t>(i); ++next) {
      asked = true;
      ScalarAnswer& answer = pending_[next];
      const auto& a = members_[static_cast<std::size_t>(order.back())].answer.f;
      const auto& b = ordered(i + 1).f;
      const double gap = distance(ordered(i).f, b);
      // A new point lies between its neighbours and apart from both; one of a list may lie
      // anywhere.
      const bool listed = !options_.weights.empty();
      const bool between =
          answer.status == ScalarStatus::converged &&
          (listed ||
           (answer.f[0] > a[0] && answer.f[0] < b[0] && answer.f[1] < a[1] && answer.f[1] > b[1] &&
            std::min(distance(answer.f, a), distance(answer.f, b)) > 0.02 * gap));
      if (!between) continue;
      found = true;
      order.push_back(static_cast<std::int64_t>(members_.size()));
      closed.push_back(0);
      members_.push_back({std::move(answer), tasks_[next].parent});
    }
    if (asked && !found) {
      closed.back() = 1;
      ++holes_;
    }
  }
  order_ = std::move(order);
  closed_ = std::move(closed);
}

double FrontPlan::open() const {
  if (complete()) return 0.0;
  if (generation_ < first_fill()) return solve::Report::unknown;
  if (!plane()) {
    const auto asked = static_cast<double>(tasks_.size());
    return asked / (asked + static_cast<double>(lines_.size()));
  }
  double widest = 0.0;
  for (std::size_t i = 0; i + 1 < order_.size(); ++i) {
    if (!closed_[i]) widest = std::max(widest, distance(ordered(i).f, ordered(i + 1).f));
  }
  return widest;
}

std::vector<double> FrontPlan::gaps() const {
  std::vector<double> result;
  for (std::size_t i = 0; i + 1 < order_.size(); ++i)
    result.push_back(distance(ordered(i).f, ordered(i + 1).f));
  return result;
}

std::vector<std::size_t> FrontPlan::front() const {
  std::vector<std::size_t> all(members_.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  if (plane()) {
    for (std::size_t i = 0; i < order_.size(); ++i) all[i] = static_cast<std::size_t>(order_[i]);
  }
  PointSet values{{}, objectives_};
  for (const std::size_t i : all) values.push(members_[i].answer.f);
  std::vector<std::size_t> best;
  for (const std::size_t i : nondominated(values)) best.push_back(all[i]);
  if (plane()) return best;
  // Points of different lines that meet on a sub-front count once.
  std::vector<std::size_t> apart;
  for (const std::size_t i : best) {
    const bool fresh = std::all_of(apart.begin(), apart.end(), [&](std::size_t j) {
      return distance(members_[i].answer.f, members_[j].answer.f) > 1e-6;
    });
    if (fresh) apart.push_back(i);
  }
  return apart;
}

std::vector<ScalarAnswer*> FrontPlan::answers() {
  std::vector<ScalarAnswer*> all;
  for (auto& member : members_) all.push_back(&member.answer);
  for (std::size_t t = 0; t < tasks_.size(); ++t) {
    if (solved_[t]) all.push_back(&pending_[t]);
  }
  return all;
}

void FrontPlan::fields(state::FieldVisitor& visit) {
  const std::size_t k = objectives_;
  const std::size_t width = 3 * k + 4;
  std::vector<double> rows;
  const auto write = [&](double key, const ScalarAnswer& answer) {
    rows.insert(rows.end(), {key, static_cast<double>(answer.status), answer.residual,
                             static_cast<double>(answer.grade)});
    for (const auto* part : {&answer.f, &answer.weights, &answer.packet.multipliers}) {
      std::vector<double> padded = *part;
      padded.resize(k, 0.0);
      rows.insert(rows.end(), padded.begin(), padded.end());
    }
  };
  for (const auto& m : members_) write(static_cast<double>(m.parent), m.answer);
  auto count = static_cast<std::int64_t>(members_.size());
  for (std::size_t t = 0; t < tasks_.size(); ++t) {
    if (solved_[t]) write(static_cast<double>(t), pending_[t]);
  }
  std::vector<std::int64_t> tallies{solves_, failures_, holes_};
  visit.scalar("generation", generation_);
  visit.scalar("member_count", count);
  visit.replicated("answers", rows);
  visit.replicated("order", order_);
  visit.replicated("closed", closed_);
  auto lattice = pack_lines();
  visit.replicated("lattice", lattice);
  unpack_lines(lattice);
  visit.replicated("tallies", tallies);
  solves_ = tallies[0];
  failures_ = tallies[1];
  holes_ = tallies[2];
  const auto read = [&](const double* row) {
    ScalarAnswer answer;
    answer.status = static_cast<ScalarStatus>(static_cast<int>(row[1]));
    answer.residual = row[2];
    answer.grade = static_cast<std::int64_t>(row[3]);
    answer.f.assign(row + 4, row + 4 + k);
    answer.weights.assign(row + 4 + k, row + 4 + 2 * k);
    answer.packet.multipliers.assign(row + 4 + 2 * k, row + 4 + 3 * k);
    return answer;
  };
  // Packets that are there already stay: a visitor that writes changes nothing.
  std::vector<std::vector<double>> packets;
  for (auto* answer : answers()) packets.push_back(std::move(answer->packet.x));
  members_.clear();
  const std::size_t total = rows.size() / width;
  const auto take = [&](std::size_t i, ScalarAnswer& answer) {
    answer = read(rows.data() + i * width);
    if (i < packets.size()) answer.packet.x = std::move(packets[i]);
  };
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    members_.push_back({{}, static_cast<std::int64_t>(rows[i * width])});
    take(i, members_.back().answer);
  }
  if (generation_ > 0) set_range();
  plan();
  for (std::size_t i = static_cast<std::size_t>(count); i < total; ++i) {
    const auto t = static_cast<std::size_t>(rows[i * width]);
    solved_[t] = true;
    take(i, pending_[t]);
  }
}

}  // namespace equipoise::pareto
