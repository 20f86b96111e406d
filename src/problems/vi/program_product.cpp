#include "program_product.hpp"

#include <equipoise/partition/sparse_exchange.hpp>

#include <algorithm>
#include <cassert>
#include <map>
#include <tuple>
#include <utility>

namespace equipoise::problems {
namespace {

using partition::Message;
using partition::Triplet;

constexpr int tag = 7311;
constexpr std::ptrdiff_t leaf_entries = 32;
constexpr std::size_t deepest = 40;

/// A half of a line, which another rank sums.
struct Half {
  std::int64_t begin = 0, end = 0;  ///< chunks
  std::int64_t entries = 0;
};

std::vector<std::int64_t> foreign(const std::vector<Triplet>& entries, partition::Range owned) {
  std::vector<std::int64_t> ghosts;
  for (const auto& e : entries) {
    if (e.column >= 0 && !owned.contains(e.column)) ghosts.push_back(e.column);
  }
  std::sort(ghosts.begin(), ghosts.end());
  ghosts.erase(std::unique(ghosts.begin(), ghosts.end()), ghosts.end());
  return ghosts;
}

}  // namespace

void ProgramProduct::Lines::add(std::int32_t line) {
  if (plain.empty() || plain.back().end != line) plain.push_back({line, line});
  plain.back().end = line + 1;
}

/// Cuts lines into leaves, and gives away what another rank sums.
class ProgramProduct::Builder {
 public:
  using Entry = std::vector<Triplet>::const_iterator;

  Builder(const parallel::Comm& comm, const partition::Layout& across)
      : rank_(comm.rank()), chunks_(across.chunks()), owners_(across.coordinates()) {}

  /// One line after another; `column` of a kept entry is global, of a sum from rank r -1 - r.
  void line(std::int32_t number, Entry begin, Entry end, Half node) {
    const auto first = static_cast<std::int32_t>(leaves.size());
    line_ = number;
    add(node, begin, end);
    offsets.push_back(static_cast<std::int32_t>(kept.size()));
    const auto last = static_cast<std::int32_t>(leaves.size());
    halved.push_back(last - first > 1);
    if (halved.back()) {
      trees.push_back({number, first, last});
    } else {
      leaves.resize(static_cast<std::size_t>(first));
    }
  }
  [[nodiscard]] Half root() const { return {0, chunks_.parts(), 0}; }

  std::vector<Triplet> kept;
  std::vector<std::int32_t> offsets = {0};
  std::vector<char> halved;  ///< lines of several leaves
  std::vector<Tree> trees;
  std::vector<Leaf> leaves;
  std::map<int, std::pair<std::vector<Half>, std::vector<Triplet>>> given;

 private:
  void add(Half node, Entry begin, Entry end) {
    if (begin == end) return;
    const bool leaf = end - begin <= leaf_entries || node.end - node.begin == 1;
    if (!leaf) {
      const int owner = owners_.owner(begin->column);
      if (owner != rank_ && (end - 1)->column < owners_.range(owner).end)
        return give(owner, node, begin, end);
      const std::int64_t middle = (node.begin + node.end + 1) / 2;
      const std::int64_t first = chunks_.range(static_cast<int>(middle)).begin;
      const Entry cut = std::lower_bound(
          begin, end, first, [](const Triplet& e, std::int64_t c) { return e.column < c; });
      add({node.begin, middle}, begin, cut);
      add({middle, node.end}, cut, end);
      if (begin != cut && cut != end) ++leaves.back().joins;
      return;
    }
    kept.insert(kept.end(), begin, end);
    close();
  }

  void give(int owner, Half node, Entry begin, Entry end) {
    auto& [halves, entries] = given[owner];
    node.entries = end - begin;
    halves.push_back(node);
    entries.insert(entries.end(), begin, end);
    kept.push_back({line_, -1 - owner, 1.0});
    close();
  }

  void close() { leaves.push_back({static_cast<std::int32_t>(kept.size()), 0}); }

