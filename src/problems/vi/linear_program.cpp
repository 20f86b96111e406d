#include "program_halpern.hpp"
#include "program_spread.hpp"

#include <equipoise/formats/mps.hpp>
#include <equipoise/parallel/agree.hpp>
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

void write_solution(const std::string& path, const formats::MpsProgram& p,
                    const std::vector<double>& x, const std::vector<double>& y) {
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
  p.cost = scatter(comm, p.columns, whole.cost);
  p.lower = scatter(comm, p.columns, whole.lower);
  p.upper = scatter(comm, p.columns, whole.upper);
  p.row_lower = scatter(comm, p.rows, whole.row_lower);
  p.row_upper = scatter(comm, p.rows, whole.row_upper);
  const auto& rows = p.rows.coordinates();
  const auto& columns = p.columns.coordinates();
  p.matrix = partition::DistributedMatrix(comm, rows, columns, triplets(whole.matrix)).owned_rows();
  p.quadratic =
      partition::DistributedMatrix(comm, columns, columns, triplets(whole.quadratic)).owned_rows();
  return p;
}

DistributedProgram DistributedProgram::read(const parallel::Comm& comm,
                                            const LinearProgramOptions& options) {
  if (options.mps.empty()) {
    throw ConfigurationError("problem.mps is missing; give an MPS or QPS file");
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
  const auto x = gather(comm_, program_->columns, {x_owned.begin(), x_owned.end()});
  const auto y = gather(comm_, program_->rows, {y_owned.begin(), y_owned.end()});
  const std::string path = directory + "/solution.csv";
  parallel::agree(comm_, [&] {
    if (comm_.rank() == 0) write_solution(path, formats::read_mps(program_->path), x, y);
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
