#include <equipoise/parallel/agree.hpp>
#include <equipoise/pareto/front_search.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace equipoise::pareto {
namespace {

/// Solvers of plain vectors, each rank for itself.
class Alone final : public FieldSolver {
 public:
  Alone(ProblemView problem, SolveScalar solve)
      : problem_(problem),
        solve_(std::move(solve)),
        rows_(partition::Partition::uniform(static_cast<std::int64_t>(problem.dimension()), 1)) {
    require_valid(problem, false);
    if (problem.constraints() > 0) {
      throw ConfigurationError("method front takes bounds but no constraints, {} has {}",
                               problem.fingerprint(), problem.constraints());
    }
  }
  [[nodiscard]] std::size_t objectives() const override { return problem_.objectives(); }
  [[nodiscard]] std::string fingerprint() const override { return problem_.fingerprint(); }
  [[nodiscard]] const partition::Partition& rows() const override { return rows_; }
  [[nodiscard]] std::vector<std::string> fields() const override { return {"x"}; }
  [[nodiscard]] std::vector<std::string> counters() const override {
    return {"objective_value", "gradient", "hessian_vector"};
  }
  ScalarAnswer solve(const Scalarisation& s, const WarmPacket* warm) override {
    return solve_(s, warm);
  }

 private:
  ProblemView problem_;
  SolveScalar solve_;
  partition::Partition rows_;
};

}  // namespace

FrontSearch::FrontSearch(parallel::Comm comm, ProblemView problem, const FrontOptions& options)
    : FrontSearch(std::move(comm), problem, options,
                  [solver = SmoothSolver(problem, options.solver)](const Scalarisation& s,
                                                                   const WarmPacket* warm) mutable {
                    return solver.solve(s, warm);
                  }) {}

FrontSearch::FrontSearch(parallel::Comm comm, ProblemView problem, const FrontOptions& options,
                         SolveScalar solve)
    : FrontSearch(Groups::split(comm, 1), std::make_unique<Alone>(problem, std::move(solve)),
                  options) {}

FrontSearch::FrontSearch(Groups groups, std::unique_ptr<FieldSolver> solver,
                         const FrontOptions& options)
    : groups_(std::move(groups)),
      solver_(std::move(solver)),
      options_(options),
      plan_(solver_->objectives(), options),
      totals_(solver_->counters().size(), 0) {}

std::size_t FrontSearch::local_size() const {
  return static_cast<std::size_t>(solver_->rows().range(groups_.group.rank()).size()) *
         solver_->fields().size();
}

/// Points are plain vectors, known to every rank.
bool FrontSearch::plain() const {
  return solver_->fields().size() == 1 && groups_.group.size() == 1;
}

/// One point: what every rank shall know of it, and the packet.
std::vector<double> FrontSearch::solve(const FrontTask& task, std::string& message,
                                       std::vector<double>& x) {
  const std::size_t k = solver_->objectives();
  const WarmPacket* warm =
      task.parent < 0 ? nullptr
                      : &plan_.members()[static_cast<std::size_t>(task.parent)].answer.packet;
  ScalarAnswer answer;
  const auto attempt = [&](const WarmPacket* from) {
    try {
      answer = solver_->solve(task.scalarisation, from);
    } catch (const Error& error) {
      // A configuration that makes no sense fails everywhere; what fails at one point is a hole.
      if (error.code() == Exit::configuration) throw;
      answer = {};
      answer.status = ScalarStatus::not_finite;
      answer.message = error.what();
    }
  };
  attempt(warm);
  // A failed warm start gets a second chance from the problem's own start.
  if (answer.status != ScalarStatus::converged && warm != nullptr) {
    const ScalarAnswer first = answer;
    attempt(nullptr);
    if (answer.status != ScalarStatus::converged) answer = first;
  }
  bool finite = true;
  for (const double f : answer.f) finite = finite && std::isfinite(f);
  if (answer.status == ScalarStatus::converged && !finite) {
    answer.status = ScalarStatus::not_finite;
    answer.message = "an objective is not finite at the point found";
  }
  message = answer.message;
  std::vector<double> row{static_cast<double>(answer.status), answer.residual,
                          static_cast<double>(answer.grade), static_cast<double>(groups_.index)};
  for (std::size_t c = 0; c < totals_.size(); ++c)
    row.push_back(c < answer.counters.size() ? static_cast<double>(answer.counters[c].second)
                                             : 0.0);
  for (auto* part : {&answer.f, &answer.weights, &answer.packet.multipliers}) {
    part->resize(k, 0.0);
    row.insert(row.end(), part->begin(), part->end());
  }
  for (double& v : row) v = std::isnan(v) ? std::numeric_limits<double>::infinity() : v;
  x = std::move(answer.packet.x);
  x.resize(local_size(), 0.0);
  return row;
}

