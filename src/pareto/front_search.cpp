#include <equipoise/parallel/agree.hpp>
#include <equipoise/pareto/dominance.hpp>
#include <equipoise/pareto/front_search.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace equipoise::pareto {

void FrontOptions::describe(state::OptionVisitor& visit) {
  visit.choice(
      "scalarisation", scalarisation,
      {"pascoletti_serafini", "weighted_sum", "epsilon_constraint", "chebyshev", "reference_point"},
      "the problem with one objective that a point solves");
  visit.option("spacing", spacing, "wanted distance of neighbours, objectives scaled to [0, 1]",
               {0.0, 1.0, true});
  visit.option("anchor_weight", anchor_weight,
               "weight of the other objectives at the ends of the front", {0.0, 0.5});
  visit.option("max_points", max_points, "points at which to end", {3.0});
  visit.option("tolerance", solver.tolerance, "criticality of a point, relative to its gradients",
               state::positive);
  visit.option("max_iterations", solver.max_iterations, "iterations of one point",
               state::at_least_one);
}

FrontSearch::FrontSearch(parallel::Comm comm, ProblemView problem, const FrontOptions& options)
    : FrontSearch(std::move(comm), problem, options,
                  [solver = SmoothSolver(problem, options.solver)](const Scalarisation& s,
                                                                   const WarmPacket* warm) mutable {
                    return solver.solve(s, warm);
                  }) {
  if (problem.constraints() > 0) {
    throw ConfigurationError("method front takes bounds but no constraints, {} has {}",
                             problem.fingerprint(), problem.constraints());
  }
}

FrontSearch::FrontSearch(parallel::Comm comm, ProblemView problem, const FrontOptions& options,
                         SolveScalar solve)
    : comm_(std::move(comm)),
      problem_(problem),
      options_(options),
      solve_(std::move(solve)),
      totals_(3, 0) {
  require_valid(problem, false);
  if (problem.objectives() > 2 && options.scalarisation != "pascoletti_serafini") {
    throw ConfigurationError(
        "method.scalarisation = {} fills fronts of two objectives; {} has {}: use "
        "pascoletti_serafini",
        options.scalarisation, problem.fingerprint(), problem.objectives());
  }
}

void FrontSearch::step() {
  const bool plane = problem_.objectives() == 2;
  const auto tasks = generation_ == 0 ? anchors() : (plane ? halvings() : lines());
  auto answers = solve_all(tasks);
  if (generation_ == 0) {
    absorb_anchors(tasks, std::move(answers));
  } else if (plane) {
    absorb_halvings(tasks, std::move(answers));
  } else {
    absorb_lines(tasks, std::move(answers));
  }
  ++generation_;
  const auto open = plane ? halvings() : lines();
  report_.finished =
      open.empty() || static_cast<std::int64_t>(members_.size()) >= options_.max_points;
  report_.residual = 0.0;
  if (plane) {
    for (std::size_t i = 0; i + 1 < order_.size(); ++i) {
      if (closed_[i]) continue;
      report_.residual = std::max(
          report_.residual, distance(members_[static_cast<std::size_t>(order_[i])].answer.f,
                                     members_[static_cast<std::size_t>(order_[i + 1])].answer.f));
    }
    // A spacing that is reached is what the tolerance asks for.
    if (open.empty()) report_.residual = 0.0;
  } else {
    report_.residual =
        open.empty() ? 0.0
                     : 1.0 - static_cast<double>(generation_ - 1) / static_cast<double>(side());
  }
  report_.fresh = true;
}

std::vector<FrontSearch::Task> FrontSearch::anchors() const {
  const std::size_t k = problem_.objectives();
  std::vector<Task> tasks;
  for (std::size_t i = 0; i < k; ++i) {
    std::vector<double> w(k, options_.anchor_weight / static_cast<double>(k - 1));
    w[i] = 1.0 - options_.anchor_weight;
    tasks.push_back({weighted_sum(std::move(w)), -1, static_cast<std::int64_t>(i)});
  }
  return tasks;
}

