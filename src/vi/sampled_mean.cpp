#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/parallel/virtual_ranks.hpp>
#include <equipoise/vi/sampled_mean.hpp>

#include <algorithm>
#include <numeric>
#include <utility>

namespace equipoise::vi {
namespace {
std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
}  // namespace

SampledMean::SampledMean(parallel::Comm comm, std::uint64_t seed, std::vector<double> weights,
                         std::int64_t participants, std::shared_ptr<const compress::Codec> codec,
                         std::int64_t dimension, std::int64_t chunks,
                         const std::string& server_codec)
    : comm_(std::move(comm)),
      seed_(seed),
      weights_(std::move(weights)),
      participants_(participants),
      codec_(std::move(codec)),
      whole_{0, dimension},
      chunks_(partition::Partition::uniform(
          dimension, static_cast<int>(chunks > 0 ? chunks : partition::default_chunks(dimension)))),
      agents_(partition::Partition::uniform(std::ssize(weights_), comm_.size())),
      bytes_(at(agents_.range(comm_.rank()).size()), 0) {
  const std::int64_t agents = std::ssize(weights_);
  if (participants_ < 1 || participants_ > agents) {
    throw ConfigurationError("method.participants = {}: there are {} agents; give 1 to {}, or 0",
                             participants_, agents, agents);
  }
  const compress::Descriptor constants = codec_->describe(dimension, agents);
  if (participants_ < agents && constants.collection_a == 1.0 && constants.collection_b == 1.0) {
    throw ConfigurationError(
        "method.codec = {} shares the coordinates out among all agents, and with "
        "method.participants = {} only some of them send; use randk, natural, qsgd or bf16s",
        codec_->name(), participants_);
  }
  drawn_.reserve(at(participants_));
  lengths_.resize(at(participants_));
  if (server_codec == "identity") return;
  compress::MeanSetting setting;
  setting.dimension = dimension;
  setting.weights.assign(at(participants_), 1.0 / static_cast<double>(participants_));
  setting.codec = codec_->name();
  setting.server_codec = server_codec;
  setting.chunks = chunks;
  setting.seed = seed_;
  served_.emplace(comm_, partition::Partition::uniform(participants_, comm_.size()), setting);
}

/// Floyd's algorithm: every set of `participants_` agents is equally likely.
void SampledMean::draw(std::int64_t iteration) {
  iteration_ = iteration;
  drawn_.clear();
  const parallel::Draw draw(seed_, parallel::Purpose::client_sampling, iteration);
  const std::int64_t agents = std::ssize(weights_);
  for (std::int64_t j = agents - participants_; j < agents; ++j) {
    const auto candidate = static_cast<std::int64_t>(
        draw.below(static_cast<std::uint64_t>(j) + 1, static_cast<std::uint64_t>(j)));
    const bool taken = std::find(drawn_.begin(), drawn_.end(), candidate) != drawn_.end();
    drawn_.push_back(taken ? j : candidate);
  }
  std::sort(drawn_.begin(), drawn_.end());
  const partition::Range mine = agents_.range(comm_.rank());
  hosted_.clear();
  for (const std::int64_t m : drawn_) {
    if (mine.contains(m)) hosted_.push_back(m);
  }
}

/// Appends the message of the k-th hosted participant to out_; returns its length.
std::size_t SampledMean::encode(std::span<const double> rows, std::size_t k) {
  const std::size_t d = at(whole_.size());
  const auto row = rows.subspan(k * d, d);
  const std::size_t before = out_.size();
  const parallel::Draw draw(seed_, parallel::Purpose::mask, iteration_, hosted_[k]);
  codec_->prepare(row, draw, hosted_[k], selection_);
  codec_->encode(row, selection_, whole_, chunks_, draw, out_);
  return out_.size() - before;
}

/// Every rank learns the length of every message, and where each rank's begin.
void SampledMean::share_lengths() {
  counts_.assign(at(comm_.size()), 0);
  offsets_.assign(at(comm_.size()) + 1, 0);
  for (const std::int64_t m : drawn_) ++counts_[at(agents_.owner(m))];
  std::partial_sum(counts_.begin(), counts_.end(), offsets_.begin() + 1);
  const parallel::Draw draw(seed_, parallel::Purpose::mask, iteration_);
  bool known = true;
  for (std::size_t k = 0; k < drawn_.size() && known; ++k) {
    const auto length = codec_->bytes(whole_, chunks_, draw.with_agent(drawn_[k]), drawn_[k]);
    known = length.has_value();
    if (known) lengths_[k] = *length;
  }
  if (!known) {
    MPI_Allgatherv(own_lengths_.data(), static_cast<int>(own_lengths_.size()), MPI_INT64_T,
                   lengths_.data(), counts_.data(), offsets_.data(), MPI_INT64_T, comm_.handle());
    const auto own = std::ssize(own_lengths_);
    traffic_.header_sent += 8 * own * (comm_.size() - 1);
    traffic_.header_received += 8 * (participants_ - own);
  }
  std::fill(counts_.begin(), counts_.end(), 0);
  for (std::size_t k = 0; k < drawn_.size(); ++k) {
    counts_[at(agents_.owner(drawn_[k]))] += static_cast<int>(lengths_[k]);
    count_sent(drawn_[k], lengths_[k]);
  }
  std::partial_sum(counts_.begin(), counts_.end(), offsets_.begin() + 1);
  auto* const virtually = parallel::VirtualRanks::on(comm_);
  if (!virtually || comm_.rank() != 0) return;
  const auto agents = partition::Partition::uniform(agents_.size(), virtually->size());
  for (std::size_t k = 0; k < drawn_.size(); ++k) {
    virtually->to_all(agents.owner(drawn_[k]), {lengths_[k], known ? 0 : 8});
  }
}

/// How many of those drawn each part of a partition of all agents holds, as a partition of them.
partition::Partition SampledMean::drawn_by(const partition::Partition& agents) const {
  std::vector<std::int64_t> offsets(at(agents.parts()) + 1, 0);
  for (const std::int64_t m : drawn_) ++offsets[at(agents.owner(m)) + 1];
  std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
  return partition::Partition::from_offsets(std::move(offsets));
}

void SampledMean::count_sent(std::int64_t agent, std::int64_t bytes) {
  const partition::Range mine = agents_.range(comm_.rank());
  if (mine.contains(agent)) bytes_[at(agent - mine.begin)] += bytes;
}

/// The participants are the agents of a mean of their own, in ascending order.
void SampledMean::serve(std::span<const double> rows, std::span<double> out) {
  const double scale = static_cast<double>(weights_.size()) / static_cast<double>(participants_);
  std::vector<double> weights;
  for (const std::int64_t m : drawn_) weights.push_back(scale * weights_[at(m)]);
  served_->regroup(drawn_by(agents_), std::move(weights));
  if (const auto* const virtually = parallel::VirtualRanks::on(comm_)) {
    served_->spread_virtual(
        drawn_by(partition::Partition::uniform(agents_.size(), virtually->size())));
  }
  (*served_)(iteration_, rows, out);
  for (std::size_t k = 0; k < hosted_.size(); ++k) {
    count_sent(hosted_[k], served_->last_uplink()[k]);
  }
}

void SampledMean::operator()(std::span<const double> rows, std::span<double> out) {
  if (served_) return serve(rows, out);
  out_.clear();
  own_lengths_.clear();
  for (std::size_t k = 0; k < hosted_.size(); ++k) {
    own_lengths_.push_back(static_cast<std::int64_t>(encode(rows, k)));
  }
  share_lengths();
  in_.resize(at(offsets_.back()));
  MPI_Allgatherv(out_.data(), static_cast<int>(out_.size()), MPI_BYTE, in_.data(), counts_.data(),
                 offsets_.data(), MPI_BYTE, comm_.handle());
  const auto own = std::ssize(out_);
  traffic_.sent += own * (comm_.size() - 1);
  traffic_.received += offsets_.back() - own;
  traffic_.downlink_per_agent += std::min<std::int64_t>(offsets_.back(), 8 * whole_.size());
  traffic_.rounds += 1;
  std::fill(out.begin(), out.end(), 0.0);
  const double scale = static_cast<double>(weights_.size()) / static_cast<double>(participants_);
  std::size_t start = 0;
  for (std::size_t k = 0; k < drawn_.size(); ++k) {
    const std::int64_t m = drawn_[k];
    const parallel::Draw draw(seed_, parallel::Purpose::mask, iteration_, m);
    codec_->decode_add(std::span<const std::byte>(in_).subspan(start, at(lengths_[k])), whole_,
                       chunks_, draw, m, scale * weights_[at(m)], out);
    start += at(lengths_[k]);
  }
}

void SampledMean::decode_own(std::span<double> rows) const {
  const std::size_t d = at(whole_.size());
  std::fill(rows.begin(), rows.end(), 0.0);
  std::size_t start = 0;
  for (std::size_t k = 0; k < hosted_.size(); ++k) {
    const parallel::Draw draw(seed_, parallel::Purpose::mask, iteration_, hosted_[k]);
    codec_->decode_add(std::span<const std::byte>(out_).subspan(start, at(own_lengths_[k])), whole_,
                       chunks_, draw, hosted_[k], 1.0, rows.subspan(k * d, d));
    start += at(own_lengths_[k]);
  }
}

parallel::Traffic SampledMean::traffic() const {
  parallel::Traffic total = served_ ? served_->traffic() : traffic_;
  total.uplink_per_agent = bytes_.empty() ? 0 : *std::max_element(bytes_.begin(), bytes_.end());
  return total;
}

}  // namespace equipoise::vi