void FrontSearch::step() {
  const std::size_t k = solver_->objectives();
  if (spread_) {
    for (auto* answer : plan_.answers()) groups_.column.broadcast(answer->packet.x, 0);
    spread_ = false;
  }
  std::vector<std::size_t> todo;
  for (std::size_t t = 0; t < plan_.tasks().size(); ++t) {
    if (!plan_.solved(t)) todo.push_back(t);
  }
  // Plain vectors are cheap: a generation at a time. Fields: as few as keep every group busy.
  const bool fields = !plain();
  const auto quota = static_cast<std::size_t>(groups_.count == 1 ? 1 : 2 * groups_.count);
  if (fields && todo.size() > quota) todo.resize(quota);
  const std::size_t width = 3 * k + 4 + totals_.size();
  std::vector<double> rows(todo.size() * width, -std::numeric_limits<double>::infinity());
  std::vector<std::string> messages(todo.size());
  std::vector<std::vector<double>> packets(todo.size());
  std::exception_ptr failure;
  groups_.share(static_cast<std::int64_t>(todo.size()), [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    try {
      const auto row = solve(plan_.tasks()[todo[at]], messages[at], packets[at]);
      std::copy(row.begin(), row.end(), rows.begin() + static_cast<std::ptrdiff_t>(at * width));
    } catch (...) {
      failure = std::current_exception();
    }
  });
  parallel::agree(groups_.world, [&] {
    if (failure) std::rethrow_exception(failure);
  });
  groups_.world.max(rows);
  const std::size_t generation_size = todo.size();
  for (std::size_t i = 0; i < generation_size; ++i) {
    const double* row = rows.data() + i * width;
    const int owner = static_cast<int>(row[3]);
    ScalarAnswer answer;
    answer.status = static_cast<ScalarStatus>(static_cast<int>(row[0]));
    answer.residual = row[1];
    answer.grade = static_cast<std::int64_t>(row[2]);
    for (std::size_t c = 0; c < totals_.size(); ++c)
      totals_[c] += static_cast<std::int64_t>(row[4 + c]);
    const double* values = row + 4 + totals_.size();
    answer.f.assign(values, values + k);
    answer.weights.assign(values + k, values + 2 * k);
    answer.packet.multipliers.assign(values + 2 * k, values + 3 * k);
    if (answer.status != ScalarStatus::converged)
      answer.message = groups_.world.broadcast(messages[i], owner * groups_.group.size());
    packets[i].resize(local_size());
    groups_.column.broadcast(packets[i], owner);
    answer.packet.x = std::move(packets[i]);
    plan_.store(todo[i], std::move(answer));
  }
  report_.finished = plan_.complete();
  report_.residual = plan_.open();
  report_.fresh = !std::isnan(report_.residual);
  report_.message = trouble();
}

/// What a person must know of a front that is complete but not whole.
std::string FrontSearch::trouble() const {
  std::string text = plan_.dominated_end();
  const auto add = [&](const std::string& more) { text += (text.empty() ? "" : "; ") + more; };
  if (plan_.cut_short()) add("method.max_points ended the front before its spacing was reached");
  if (plan_.holes() > 0) add(fmt::format("{} gaps hold no point", plan_.holes()));
  if (plan_.failures() > 0)
    add(fmt::format("{} of {} solves failed, the first: {}", plan_.failures(), plan_.solves(),
                    plan_.trouble()));
  return text;
}

Population FrontSearch::front() const {
  const std::size_t n = local_size();
  Population best{n, solver_->objectives(), {}, {}, {}};
  for (const std::size_t i : plan_.front()) {
    const auto& answer = plan_.members()[i].answer;
    best.x.insert(best.x.end(), answer.packet.x.begin(), answer.packet.x.end());
    best.f.insert(best.f.end(), answer.f.begin(), answer.f.end());
    best.violation.push_back(0.0);
  }
  return best;
}

solve::Counters FrontSearch::counters() const {
  // Totals over ranks are sums; every rank knows the whole here.
  const std::int64_t once = groups_.world.rank() == 0 ? 1 : 0;
  solve::Counters counters{{"scalarised_solve", once * plan_.solves()},
                           {"failed_solve", once * plan_.failures()}};
  const auto names = solver_->counters();
  for (std::size_t c = 0; c < names.size(); ++c) counters.emplace_back(names[c], once * totals_[c]);
  return counters;
}

std::vector<std::pair<std::string, std::string>> FrontSearch::notes() const {
  std::vector<std::pair<std::string, std::string>> notes{{"scalarisation", options_.scalarisation}};
  if (groups_.group.size() > 1) {
    notes.emplace_back("groups",
                       fmt::format("{} of {} ranks", groups_.count, groups_.group.size()));
  }
  return notes;
}