/// Solves the tasks, task t on rank t mod P, and gives every rank every answer in the order of the
/// tasks.
std::vector<ScalarAnswer> FrontSearch::solve_all(const std::vector<Task>& tasks) {
  const std::size_t n = problem_.dimension();
  const std::size_t k = problem_.objectives();
  const std::size_t width = n + 3 * k + 5;
  std::vector<double> rows(tasks.size() * width, -std::numeric_limits<double>::infinity());
  std::vector<std::string> messages(tasks.size());
  parallel::agree(comm_, [&] {
    for (auto t = static_cast<std::size_t>(comm_.rank()); t < tasks.size();
         t += static_cast<std::size_t>(comm_.size())) {
      const Task& task = tasks[t];
      const WarmPacket* warm = task.parent < 0
                                   ? nullptr
                                   : &members_[static_cast<std::size_t>(task.parent)].answer.packet;
      ScalarAnswer answer = solve_(task.scalarisation, warm);
      // A failed warm start gets a second chance from the problem's own start.
      if (answer.status != ScalarStatus::converged && warm) {
        const ScalarAnswer cold = solve_(task.scalarisation, nullptr);
        if (cold.status == ScalarStatus::converged) answer = cold;
      }
      std::vector<double> row{static_cast<double>(answer.status), answer.residual};
      for (std::size_t c = 0; c < 3; ++c) {
        row.push_back(c < answer.counters.size() ? static_cast<double>(answer.counters[c].second)
                                                 : 0.0);
      }
      for (const auto* part :
           {&answer.f, &answer.weights, &answer.packet.multipliers, &answer.packet.x}) {
        row.insert(row.end(), part->begin(), part->end());
      }
      row.resize(width, 0.0);
      for (double& v : row) v = std::isnan(v) ? std::numeric_limits<double>::infinity() : v;
      std::copy(row.begin(), row.end(), rows.begin() + static_cast<std::ptrdiff_t>(t * width));
      messages[t] = answer.message;
    }
  });
  comm_.max(rows);
  std::vector<ScalarAnswer> answers;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    const double* row = rows.data() + t * width;
    ScalarAnswer answer;
    answer.status = static_cast<ScalarStatus>(static_cast<int>(row[0]));
    answer.residual = row[1];
    for (std::size_t c = 0; c < 3; ++c) totals_[c] += static_cast<std::int64_t>(row[2 + c]);
    answer.f.assign(row + 5, row + 5 + k);
    answer.weights.assign(row + 5 + k, row + 5 + 2 * k);
    answer.packet.multipliers.assign(row + 5 + 2 * k, row + 5 + 3 * k);
    answer.packet.x.assign(row + 5 + 3 * k, row + width);
    ++solves_;
    if (answer.status != ScalarStatus::converged) {
      ++failures_;
      if (trouble_.empty()) {
        trouble_ = comm_.broadcast(messages[t],
                                   static_cast<int>(t % static_cast<std::size_t>(comm_.size())));
      }
    }
    answers.push_back(std::move(answer));
  }
  return answers;
}

void FrontSearch::set_range() {
  PointSet values{{}, problem_.objectives()};
  for (std::size_t i = 0; i < problem_.objectives(); ++i) values.push(members_[i].answer.f);
  range_ = range_of(values);
}

double FrontSearch::distance(std::span<const double> a, std::span<const double> b) const {
  double sum = 0.0;
  for (std::size_t j = 0; j < a.size(); ++j) {
    const double width = range_.nadir[j] - range_.ideal[j];
    const double d = (a[j] - b[j]) / (width > 0.0 ? width : 1.0);
    sum += d * d;
  }
  return std::sqrt(sum);
}

void FrontSearch::absorb_anchors(const std::vector<Task>&, std::vector<ScalarAnswer> answers) {
  for (auto& answer : answers) {
    if (answer.status != ScalarStatus::converged) {
      throw NotFiniteError("an end of the front cannot be computed: objective {}: {}",
                           members_.size() + 1, trouble_);
    }
    members_.push_back({std::move(answer), -1});
  }
  set_range();
  if (problem_.objectives() != 2) return;
  order_ = {0, 1};
  if (members_[1].answer.f[0] < members_[0].answer.f[0]) std::swap(order_[0], order_[1]);
  // Ends that coincide to rounding: the front is one point.
  const double scale = 1.0 + std::abs(members_[0].answer.f[0]) + std::abs(members_[0].answer.f[1]);
  bool same = true;
  for (std::size_t j = 0; j < 2; ++j)
    same = same && std::abs(members_[0].answer.f[j] - members_[1].answer.f[j]) <= 1e-9 * scale;
  closed_ = {same ? 1 : 0, 0};
}

Scalarisation FrontSearch::aim(const FrontMember& left, const FrontMember& right) const {
  const auto& a = left.answer.f;
  const auto& b = right.answer.f;
  const std::vector<double> middle{0.5 * (a[0] + b[0]), 0.5 * (a[1] + b[1])};
  const double width = b[0] - a[0];
  const double height = a[1] - b[1];
  if (options_.scalarisation == "weighted_sum")
    return weighted_sum({height / (width + height), width / (width + height)});
  if (options_.scalarisation == "epsilon_constraint")
    return epsilon_constraint(0, {0.0, middle[1]});
  if (options_.scalarisation == "chebyshev") {
    return pascoletti_serafini(range_.ideal,
                               {middle[0] - range_.ideal[0], middle[1] - range_.ideal[1]});
  }
  // The normal of the chord in scaled objectives, mapped back: (height/H, width/W) times (W, H).
  const double w0 = std::max(range_.nadir[0] - range_.ideal[0], 1e-300);
  const double w1 = std::max(range_.nadir[1] - range_.ideal[1], 1e-300);
  const std::vector<double> normal{height / w1 * w0, width / w0 * w1};
  if (options_.scalarisation == "pascoletti_serafini") return pascoletti_serafini(middle, normal);
  // Below the middle by the length of the chord, square to it.
  return euclidean_reference({middle[0] - height, middle[1] - width});
}

