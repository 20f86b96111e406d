#include <equipoise/bilevel/shards.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/error.hpp>

#include <mpi.h>

#include <algorithm>
#include <array>
#include <exception>
#include <iterator>
#include <utility>

namespace equipoise::bilevel {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

/// The table's functions: calls on samples are shared out, all others forwarded.
struct ShardedOracle::Calls {
  static const ShardedOracle& as(const void* self) {
    return *static_cast<const ShardedOracle*>(self);
  }
  template <Kind kind>
  static void gradient(const void* s, std::int64_t i, Batch b, In x, In y, Out o) {
    as(s).call(kind, i, b, x, y, {}, {o});
  }
  template <Kind kind>
  static void product(const void* s, std::int64_t i, Batch b, In x, In y, In v, Out o) {
    as(s).call(kind, i, b, x, y, v, {o});
  }
  template <Kind kind>
  static double value(const void* s, std::int64_t i, Batch b, In x, In y) {
    double sum = 0.0;
    as(s).call(kind, i, b, x, y, {}, {Out(&sum, 1)});
    return sum;
  }
  static void pass_over(const void* s, std::int64_t i, Batch b, In x, In y, In v, Out gradient,
                        Out hv, Out jv) {
    as(s).call(pass, i, b, x, y, v, {gradient, hv, jv});
  }
  static void enter(const void* s) { as(s).enter(); }
  static void leave(const void* s) { as(s).leave(); }

