#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/dominance.hpp>
#include <equipoise/pareto/hypervolume.hpp>
#include <equipoise/pareto/islands.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace equipoise::pareto {

void IslandOptions::describe(state::OptionVisitor& visit) {
  visit.option("islands", islands, "logical islands, shared out over the ranks", {1.0, 65536.0});
  visit.option("algorithms", algorithms,
               "algorithms of the islands in turn; empty: the method's own");
  visit.choice("topology", topology, {"ring", "full", "none"}, "who sends migrants to whom");
  visit.option("migrate_every", migrate_every, "generations between migrations",
               state::at_least_one);
  visit.option("migrants", migrants, "members sent at a migration", state::at_least_one);
  visit.option("evaluations", evaluations, "budget of all islands together", state::at_least_one);
  visit.choice("schedule", schedule, {"shares", "queue"},
               "evaluations in equal shares, or from a queue where their costs differ");
  visit.option("window", window, "generations over which the growth of the front is measured",
               state::at_least_one);
}

void Front::fields(state::FieldVisitor& visit) {
  visit.scalar("front_variables", variables);
  visit.scalar("front_objective_count", objectives);
  visit.replicated("front_points", x);
  visit.replicated("front_objectives", f);
}

double front_growth(PointView before, PointView after) {
  const Range range = range_of(after);
  const PointSet old_points = normalized(before, range);
  const PointSet new_points = normalized(after, range);
  const std::vector<double> reference(after.objectives, 1.1);
  const auto volume = [&](PointView points) {
    return after.objectives <= 6 ? hypervolume(points, reference)
                                 : estimate_hypervolume(points, reference, 20000, 1).value;
  };
  const double now = volume(new_points);
  return now > 0.0 ? std::abs(now - volume(old_points)) / now : solve::Report::unknown;
}

Islands::Islands(parallel::Comm comm, ProblemView problem, const std::string& algorithm,
                 const AlgorithmOptions& algorithm_options, const IslandOptions& options,
                 std::uint64_t seed)
    : comm_(std::move(comm)),
      problem_(problem),
      options_(options),
      space_(space_of(problem)),
      owners_(partition::Partition::uniform(options.islands, comm_.size())),
      algorithm_(algorithm) {
  const auto range = owners_.range(comm_.rank());
  for (std::int64_t i = range.begin; i < range.end; ++i) {
    const auto& names = options_.algorithms;
    const std::string& name =
        names.empty() ? algorithm : names[static_cast<std::size_t>(i) % names.size()];
    own_.push_back(make_algorithm(name, space_, algorithm_options, seed, i));
  }
}

/// Every rank gets the lists of all islands, in the order of the islands.
void Islands::share(std::vector<std::vector<double>>& parts) {
  const auto islands = static_cast<std::size_t>(options_.islands);
  if (comm_.size() == 1) return;
  std::vector<double> sizes(islands, 0.0);
  const auto begin = static_cast<std::size_t>(owners_.range(comm_.rank()).begin);
  for (std::size_t i = 0; i < parts.size(); ++i)
    sizes[begin + i] = static_cast<double>(parts[i].size());
  comm_.max(sizes);
  std::vector<int> counts;
  std::vector<int> offsets{0};
  std::size_t total = 0;
  for (int r = 0; r < comm_.size(); ++r) {
    std::size_t count = 0;
    for (std::int64_t i = owners_.range(r).begin; i < owners_.range(r).end; ++i) {
      count += static_cast<std::size_t>(sizes[static_cast<std::size_t>(i)]);
    }
    counts.push_back(static_cast<int>(count));
    total += count;
    offsets.push_back(static_cast<int>(total));
  }
  std::vector<double> mine;
  for (const auto& part : parts) mine.insert(mine.end(), part.begin(), part.end());
  std::vector<double> all(total);
  MPI_Allgatherv(mine.data(), static_cast<int>(mine.size()), MPI_DOUBLE, all.data(), counts.data(),
                 offsets.data(), MPI_DOUBLE, comm_.handle());
  traffic_.sent += static_cast<std::int64_t>(mine.size() * sizeof(double)) * (comm_.size() - 1);
  traffic_.received += static_cast<std::int64_t>((total - mine.size()) * sizeof(double));
  ++traffic_.rounds;
  parts.assign(islands, {});
  auto at = all.begin();
  for (std::size_t i = 0; i < islands; ++i) {
    const auto end = at + static_cast<std::ptrdiff_t>(sizes[i]);
    parts[i].assign(at, end);
    at = end;
  }
}

void Islands::step() {
  std::vector<std::vector<double>> candidates;
  for (const auto& algorithm : own_) candidates.push_back(algorithm->ask().x);
  share(candidates);
  Population all{space_.variables(), space_.objectives, {}, {}, {}};
  std::vector<std::size_t> offsets;
  for (const auto& part : candidates) {
    offsets.push_back(all.size());
    all.x.insert(all.x.end(), part.begin(), part.end());
  }
  if (options_.schedule == "queue") {
    evaluate_from_queue(comm_, problem_, all, failures_);
  } else {
    evaluate(comm_, problem_, all, failures_);
  }
  evaluations_ += static_cast<std::int64_t>(all.size());
  if (failures_.count == evaluations_) {
    throw NotFiniteError("every one of the first {} evaluations failed; the first one {}",
                         evaluations_, failures_.first);
  }
  const auto first = static_cast<std::size_t>(owners_.range(comm_.rank()).begin);
  for (std::size_t i = 0; i < own_.size(); ++i) {
    const std::size_t begin = offsets[first + i];
    const std::size_t count = candidates[first + i].size() / space_.variables();
    std::vector<std::size_t> members(count);
    for (std::size_t m = 0; m < count; ++m) members[m] = begin + m;
    own_[i]->tell(all.subset(members));
  }
  ++generation_;
  report_.fresh = false;
  if (options_.islands > 1 && options_.topology != "none" &&
      generation_ % options_.migrate_every == 0) {
    migrate();
  }
  report_.finished = report_.budget_spent = evaluations_ >= options_.evaluations;
  if (generation_ % options_.window == 0 || report_.finished) judge();
}