std::vector<FrontSearch::Task> FrontSearch::halvings() const {
  std::vector<Task> tasks;
  for (std::size_t i = 0; i + 1 < order_.size(); ++i) {
    const auto& left = members_[static_cast<std::size_t>(order_[i])];
    const auto& right = members_[static_cast<std::size_t>(order_[i + 1])];
    if (closed_[i] || distance(left.answer.f, right.answer.f) <= options_.spacing) continue;
    tasks.push_back({aim(left, right), order_[i], static_cast<std::int64_t>(i)});
  }
  return tasks;
}

void FrontSearch::absorb_halvings(const std::vector<Task>& tasks,
                                  std::vector<ScalarAnswer> answers) {
  std::vector<std::int64_t> order;
  std::vector<std::int64_t> closed;
  std::size_t next = 0;
  for (std::size_t i = 0; i < order_.size(); ++i) {
    order.push_back(order_[i]);
    closed.push_back(closed_[i]);
    if (next >= tasks.size() || tasks[next].place != static_cast<std::int64_t>(i)) continue;
    ScalarAnswer& answer = answers[next];
    const auto& a = members_[static_cast<std::size_t>(order_[i])].answer.f;
    const auto& b = members_[static_cast<std::size_t>(order_[i + 1])].answer.f;
    const double gap = distance(a, b);
    // A new point lies between its neighbours and apart from both.
    const bool between = answer.status == ScalarStatus::converged && answer.f[0] > a[0] &&
                         answer.f[0] < b[0] && answer.f[1] < a[1] && answer.f[1] > b[1] &&
                         std::min(distance(answer.f, a), distance(answer.f, b)) > 0.02 * gap;
    if (between) {
      order.push_back(static_cast<std::int64_t>(members_.size()));
      closed.push_back(0);
      members_.push_back({std::move(answer), tasks[next].parent});
    } else {
      closed.back() = 1;
      ++holes_;
    }
    ++next;
  }
  order_ = std::move(order);
  closed_ = std::move(closed);
}

std::int64_t FrontSearch::side() const {
  return static_cast<std::int64_t>(std::ceil(1.0 / options_.spacing)) + 1;
}

std::int64_t FrontSearch::line_count() const {
  const auto k = static_cast<std::int64_t>(problem_.objectives());
  std::int64_t lines = k;
  for (std::int64_t j = 2; j < k; ++j) lines *= side();
  return lines;
}

/// Column generation_ - 1 of every row of the grids: on the plane of objective i, the other
/// objectives run over the scaled grid; the last of them is the column.
std::vector<FrontSearch::Task> FrontSearch::lines() const {
  std::vector<Task> tasks;
  const std::int64_t column = generation_ - 1;
  if (generation_ == 0 || column >= side()) return tasks;
  const std::size_t k = problem_.objectives();
  for (std::int64_t line = 0; line < line_count(); ++line) {
    const auto plane = static_cast<std::size_t>(line % static_cast<std::int64_t>(k));
    std::int64_t rest = line / static_cast<std::int64_t>(k);
    std::vector<double> reference(k);
    std::vector<double> direction(k);
    bool first = true;
    for (std::size_t j = 0; j < k; ++j) {
      const double width = std::max(range_.nadir[j] - range_.ideal[j], 1e-300);
      direction[j] = width;
      double at = 0.0;
      if (j != plane) {
        at = static_cast<double>(first ? column : rest % side()) / static_cast<double>(side() - 1);
        if (!first) rest /= side();
        first = false;
      }
      reference[j] = range_.ideal[j] + (at - 0.05) * width;
    }
    std::int64_t parent = static_cast<std::int64_t>(plane);
    for (std::size_t m = members_.size(); m-- > k;) {
      if (members_[m].parent == -2 - line) {
        parent = static_cast<std::int64_t>(m);
        break;
      }
    }
    tasks.push_back(
        {pascoletti_serafini(std::move(reference), std::move(direction)), parent, line});
  }
  return tasks;
}

