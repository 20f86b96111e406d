#include "program_generate.hpp"
#include "program_halpern.hpp"
#include "program_spread.hpp"

#include <equipoise/formats/mps.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/partition/distributed_vector.hpp>
#include <equipoise/problems/vi/linear_program.hpp>
#include <equipoise/state/field_map.hpp>

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace equipoise::problems {
namespace {

/// FNV-1a over the bits of numbers: what a checkpoint compares.
class Hash {
 public:
  void add(double value) {
    auto bits = std::bit_cast<std::uint64_t>(value);
    for (int k = 0; k < 8; ++k, bits >>= 8U) {
      state_ = (state_ ^ (bits & 0xffU)) * 0x100000001b3U;
    }
  }
  void add(const std::vector<double>& values) {
    for (const double v : values) add(v);
  }
  void add(const std::vector<formats::MpsEntry>& entries) {
    for (const auto& e : entries) {
      add(e.row);
      add(e.column);
      add(e.value);
    }
  }
  [[nodiscard]] std::uint64_t value() const { return state_; }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325U;
};

std::string fingerprint_of(const formats::MpsProgram& p) {
  Hash hash;
  for (const auto* v : {&p.cost, &p.lower, &p.upper, &p.row_lower, &p.row_upper}) hash.add(*v);
  hash.add(p.matrix);
  hash.add(p.quadratic);
  hash.add(p.constant);
  return fmt::format("lp {} rows={} columns={} nonzeros={} quadratic={} hash={:016x}", p.name,
                     p.row_lower.size(), p.cost.size(), p.matrix.size(), p.quadratic.size(),
                     hash.value());
}

std::vector<partition::Triplet> triplets(const std::vector<formats::MpsEntry>& entries) {
  std::vector<partition::Triplet> out;
  out.reserve(entries.size());
  for (const auto& e : entries) out.push_back({e.row, e.column, e.value});
  return out;
}

double largest_finite(const std::vector<double>& values) {
  double largest = 0.0;
  for (const double v : values) {
    if (std::isfinite(v)) largest = std::max(largest, std::abs(v));
  }
  return largest;
}

std::string quoted(const std::string& name) {
  if (name.find_first_of(",\"") == std::string::npos) return name;
  std::string out = "\"";
  for (const char c : name) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

/// A program without names gets x1, x2, ... and y1, y2, ...
void write_solution(const std::string& path, formats::MpsProgram p, const std::vector<double>& x,
                    const std::vector<double>& y) {
  for (std::size_t j = p.column_names.size(); j < x.size(); ++j)
    p.column_names.push_back(fmt::format("x{}", j + 1));
  for (std::size_t i = p.row_names.size(); i < y.size(); ++i)
    p.row_names.push_back(fmt::format("y{}", i + 1));
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (!file) throw CheckpointError("{}: cannot be written ({})", path, std::strerror(errno));
  fmt::print(file, "kind,name,value\n");
  for (std::size_t j = 0; j < x.size(); ++j)
    fmt::print(file, "x,{},{:.17g}\n", quoted(p.column_names[j]), x[j]);
  for (std::size_t i = 0; i < y.size(); ++i)
    fmt::print(file, "y,{},{:.17g}\n", quoted(p.row_names[i]), y[i]);
  if (std::fclose(file) != 0) throw CheckpointError("{}: the disk is full", path);
}

}  // namespace

void LinearProgramOptions::describe(state::OptionVisitor& visit) {
  visit.option("mps", mps, "MPS or QPS file, free or fixed format, plain, gzip or bzip2");
  visit.choice("generate", generate, {"none", "transport", "random", "multicommodity"},
               "instead of a file: goods from random sources (rows) to random sinks (columns); a "
               "random sparse program with a known optimum; all trips of a road network under its "
               "capacities");
  visit.option("rows", rows, "sources of transport, rows of random",
               state::Limits{1.0, 2147483647.0});
  visit.option("columns", columns, "sinks of transport, columns of random",
               state::Limits{1.0, 2147483647.0});
  visit.option("per_column", per_column, "coefficients of a column of random", state::at_least_one);
  visit.option("seed", seed, "of transport and random", state::non_negative);
  visit.option("net", net, "network of multicommodity, a TNTP file");
  visit.option("trips", trips, "trips of multicommodity, a TNTP file");
  visit.option("overflow_cost", overflow_cost,
               "what a unit above the capacity of a link costs in multicommodity, times the mean "
               "free-flow time",
               state::non_negative);
}

DistributedProgram DistributedProgram::spread(const parallel::Comm& comm,
                                              const formats::MpsProgram& whole,
                                              const std::string& path) {
  DistributedProgram p;
  p.path = path;
  p.fingerprint = comm.broadcast(comm.rank() == 0 ? fingerprint_of(whole) : std::string());
  p.name = comm.broadcast(whole.name);
  std::array<std::int64_t, 5> sizes = {std::ssize(whole.row_lower), std::ssize(whole.cost),
                                       std::ssize(whole.matrix), std::ssize(whole.quadratic),
                                       whole.maximise ? 1 : 0};
  comm.broadcast(std::span<std::int64_t>(sizes));
  std::array<double, 3> numbers = {
      whole.constant, std::max(largest_finite(whole.row_lower), largest_finite(whole.row_upper)),
      largest_finite(whole.cost)};
  comm.broadcast(std::span<double>(numbers));
  const auto layout = [&](std::int64_t size) {
    return partition::Layout::uniform(size, partition::default_chunks(size), comm.size());
  };
  p.rows = layout(sizes[0]);
  p.columns = layout(sizes[1]);
  p.nonzeros = sizes[2];
  p.quadratic_nonzeros = sizes[3];
  p.maximise = sizes[4] != 0;
  p.constant = numbers[0];
  p.largest_bound = numbers[1];
  p.largest_cost = numbers[2];
  const auto mine = [&](const partition::Layout& l) {
    return static_cast<std::size_t>(l.owned(comm.rank()).size());
  };
  p.cost = scatter(comm, whole.cost, mine(p.columns));
  p.lower = scatter(comm, whole.lower, mine(p.columns));
  p.upper = scatter(comm, whole.upper, mine(p.columns));
  p.row_lower = scatter(comm, whole.row_lower, mine(p.rows));
  p.row_upper = scatter(comm, whole.row_upper, mine(p.rows));
  const auto& rows = p.rows.coordinates();
  const auto& columns = p.columns.coordinates();
  p.matrix = partition::DistributedMatrix(comm, rows, columns, triplets(whole.matrix)).owned_rows();
  p.quadratic =
      partition::DistributedMatrix(comm, columns, columns, triplets(whole.quadratic)).owned_rows();
  return p;
}

namespace {

/// Every rank makes its lines; costs and row bounds of a known pair come from two products.
/// **Collective.**
DistributedProgram made(const parallel::Comm& comm,
                        std::shared_ptr<const ProgramGenerator> generator) {
  const ProgramGenerator& g = *generator;
  DistributedProgram p;
  p.generator = std::move(generator);
  p.name = g.name();
  const auto layout = [&](std::int64_t size) {
    return partition::Layout::uniform(size, partition::default_chunks(size), comm.size());
  };
  p.rows = layout(g.rows());
  p.columns = layout(g.columns());
  std::vector<double> x, y;
  const auto columns = p.columns.owned(comm.rank());
  for (std::int64_t j = columns.begin; j < columns.end; ++j) {
    const GeneratedLine line = g.column(j);
    p.cost.push_back(line.cost);
    p.lower.push_back(line.lower);
    p.upper.push_back(line.upper);
    x.push_back(line.known);
  }
  const auto rows = p.rows.owned(comm.rank());
  for (std::int64_t i = rows.begin; i < rows.end; ++i) {
    const GeneratedLine line = g.row(i);
    p.row_lower.push_back(line.lower);
    p.row_upper.push_back(line.upper);
    y.push_back(line.known);
  }
  if (g.has_optimum()) {
    partition::DistributedMatrix matrix(comm, p.rows.coordinates(), p.columns.coordinates(),
                                        p.entries(comm.rank()));
    std::vector<double> ax(y.size()), aty(x.size());
    matrix.multiply(x, ax);
    matrix.multiply_transposed(y, aty);
    for (std::size_t i = 0; i < y.size(); ++i) {
      p.row_lower[i] += ax[i];
      p.row_upper[i] += ax[i];
    }
    for (std::size_t j = 0; j < x.size(); ++j) p.cost[j] += aty[j];
    p.optimum = partition::dot(comm, p.columns, p.cost, x);
    p.nonzeros = matrix.nonzeros();
  } else {
    p.nonzeros = comm.sum(static_cast<std::int64_t>(p.entries(comm.rank()).size()));
  }
  p.largest_bound = comm.max(std::max(largest_finite(p.row_lower), largest_finite(p.row_upper)));
  p.largest_cost = comm.max(largest_finite(p.cost));
  p.fingerprint = fmt::format("lp {} rows={} columns={} nonzeros={}", p.name, g.rows(), g.columns(),
                              p.nonzeros);
  return p;
}

}  // namespace

std::vector<partition::Triplet> DistributedProgram::entries(int rank) const {
  if (!generator) return matrix;
  std::vector<partition::Triplet> out;
  const auto mine = columns.owned(rank);
  for (std::int64_t j = mine.begin; j < mine.end; ++j) generator->entries(j, out);
  return out;
}

DistributedProgram DistributedProgram::read(const parallel::Comm& comm,
                                            const LinearProgramOptions& options) {
  if (options.generate != "none") {
    if (!options.mps.empty()) {
      throw ConfigurationError(
          "problem.mps and problem.generate are both given; leave one of them out");
    }
    return made(comm, parallel::agree(comm, [&] {
                  return std::shared_ptr<const ProgramGenerator>(ProgramGenerator::make(options));
                }));
  }
  if (options.mps.empty()) {
    throw ConfigurationError(
        "problem.mps is missing; give an MPS or QPS file, or problem.generate");
  }
  const auto whole = parallel::agree(comm, [&] {
    return comm.rank() == 0 ? formats::read_mps(options.mps) : formats::MpsProgram();
  });
  return spread(comm, whole, options.mps);
}

LinearProgramInstance::LinearProgramInstance(parallel::Comm comm, DistributedProgram program)
    : comm_(std::move(comm)),
      program_(std::make_shared<const DistributedProgram>(std::move(program))) {}

solve::Facts LinearProgramInstance::facts() const {
  const DistributedProgram& p = *program_;
  solve::Facts facts = {{"program", p.name},
                        {"rows", fmt::format("{}", p.rows.dimension())},
                        {"columns", fmt::format("{}", p.columns.dimension())},
                        {"nonzeros", fmt::format("{}", p.nonzeros)}};
  if (!std::isnan(p.optimum))
    facts.emplace_back("known optimum", fmt::format("{:.15g}", p.optimum));
  if (p.quadratic_nonzeros > 0)
    facts.emplace_back("quadratic nonzeros", fmt::format("{}", p.quadratic_nonzeros));
  return facts;
}

std::unique_ptr<solve::Method> LinearProgramInstance::make_method(const std::string& name,
                                                                  state::Config& config) {
  if (name != "halpern-pdhg") {
    throw ConfigurationError(
        "method.name = {}: does not fit the problem lp; its method is halpern-pdhg", name);
  }
  HalpernOptions options;
  config.read("method", options);
  const double tolerance = std::strtod(config.text("stop.tolerance", "1e-8").c_str(), nullptr);
  return std::make_unique<HalpernPdhg>(comm_, program_, options, tolerance);
}

std::unique_ptr<state::Stateful> LinearProgramInstance::solution_storage() {
  auto storage = std::make_unique<ProgramSolution>();
  storage->program = program_;
  storage->part = comm_.rank();
  storage->x.resize(program_->cost.size());
  storage->y.resize(program_->row_lower.size());
  return storage;
}

std::vector<std::string> LinearProgramInstance::export_csv(state::Stateful& solution,
                                                           const std::string& directory) {
  state::FieldMap map;
  solution.fields(map);
  const auto x_owned = map.doubles("x");
  const auto y_owned = map.doubles("y");
  const auto x = gather(comm_, std::vector<double>(x_owned.begin(), x_owned.end()));
  const auto y = gather(comm_, std::vector<double>(y_owned.begin(), y_owned.end()));
  const std::string path = directory + "/solution.csv";
  parallel::agree(comm_, [&] {
    if (comm_.rank() > 0) return;
    write_solution(path,
                   program_->generator ? formats::MpsProgram() : formats::read_mps(program_->path),
                   x, y);
  });
  return {path};
}

solve::ProblemEntry lp_problem() {
  return {
      "vi", "lp",
      "linear or convex quadratic program from an MPS or QPS file, or a proof that it has no "
      "solution",
      [](state::OptionVisitor& visit) { LinearProgramOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        LinearProgramOptions options;
        config.read("problem", options);
        if (!config.has("stop.tolerance")) config.set("stop.tolerance", "1e-8");
        config.text("stop.measure", "kkt");
        return std::make_unique<LinearProgramInstance>(comm,
                                                       DistributedProgram::read(comm, options));
      }};
}

solve::MethodEntry halpern_pdhg_method() {
  return {"vi", "halpern-pdhg",
          "linear and quadratic programs: restarted reflected Halpern primal-dual steps, with a "
          "Newton polish",
          [](state::OptionVisitor& visit) { HalpernOptions{}.describe(visit); }};
}

}  // namespace equipoise::problems