  int rank_;
  const partition::Partition& chunks_;
  const partition::Partition& owners_;
  std::int32_t line_ = 0;
};

ProgramProduct::ProgramProduct(const parallel::Comm& comm, const partition::Layout& lines,
                               const partition::Layout& across, std::vector<Triplet> entries)
    : comm_(comm),
      owned_(static_cast<std::size_t>(across.owned(comm.rank()).size())),
      owned_lines_(static_cast<std::size_t>(lines.owned(comm.rank()).size())),
      halo_(comm, across.coordinates(), {}) {
  const auto before = [](const Triplet& a, const Triplet& b) {
    return std::tie(a.row, a.column) < std::tie(b.row, b.column);
  };
  if (!std::is_sorted(entries.begin(), entries.end(), before))
    std::sort(entries.begin(), entries.end(), before);
  Builder builder(comm, across);
  const std::int64_t first_line = lines.owned(comm.rank()).begin;
  auto from = entries.cbegin();
  for (std::size_t i = 0; i < owned_lines_; ++i) {
    const std::int64_t line = first_line + static_cast<std::int64_t>(i);
    const auto to =
        std::find_if(from, entries.cend(), [line](const Triplet& e) { return e.row != line; });
    builder.line(static_cast<std::int32_t>(i), from, to, builder.root());
    from = to;
  }
  entries = {};

  std::vector<Message<Half>> halves;
  std::vector<Message<Triplet>> parts;
  for (auto& [rank, given] : builder.given) {
    lenders_.push_back({rank, static_cast<int>(given.first.size()), 0});
    halves.push_back({rank, std::move(given.first)});
    parts.push_back({rank, std::move(given.second)});
  }
  const auto asked = partition::sparse_exchange(comm_, halves, &traffic_);
  const auto brought = partition::sparse_exchange(comm_, parts, &traffic_);
  auto next = static_cast<std::int32_t>(owned_lines_);
  for (std::size_t k = 0; k < asked.size(); ++k) {
    owners_.push_back({asked[k].rank, static_cast<int>(asked[k].items.size()),
                       static_cast<std::size_t>(next) - owned_lines_});
    auto begin = brought[k].items.cbegin();
    for (const Half& half : asked[k].items) {
      builder.line(next++, begin, begin + half.entries, half);
      begin += half.entries;
    }
  }
  lent_sums_.resize(static_cast<std::size_t>(next) - owned_lines_);

  // Places in the window.
  const auto mine = across.owned(comm.rank());
  halo_ = partition::Halo(comm_, across.coordinates(), foreign(builder.kept, mine));
  const auto ghosts = halo_.ghosts();
  std::size_t place = owned_ + ghosts.size();
  std::map<int, std::size_t> sums;
  for (auto& lender : lenders_) {
    lender.offset = place;
    sums[lender.rank] = place;
    place += static_cast<std::size_t>(lender.count);
  }
  window_.resize(place);
  assert(place <= 0x7fffffffU && builder.kept.size() <= 0x7fffffffU);
  index_.reserve(builder.kept.size());
  values_.reserve(builder.kept.size());
  for (const auto& e : builder.kept) {
    std::size_t at = 0;
    if (e.column < 0) {
      at = sums[static_cast<int>(-1 - e.column)]++;
    } else if (mine.contains(e.column)) {
      at = static_cast<std::size_t>(e.column - mine.begin);
    } else {
      at = owned_ + static_cast<std::size_t>(
                        std::lower_bound(ghosts.begin(), ghosts.end(), e.column) - ghosts.begin());
    }
    index_.push_back(static_cast<std::int32_t>(at));
    values_.push_back(e.value);
  }
  offsets_ = std::move(builder.offsets);
  trees_ = std::move(builder.trees);
  leaves_ = std::move(builder.leaves);
  std::int32_t tree = 0;
  for (std::int32_t i = 0; i < next; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const bool waits = std::any_of(index_.begin() + offsets_[at], index_.begin() + offsets_[at + 1],
                                   [&](std::int32_t k) { return k >= std::int32_t(owned_); });
    Lines& kind = at >= owned_lines_ ? lent_ : waits ? outer_ : inner_;
    if (builder.halved[at]) {
      kind.halved.push_back(tree++);
    } else {
      kind.add(i);
    }
  }
  requests_.resize(lenders_.size() + owners_.size(), MPI_REQUEST_NULL);
}

double ProgramProduct::halved(const Tree& tree) const {
  std::array<double, deepest> open{};
  std::size_t depth = 0;
  std::int32_t from = offsets_[static_cast<std::size_t>(tree.line)];
  for (std::int32_t k = tree.begin; k < tree.end; ++k) {
    const Leaf& l = leaves_[static_cast<std::size_t>(k)];
    open[depth++] = leaf(from, l.end);
    from = l.end;
    for (std::int32_t join = l.joins; join > 0; --join, --depth) open[depth - 2] += open[depth - 1];
  }
  return open[0];
}

void ProgramProduct::begin() {
  halo_.begin(input());
  auto* request = requests_.data();
  for (const auto& from : lenders_) {
    MPI_Irecv(window_.data() + from.offset, from.count, MPI_DOUBLE, from.rank, tag, comm_.handle(),
              request++);
    traffic_.received += from.count * std::int64_t{sizeof(double)};
  }
  sums(lent_, [&](std::size_t line, double sum) { lent_sums_[line - owned_lines_] = sum; });
  for (const auto& to : owners_) {
    MPI_Isend(lent_sums_.data() + to.offset, to.count, MPI_DOUBLE, to.rank, tag, comm_.handle(),
              request++);
    traffic_.sent += to.count * std::int64_t{sizeof(double)};
  }
}

void ProgramProduct::end() {
  const auto ghosts = halo_.end();
  std::copy(ghosts.begin(), ghosts.end(), window_.begin() + static_cast<std::ptrdiff_t>(owned_));
  MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
}

void ProgramProduct::multiply(std::span<const double> x, std::span<double> out) {
  std::copy(x.begin(), x.end(), window_.begin());
  apply([&](std::size_t line, double sum) { out[line] = sum; });
}

parallel::Traffic ProgramProduct::traffic() const {
  auto total = traffic_;
  total += halo_.traffic();
  return total;
}

}  // namespace equipoise::problems