void FrontSearch::absorb_lines(const std::vector<Task>& tasks, std::vector<ScalarAnswer> answers) {
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    if (answers[t].status != ScalarStatus::converged) continue;
    // The line it lies on is its name (-2 - line): the next column starts from it.
    members_.push_back({std::move(answers[t]), -2 - tasks[t].place});
  }
}

Population FrontSearch::front() const {
  Population all{problem_.dimension(), problem_.objectives(), {}, {}, {}};
  const auto add = [&](const FrontMember& member) {
    all.x.insert(all.x.end(), member.answer.packet.x.begin(), member.answer.packet.x.end());
    all.f.insert(all.f.end(), member.answer.f.begin(), member.answer.f.end());
    all.violation.push_back(0.0);
  };
  if (problem_.objectives() == 2) {
    for (const std::int64_t i : order_) add(members_[static_cast<std::size_t>(i)]);
  } else {
    for (const auto& member : members_) add(member);
  }
  Population best = all.subset(nondominated(all.values()));
  if (problem_.objectives() == 2 || best.size() == 0) return best;
  // Points of different lines that meet on a sub-front count once.
  Population apart{best.variables, best.objectives, {}, {}, {}};
  for (std::size_t i = 0; i < best.size(); ++i) {
    bool fresh = true;
    for (std::size_t j = 0; j < apart.size() && fresh; ++j)
      fresh = distance(best.value(i), apart.value(j)) > 1e-6;
    if (fresh) apart.push(best, i);
  }
  return apart;
}

std::vector<double> FrontSearch::gaps() const {
  std::vector<double> result;
  for (std::size_t i = 0; i + 1 < order_.size(); ++i) {
    result.push_back(distance(members_[static_cast<std::size_t>(order_[i])].answer.f,
                              members_[static_cast<std::size_t>(order_[i + 1])].answer.f));
  }
  return result;
}

solve::Counters FrontSearch::counters() const {
  // Totals over ranks are sums; every rank knows the whole here.
  const std::int64_t once = comm_.rank() == 0 ? 1 : 0;
  return {{"scalarised_solve", once * solves_},
          {"failed_solve", once * failures_},
          {"objective_value", once * totals_[0]},
          {"gradient", once * totals_[1]},
          {"hessian_vector", once * totals_[2]}};
}

std::vector<std::pair<std::string, std::string>> FrontSearch::notes() const {
  std::vector<std::pair<std::string, std::string>> notes{{"scalarisation", options_.scalarisation}};
  if (holes_ > 0)
    notes.emplace_back("holes", fmt::format("{} gaps yield no point between their ends", holes_));
  if (failures_ > 0)
    notes.emplace_back("failed solves",
                       fmt::format("{} of {}; the first: {}", failures_, solves_, trouble_));
  return notes;
}

void FrontSearch::fields(state::FieldVisitor& visit) {
  const std::size_t n = problem_.dimension();
  const std::size_t k = problem_.objectives();
  const std::size_t width = n + 3 * k + 2;
  std::vector<double> rows;
  for (const auto& m : members_) {
    rows.push_back(static_cast<double>(m.parent));
    rows.push_back(m.answer.residual);
    for (const auto* part :
         {&m.answer.f, &m.answer.weights, &m.answer.packet.multipliers, &m.answer.packet.x}) {
      rows.insert(rows.end(), part->begin(), part->end());
    }
  }
  std::vector<std::int64_t> tallies{solves_, failures_, holes_, totals_[0], totals_[1], totals_[2]};
  visit.scalar("generation", generation_);
  visit.replicated("members", rows);
  visit.replicated("order", order_);
  visit.replicated("closed", closed_);
  visit.replicated("tallies", tallies);
  members_.clear();
  for (std::size_t i = 0; i < rows.size() / width; ++i) {
    const double* row = rows.data() + i * width;
    FrontMember m;
    m.parent = static_cast<std::int64_t>(row[0]);
    m.answer.residual = row[1];
    m.answer.f.assign(row + 2, row + 2 + k);
    m.answer.weights.assign(row + 2 + k, row + 2 + 2 * k);
    m.answer.packet.multipliers.assign(row + 2 + 2 * k, row + 2 + 3 * k);
    m.answer.packet.x.assign(row + 2 + 3 * k, row + width);
    members_.push_back(std::move(m));
  }
  solves_ = tallies[0];
  failures_ = tallies[1];
  holes_ = tallies[2];
  totals_.assign(tallies.begin() + 3, tallies.end());
  if (generation_ > 0) set_range();
}

void FrontSearch::solution(state::FieldVisitor& visit) {
  const Population best = front();
  front_ = {};
  front_.variables = static_cast<std::int64_t>(best.variables);
  front_.objectives = static_cast<std::int64_t>(best.objectives);
  front_.x = best.x;
  front_.f = best.f;
  front_.fields(visit);
}

}  // namespace equipoise::pareto