/// Rows over all ranks, held by the first group alone: every group holds them all.
partition::Partition FrontSearch::storage() const {
  std::vector<std::int64_t> offsets(solver_->rows().offsets().begin(),
                                    solver_->rows().offsets().end());
  offsets.resize(static_cast<std::size_t>(groups_.world.size()) + 1, offsets.back());
  return partition::Partition::from_offsets(std::move(offsets));
}

void FrontSearch::fields(state::FieldVisitor& visit) {
  plan_.fields(visit);
  visit.replicated("totals", totals_);
  const auto answers = plan_.answers();
  const std::size_t count = answers.size();
  const std::size_t size = local_size();
  if (plain()) {
    std::vector<double> all;
    for (auto* answer : answers) {
      answer->packet.x.resize(size, 0.0);
      all.insert(all.end(), answer->packet.x.begin(), answer->packet.x.end());
    }
    visit.replicated("packets", all);
    for (std::size_t a = 0; a < count; ++a) {
      const auto at = all.begin() + static_cast<std::ptrdiff_t>(a * size);
      answers[a]->packet.x.assign(at, at + static_cast<std::ptrdiff_t>(size));
    }
    return;
  }
  const auto rows = storage();
  const std::size_t names = solver_->fields().size();
  const auto local = static_cast<std::size_t>(rows.range(groups_.world.rank()).size());
  // By row: all fields of all answers.
  std::vector<double> data(local * names * count, 0.0);
  const auto each = [&](const auto& move) {
    for (std::size_t a = 0; a < count; ++a) {
      auto& x = answers[a]->packet.x;
      for (std::size_t name = 0; name < names; ++name) {
        for (std::size_t i = 0; i < local; ++i)
          move(x[name * local + i], data[(i * count + a) * names + name]);
      }
    }
  };
  for (auto* answer : answers) {
    // Packets that come from a checkpoint are with the first group alone until the next step: a
    // visit is no place to communicate.
    spread_ = spread_ || (answer->packet.x.empty() && size > 0);
    answer->packet.x.resize(size, 0.0);
  }
  if (local > 0) each([](double& x, double& stored) { stored = x; });
  if (count > 0)
    visit.partitioned("packets", rows, groups_.world.rank(),
                      static_cast<std::int64_t>(names * count), data);
  if (local > 0) each([](double& x, double& stored) { x = stored; });
}

void FrontSearch::solution(state::FieldVisitor& visit) {
  const auto names = solver_->fields();
  if (plain()) {
    const Population best = front();
    front_ = {};
    front_.variables = static_cast<std::int64_t>(best.variables);
    front_.objectives = static_cast<std::int64_t>(best.objectives);
    front_.x = best.x;
    front_.f = best.f;
    front_.fields(visit);
    return;
  }
  FieldFront stored;
  stored.rows = storage();
  stored.part = groups_.world.rank();
  stored.objectives = static_cast<std::int64_t>(solver_->objectives());
  const auto local = static_cast<std::size_t>(stored.rows.range(stored.part).size());
  const auto best = plan_.front();
  stored.points = static_cast<std::int64_t>(best.size());
  for (const std::size_t i : best) {
    const auto& member = plan_.members()[i];
    stored.f.insert(stored.f.end(), member.answer.f.begin(), member.answer.f.end());
    stored.weights.insert(stored.weights.end(), member.answer.weights.begin(),
                          member.answer.weights.end());
    stored.residuals.push_back(member.answer.residual);
    stored.grades.push_back(member.answer.grade);
    stored.parents.push_back(member.parent);
  }
  for (std::size_t name = 0; name < names.size(); ++name) {
    if (names[name].front() == '.') continue;
    stored.names.push_back(names[name]);
    auto& values = stored.values.emplace_back();
    for (std::size_t i = 0; i < local; ++i) {
      for (const std::size_t p : best)
        values.push_back(plan_.members()[p].answer.packet.x[name * local + i]);
    }
  }
  stored.fields(visit);
}

void FieldFront::fields(state::FieldVisitor& visit) {
  visit.scalar("front_point_count", points);
  visit.scalar("front_objective_count", objectives);
  visit.replicated("front_objectives", f);
  visit.replicated("front_weights", weights);
  visit.replicated("front_criticality", residuals);
  visit.replicated("front_grade", grades);
  visit.replicated("front_parent", parents);
  values.resize(names.size());
  for (std::size_t name = 0; name < names.size(); ++name) {
    values[name].resize(static_cast<std::size_t>(rows.range(part).size() * points));
    visit.partitioned("front_" + names[name], rows, part, points, values[name]);
  }
}

}  // namespace equipoise::pareto