std::vector<Population> Islands::gather() {
  std::vector<std::vector<double>> parts;
  for (const auto& algorithm : own_) {
    const Population& p = algorithm->population();
    std::vector<double> part = p.x;
    part.insert(part.end(), p.f.begin(), p.f.end());
    part.insert(part.end(), p.violation.begin(), p.violation.end());
    parts.push_back(std::move(part));
  }
  share(parts);
  std::vector<Population> result;
  for (const auto& part : parts) {
    Population p{space_.variables(), space_.objectives, {}, {}, {}};
    const std::size_t members = part.size() / (p.variables + p.objectives + 1);
    auto at = part.begin();
    const auto take = [&](std::vector<double>& to, std::size_t count) {
      to.assign(at, at + static_cast<std::ptrdiff_t>(count));
      at += static_cast<std::ptrdiff_t>(count);
    };
    take(p.x, members * p.variables);
    take(p.f, members * p.objectives);
    take(p.violation, members);
    result.push_back(std::move(p));
  }
  return result;
}

void Islands::migrate() {
  const auto populations = gather();
  const auto islands = static_cast<std::int64_t>(populations.size());
  const auto emigrants = [&](std::int64_t from) {
    Population best = best_of(populations[static_cast<std::size_t>(from)]);
    const auto count = std::min(best.size(), static_cast<std::size_t>(options_.migrants));
    std::vector<std::size_t> members;
    // Spread over the front, which members come in the order of its history.
    for (std::size_t m = 0; m < count; ++m) members.push_back(m * best.size() / count);
    return best.subset(members);
  };
  const auto range = owners_.range(comm_.rank());
  for (std::int64_t to = range.begin; to < range.end; ++to) {
    const auto& target = own_[static_cast<std::size_t>(to - range.begin)];
    if (options_.topology == "ring") {
      target->immigrate(emigrants((to + islands - 1) % islands));
      continue;
    }
    for (std::int64_t from = 0; from < islands; ++from) {
      if (from != to) target->immigrate(emigrants(from));
    }
  }
}

Population Islands::front() {
  Population all{space_.variables(), space_.objectives, {}, {}, {}};
  for (const auto& population : gather()) all.append(population);
  const Population best = best_of(all);
  return best.subset(nondominated(best.values()));
}

void Islands::keep_front() {
  if (front_generation_ == generation_) return;
  Population best = front();
  front_.variables = static_cast<std::int64_t>(best.variables);
  front_.objectives = static_cast<std::int64_t>(best.objectives);
  front_feasible_ = best.size() > 0 && best.violation[0] <= 0.0;
  front_.x = std::move(best.x);
  front_.f = std::move(best.f);
  front_generation_ = generation_;
}

void Islands::judge() {
  keep_front();
  // Without a feasible point there is no front yet whose growth could stall.
  if (!front_feasible_) return;
  if (!last_front_.empty()) {
    report_.residual =
        front_growth({last_front_, space_.objectives}, {front_.f, space_.objectives});
    report_.fresh = !std::isnan(report_.residual);
  }
  last_front_ = front_.f;
}

solve::Counters Islands::counters() const {
  // Totals over ranks are sums; every rank knows the whole here.
  const bool speaks = comm_.rank() == 0;
  return {{"evaluation", speaks ? evaluations_ : 0},
          {"failed_evaluation", speaks ? failures_.count : 0}};
}

std::vector<std::pair<std::string, std::string>> Islands::notes() const {
  std::string names = options_.algorithms.empty() ? algorithm_ : "";
  for (const auto& name : options_.algorithms) names += (names.empty() ? "" : ", ") + name;
  std::vector<std::pair<std::string, std::string>> notes{
      {"islands", fmt::format("{} of {}", options_.islands, names)}};
  if (failures_.count > 0) {
    notes.emplace_back("failed evaluations",
                       fmt::format("{} of {}, ranked last; the first one {}", failures_.count,
                                   evaluations_, failures_.first));
  }
  return notes;
}

void Islands::fields(state::FieldVisitor& visit) {
  visit.scalar("generation", generation_);
  visit.scalar("evaluations", evaluations_);
  visit.scalar("failures", failures_.count);
  visit.replicated("last_front", last_front_);
  visit.scalar("residual", report_.residual);
  packed_.clear();
  for (const auto& algorithm : own_) packed_.push_back(algorithm->pack());
  visit.ragged("islands", owners_, comm_.rank(), packed_);
  for (std::size_t i = 0; i < own_.size(); ++i) own_[i]->unpack(packed_[i]);
  report_.finished = report_.budget_spent = evaluations_ >= options_.evaluations;
}

void Islands::solution(state::FieldVisitor& visit) {
  keep_front();
  front_.fields(visit);
}

}  // namespace equipoise::pareto
