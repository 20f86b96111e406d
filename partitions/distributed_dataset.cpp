#include <equipoise/parallel/agree.hpp>
#include <equipoise/partition/distributed_dataset.hpp>
#include <equipoise/partition/sparse_exchange.hpp>

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>

namespace equipoise::partition {
namespace {

using Words = std::vector<std::int64_t>;

/// A row as words: its number, label and length, then features and values in turn.
void pack(const SparseRows& from, std::int64_t row, Words& words) {
  const auto index = from.row_index(row);
  const auto values = from.row_values(row);
  words.insert(
      words.end(),
      {from.first + row, std::bit_cast<std::int64_t>(from.labels[static_cast<std::size_t>(row)]),
       static_cast<std::int64_t>(index.size())});
  for (std::size_t k = 0; k < index.size(); ++k) {
    words.push_back(index[k]);
    words.push_back(std::bit_cast<std::int64_t>(values[k]));
  }
}

/// Rows of one message, found again: the row's number and where it starts.
struct PackedRow {
  std::int64_t number = 0;
  const std::int64_t* words = nullptr;
};

std::vector<PackedRow> find_rows(const std::vector<Message<std::int64_t>>& messages) {
  std::vector<PackedRow> rows;
  for (const auto& message : messages) {
    for (std::size_t at = 0; at < message.items.size();
         at += 3 + 2 * static_cast<std::size_t>(message.items[at + 2])) {
      rows.push_back({message.items[at], message.items.data() + at});
    }
  }
  std::sort(rows.begin(), rows.end(),
            [](const auto& a, const auto& b) { return a.number < b.number; });
  return rows;
}

void unpack(const std::int64_t* words, SparseRows& to) {
  to.labels.push_back(std::bit_cast<double>(words[1]));
  const std::int64_t count = words[2];
  for (std::int64_t k = 0; k < count; ++k) {
    to.index.push_back(static_cast<std::int32_t>(words[3 + 2 * k]));
    to.values.push_back(std::bit_cast<double>(words[4 + 2 * k]));
  }
  to.offsets.push_back(to.offsets.back() + count);
}

void check_local(const SparseRows& local, std::int64_t features, std::int64_t total) {
  if (local.rows() > 0 && (local.first < 0 || local.first + local.rows() > total)) {
    throw InputError("rows {}..{} cannot belong to a file of {} rows", local.first,
                     local.first + local.rows() - 1, total);
  }
  for (std::int64_t row = 0; row < local.rows(); ++row) {
    for (const std::int32_t feature : local.row_index(row)) {
      if (feature < 0 || feature >= features) {
        throw InputError("row {} has feature {}, outside 0..{}", local.first + row, feature,
                         features - 1);
      }
    }
  }
}

void check_complete(const std::vector<PackedRow>& found, Range expected) {
  std::int64_t next = expected.begin;
  for (const auto& row : found) {
    if (row.number != next) {
      throw InputError("row {} is {}", std::min(row.number, next),
                       row.number < next ? "given twice" : "missing");
    }
    ++next;
  }
  if (next != expected.end) throw InputError("row {} is missing", next);
}

}  // namespace

void SparseRows::append(double label, std::span<const std::int32_t> features,
                        std::span<const double> numbers) {
  assert(features.size() == numbers.size());
  labels.push_back(label);
  index.insert(index.end(), features.begin(), features.end());
  values.insert(values.end(), numbers.begin(), numbers.end());
  offsets.push_back(static_cast<std::int64_t>(index.size()));
}

DistributedDataset distribute(const parallel::Comm& comm, const SparseRows& local,
                              const Partition& agents, std::int64_t features) {
  DistributedDataset data;
  data.agents = agents;
  const std::int64_t total = comm.sum(local.rows());
  std::int64_t largest = -1;
  for (const std::int32_t feature : local.index) largest = std::max<std::int64_t>(largest, feature);
  largest = comm.max(largest);
  data.features = features > 0 ? features : largest + 1;
  parallel::agree(comm, [&] {
    if (total < agents.size()) {
      throw InputError("{} rows are too few for {} agents: give run.agents at most {}", total,
                       agents.size(), total);
    }
    check_local(local, data.features, total);
  });
  data.rows = Partition::uniform(total, static_cast<int>(agents.size()));

  std::vector<Message<std::int64_t>> outgoing;
  for (std::int64_t row = 0; row < local.rows(); ++row) {
    const int to = agents.owner(data.rows.owner(local.first + row));
    if (outgoing.empty() || outgoing.back().rank != to) outgoing.push_back({to, {}});
    pack(local, row, outgoing.back().items);
  }
  const auto incoming = sparse_exchange(comm, outgoing, &data.traffic);

  const Range hosted = agents.range(comm.rank());
  const auto found = find_rows(incoming);
  parallel::agree(comm, [&] {
    const auto start = [&](std::int64_t agent) {
      return data.rows.offsets()[static_cast<std::size_t>(agent)];
    };
    check_complete(found, {start(hosted.begin), start(hosted.end)});
    auto next = found.begin();
    for (std::int64_t agent = hosted.begin; agent < hosted.end; ++agent) {
      auto& shard = data.shards.emplace_back();
      shard.first = start(agent);
      for (; next != found.end() && next->number < start(agent + 1); ++next)
        unpack(next->words, shard);
    }
  });
  return data;
}

}  // namespace equipoise::partition
