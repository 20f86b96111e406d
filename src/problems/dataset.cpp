#include <equipoise/formats/libsvm.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/dataset.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

namespace equipoise::problems {
namespace {

using partition::SparseRows;

/// Mixes 64 bits well (the finaliser of splitmix64).
std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 30U;
  x *= 0xbf58476d1ce4e5b9U;
  x ^= x >> 27U;
  x *= 0x94d049bb133111ebU;
  return x ^ x >> 31U;
}

/// Sum over rows of a hash of (row number, label, entries): independent of who holds which row.
std::uint64_t content_hash(const SparseRows& rows) {
  std::uint64_t sum = 0;
  for (std::int64_t r = 0; r < rows.rows(); ++r) {
    std::uint64_t h = mix(static_cast<std::uint64_t>(rows.first + r) + 0x9e3779b97f4a7c15U);
    h = mix(h ^ std::bit_cast<std::uint64_t>(rows.labels[static_cast<std::size_t>(r)]));
    const auto index = rows.row_index(r);
    const auto values = rows.row_values(r);
    for (std::size_t k = 0; k < index.size(); ++k) {
      h = mix(h ^ static_cast<std::uint64_t>(index[k])) +
          mix(std::bit_cast<std::uint64_t>(values[k]));
    }
    sum += mix(h);
  }
  return sum;
}

/// Divides columns by their largest magnitude over all ranks; returns how many were changed.
std::int64_t scale_columns(const parallel::Comm& comm, partition::DistributedDataset& data,
                           bool all) {
  std::vector<double> largest(static_cast<std::size_t>(data.features), 0.0);
  for (const SparseRows& shard : data.shards) {
    for (std::size_t k = 0; k < shard.index.size(); ++k) {
      double& top = largest[static_cast<std::size_t>(shard.index[k])];
      top = std::max(top, std::fabs(shard.values[k]));
    }
  }
  comm.max(largest);
  std::int64_t changed = 0;
  for (double& top : largest) {
    const bool scaled = top > 0.0 && top != 1.0 && (all || top > 1.0);
    changed += scaled ? 1 : 0;
    top = scaled ? top : 1.0;
  }
  for (SparseRows& shard : data.shards) {
    for (std::size_t k = 0; k < shard.index.size(); ++k) {
      shard.values[k] /= largest[static_cast<std::size_t>(shard.index[k])];
    }
  }
  return changed;
}

}  // namespace

LoadedDataset load_dataset(const parallel::Comm& comm, const std::string& path, std::int64_t agents,
                           const std::string& scale) {
  formats::LibsvmData file = formats::read_libsvm(comm, path);
  SparseRows rows;
  rows.first = file.first_row;
  rows.labels = std::move(file.block.labels);
  rows.offsets = std::move(file.block.offsets);
  rows.index = std::move(file.block.columns);
  rows.values = std::move(file.block.values);
  if (file.rows < agents) {
    throw ConfigurationError(
        "{} has {} rows, fewer than run.agents = {}; use at most as many agents as rows", path,
        file.rows, agents);
  }
  LoadedDataset loaded;
  loaded.nonzeros = file.nonzeros;
  const auto hash =
      static_cast<std::uint64_t>(comm.sum(static_cast<std::int64_t>(content_hash(rows))));
  loaded.data = partition::distribute(
      comm, rows, partition::Partition::uniform(agents, comm.size()), file.features);
  if (scale == "none") {
    loaded.scale = "as in the file";
  } else {
    const std::int64_t changed = scale_columns(comm, loaded.data, scale == "max-abs");
    loaded.scale = changed == 0
                       ? "as in the file"
                       : fmt::format("{} columns divided by their largest magnitude", changed);
  }
  loaded.fingerprint =
      fmt::format("rows={} features={} nonzeros={} agents={} scale={} hash={:016x}", file.rows,
                  file.features, file.nonzeros, agents, scale, hash);
  return loaded;
}

SparseRows replicate_shard(const parallel::Comm& comm, const partition::DistributedDataset& data,
                           std::int64_t agent) {
  const int root = data.agents.owner(agent);
  SparseRows rows;
  if (comm.rank() == root)
    rows = data.shards[static_cast<std::size_t>(agent - data.agents.range(root).begin)];
  std::vector<std::int64_t> sizes = {rows.first, rows.rows(),
                                     static_cast<std::int64_t>(rows.index.size())};
  comm.broadcast(sizes, root);
  rows.first = sizes[0];
  rows.labels.resize(static_cast<std::size_t>(sizes[1]));
  rows.offsets.resize(static_cast<std::size_t>(sizes[1]) + 1);
  rows.index.resize(static_cast<std::size_t>(sizes[2]));
  rows.values.resize(static_cast<std::size_t>(sizes[2]));
  comm.broadcast(rows.labels, root);
  comm.broadcast(rows.offsets, root);
  MPI_Bcast(rows.index.data(), static_cast<int>(rows.index.size()), MPI_INT32_T, root,
            comm.handle());
  comm.broadcast(rows.values, root);
  return rows;
}

}  // namespace equipoise::problems