  template <auto member>
  struct Forward;
  template <class Result, class... Arguments, Result (*Table::*member)(const void*, Arguments...)>
  struct Forward<member> {
    static Result call(const void* s, Arguments... arguments) {
      const OracleView& to = as(s).oracle_;
      return (to.table().*member)(to.self(), std::forward<Arguments>(arguments)...);
    }
  };
  template <auto... members>
  static void forward(const Table& from, Table& to) {
    ((to.*members = from.*members ? &Forward<members>::call : nullptr), ...);
  }
  template <class Function>
  static Function if_there(Function original, Function shared) {
    return original ? shared : nullptr;
  }
  static Table table(const Table& t) {
    Table out{};
    forward<&Table::dim_outer, &Table::num_blocks, &Table::dim_inner, &Table::num_samples,
            &Table::proj_x, &Table::proj_y, &Table::proj_joint, &Table::num_constraints,
            &Table::con, &Table::con_jt_x, &Table::con_jt_y, &Table::bounds, &Table::start,
            &Table::start_inner, &Table::exact, &Table::optimum, &Table::num_inequalities,
            &Table::x_support, &Table::lower_convex, &Table::everywhere, &Table::dim_response,
            &Table::response, &Table::response_phi, &Table::response_x, &Table::start_response,
            &Table::figures, &Table::facts, &Table::fingerprint>(t, out);
    out.grad_y_g = if_there(t.grad_y_g, &gradient<lower_gradient>);
    out.grad_y_f = if_there(t.grad_y_f, &gradient<upper_gradient>);
    out.grad_x_f = if_there(t.grad_x_f, &gradient<upper_outer>);
    out.grad_x_g = if_there(t.grad_x_g, &gradient<lower_outer>);
    out.hess_yy_g = if_there(t.hess_yy_g, &gradient<hessian>);
    out.hvp_yy_g = if_there(t.hvp_yy_g, &product<hessian_vector>);
    out.jvp_xy_g = if_there(t.jvp_xy_g, &product<cross_vector>);
    out.jvp_yx_g = if_there(t.jvp_yx_g, &product<cross_transposed>);
    out.lower_pass = if_there(t.lower_pass, &pass_over);
    out.f = if_there(t.f, &value<upper_value>);
    out.g = if_there(t.g, &value<lower_value>);
    out.enter = &enter;
    out.leave = &leave;
    return out;
  }
};

ShardedOracle::ShardedOracle(const parallel::Comm& comm, OracleView oracle, std::int64_t owners,
                             std::int64_t shards)
    : oracle_(oracle),
      team_(comm.split(static_cast<int>(comm.rank() % owners), comm.rank())),
      parts_(partition::Partition::uniform(shards, team_.size())),
      table_(Calls::table(oracle.table())) {
  if (oracle.everywhere()) return;
  throw ConfigurationError(
      "run.shards = {}: every rank must know all blocks of this problem to help with one; leave "
      "run.shards out",
      shards);
}

std::int64_t ShardedOracle::results(Kind kind, std::int64_t i) const {
  const std::int64_t dy = oracle_.dim_inner(i), dx = oracle_.dim_outer();
  switch (kind) {
    case lower_gradient:
    case upper_gradient:
    case hessian_vector:
    case cross_transposed:
      return dy;
    case upper_outer:
    case lower_outer:
    case cross_vector:
      return dx;
    case hessian:
      return dy * dy;
    case pass:
      return 2 * dy + dx;
    default:
      return 1;
  }
}

/// The call itself, on one batch.
void ShardedOracle::one(Kind kind, std::int64_t i, Batch b, In x, In y, In v, Out out) const {
  const Table& t = oracle_.table();
  const void* self = oracle_.self();
  const std::size_t dy = y.size();
  switch (kind) {
    case lower_gradient:
      return t.grad_y_g(self, i, b, x, y, out);
    case upper_gradient:
      return t.grad_y_f(self, i, b, x, y, out);
    case upper_outer:
      return t.grad_x_f(self, i, b, x, y, out);
    case lower_outer:
      return t.grad_x_g(self, i, b, x, y, out);
    case hessian:
      return t.hess_yy_g(self, i, b, x, y, out);
    case hessian_vector:
      return t.hvp_yy_g(self, i, b, x, y, v, out);
    case cross_vector:
      return t.jvp_xy_g(self, i, b, x, y, v, out);
    case cross_transposed:
      return t.jvp_yx_g(self, i, b, x, y, v, out);
    case pass:
      return t.lower_pass(self, i, b, x, y, v, out.first(dy), out.subspan(dy, dy),
                          out.subspan(2 * dy));
    case upper_value:
      out[0] = t.f(self, i, b, x, y);
      return;
    case lower_value:
      out[0] = t.g(self, i, b, x, y);
      return;
    case release:
      return;
  }
}

/// rows_ = for each of these shards its result times its share of the samples.
void ShardedOracle::compute(Kind kind, std::int64_t i, Batch b, In x, In y, In v,
                            partition::Range shards) const {
  const bool upper = kind == upper_gradient || kind == upper_outer || kind == upper_value;
  const std::int64_t n = oracle_.num_samples(i, upper ? Level::upper : Level::lower);
  const auto samples = partition::Partition::uniform(n, static_cast<int>(parts_.size()));
  const auto width = at(results(kind, i));
  rows_.assign(at(shards.size()) * width, 0.0);
  const double all = static_cast<double>(b.empty() ? n : std::ssize(b));
  for (std::int64_t k = shards.begin; k < shards.end; ++k) {
    const auto range = samples.range(static_cast<int>(k));
    piece_.clear();
    if (b.empty()) {
      for (std::int64_t r = range.begin; r < range.end; ++r) piece_.push_back(r);
    } else {
      std::copy_if(b.begin(), b.end(), std::back_inserter(piece_),
                   [&](std::int64_t r) { return range.contains(r); });
    }
    if (piece_.empty()) continue;
    const Out row = Out(rows_).subspan(at(k - shards.begin) * width, width);
    one(kind, i, piece_, x, y, v, row);
    const double share = static_cast<double>(piece_.size()) / all;
    for (double& entry : row) entry *= share;
  }
}

void ShardedOracle::tell(const Command& command, Batch b, In x, In y, In v) const {
  std::array<std::int64_t, 5> head = {command.kind, command.block, command.batch, command.new_x,
                                      std::ssize(v)};
  team_.broadcast(std::span(head));
  if (command.kind == release) return;
  if (command.new_x != 0) {
    x_.assign(x.begin(), x.end());
    team_.broadcast(std::span(x_));
  }
  y_.assign(y.begin(), y.end());
  y_.insert(y_.end(), v.begin(), v.end());
  team_.broadcast(std::span(y_));
  if (b.empty()) return;
  batch_.assign(b.begin(), b.end());
  team_.broadcast(std::span(batch_));
}

/// all_ = the rows of all shards, on the owner. Throws on the whole team what failed on one of it.
void ShardedOracle::collect(std::int64_t width, const std::exception_ptr& problem) const {
  const int ranks = team_.size();
  std::vector<int> counts(at(ranks)), places(at(ranks));
  for (int r = 0; r < ranks; ++r) {
    counts[at(r)] = static_cast<int>(parts_.range(r).size() * width);
    places[at(r)] = static_cast<int>(parts_.range(r).begin * width);
  }
  rows_.resize(at(counts[at(team_.rank())]));
  if (team_.rank() == 0) all_.resize(at(parts_.size() * width));
  MPI_Gatherv(rows_.data(), counts[at(team_.rank())], MPI_DOUBLE, all_.data(), counts.data(),
              places.data(), MPI_DOUBLE, 0, team_.handle());
  parallel::agree(team_, [&] {
    if (problem) std::rethrow_exception(problem);
  });
}

/// `compute` for the shards of this rank, whose exception waits until the team has met.
std::exception_ptr ShardedOracle::try_compute(Kind kind, std::int64_t i, Batch b, In x, In y,
                                              In v) const {
  try {
    compute(kind, i, b, x, y, v, parts_.range(team_.rank()));
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

void ShardedOracle::call(Kind kind, std::int64_t i, Batch b, In x, In y, In v,
                         const Outs& out) const {
  const auto width = at(results(kind, i));
  if (active_) {
    const bool same = x_.size() == x.size() && std::equal(x.begin(), x.end(), x_.begin());
    tell({kind, i, std::ssize(b), same ? 0 : 1}, b, x, y, v);
    collect(results(kind, i), try_compute(kind, i, b, x, y, v));
  } else {
    compute(kind, i, b, x, y, v, {0, parts_.size()});
    std::swap(rows_, all_);
  }
  const double* from = all_.data();
  for (const Out part : {out.first, out.second, out.third}) {
    std::copy_n(from, part.size(), part.begin());
    for (std::int64_t k = 1; k < parts_.size(); ++k) {
      const double* row = from + at(k) * width;
      for (std::size_t j = 0; j < part.size(); ++j) part[j] += row[j];
    }
    from += part.size();
  }
}

void ShardedOracle::serve() const {
  std::exception_ptr first;
  for (;;) {
    std::array<std::int64_t, 5> head{};
    team_.broadcast(std::span(head));
    const auto kind = static_cast<Kind>(head[0]);
    if (kind == release) break;
    const std::int64_t i = head[1];
    if (head[3] != 0) {
      x_.resize(at(oracle_.dim_outer()));
      team_.broadcast(std::span(x_));
    }
    const auto dy = at(oracle_.dim_inner(i));
    y_.resize(dy + at(head[4]));
    team_.broadcast(std::span(y_));
    batch_.resize(at(head[2]));
    if (!batch_.empty()) team_.broadcast(std::span(batch_));
    try {
      collect(results(kind, i),
              try_compute(kind, i, batch_, x_, In(y_).first(dy), In(y_).subspan(dy)));
    } catch (...) {
      if (!first) first = std::current_exception();
    }
  }
  if (first) std::rethrow_exception(first);
}

void ShardedOracle::leave() const {
  if (team_.rank() > 0) return serve();
  if (!active_) return;
  tell({}, {}, {}, {}, {});
  active_ = false;
}

}  // namespace equipoise::bilevel
