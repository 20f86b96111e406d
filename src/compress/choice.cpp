#include <equipoise/compress/choice.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/parallel/virtual_ranks.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

namespace equipoise::compress {
namespace {

using Clock = std::chrono::steady_clock;

/// Entries of all hosted agents together on which codecs are timed.
constexpr std::int64_t timed_entries = std::int64_t{1} << 20U;
constexpr double worth_trying = 2.0;   ///< times the best prediction
constexpr double longest_trial = 0.1;  ///< seconds a round
constexpr double as_good = 1.05;       ///< times the best
constexpr int trials = 7;
constexpr double longest_choice = 0.5;  ///< seconds for the trials of collectives

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Seconds of `work`, the slowest rank's. **Collective.**
template <class Work>
double timed(const parallel::Comm& comm, Work work) {
  comm.barrier();
  const auto start = Clock::now();
  work();
  return comm.max(std::chrono::duration<double>(Clock::now() - start).count());
}

/// Every rank sends `bytes` to its right neighbour.
double shift(const parallel::Comm& comm, std::vector<std::byte>& out, std::vector<std::byte>& in,
             int bytes, int repeats) {
  const int right = (comm.rank() + 1) % comm.size();
  const int left = (comm.rank() + comm.size() - 1) % comm.size();
  const double seconds = timed(comm, [&] {
    for (int k = 0; k < repeats; ++k) {
      MPI_Sendrecv(out.data(), bytes, MPI_BYTE, right, 0, in.data(), bytes, MPI_BYTE, left, 0,
                   comm.handle(), MPI_STATUS_IGNORE);
    }
  });
  return seconds / repeats;
}

MeanSetting with(MeanSetting setting, const Candidate& candidate) {
  setting.codec = candidate.codec;
  setting.server_codec = candidate.server_codec;
  return setting;
}

/// A mean, and vectors to try it on.
class Trial {
 public:
  Trial(const parallel::Comm& comm, partition::Partition agents, MeanSetting setting) {
    setting.chunks = 0;
    if (std::ssize(setting.weights) != agents.size()) {
      setting.weights.assign(at(agents.size()), 1.0 / static_cast<double>(agents.size()));
    }
    rows_.resize(at(agents.range(comm.rank()).size() * setting.dimension));
    out_.resize(at(setting.dimension));
    const parallel::Draw draw(1, parallel::Purpose::probe, 0, comm.rank());
    for (std::size_t i = 0; i < rows_.size(); ++i) rows_[i] = draw.uniform(i) - 0.5;
    mean_ = std::make_unique<Mean>(comm, std::move(agents), std::move(setting));
  }
  void round() { (*mean_)(iteration_++, rows_, out_); }
  [[nodiscard]] const Mean& mean() const { return *mean_; }

 private:
  std::int64_t iteration_ = 0;
  std::vector<double> rows_, out_;
  std::unique_ptr<Mean> mean_;
};

/// Seconds that the codecs of a candidate take on this rank's agents, all ranks at once.
double coding_seconds(const parallel::Comm& comm, const partition::Partition& agents,
                      MeanSetting setting, const Candidate& candidate) {
  const std::int64_t hosted = agents.range(comm.rank()).size();
  const std::int64_t d = setting.dimension;
  const std::int64_t most = comm.max(hosted);
  setting.dimension =
      std::clamp<std::int64_t>(timed_entries / std::max<std::int64_t>(1, most), 1, d);
  setting.weights.clear();
  Trial alone(parallel::Comm(), partition::Partition::uniform(std::max<std::int64_t>(1, hosted), 1),
              with(setting, candidate));
  alone.round();
  double best = std::numeric_limits<double>::infinity();
  for (int k = 0; k < 3; ++k) best = std::min(best, timed(comm, [&] { alone.round(); }));
  return best * static_cast<double>(d) / static_cast<double>(setting.dimension);
}

/// Bytes that the busiest rank moves in one round, from the constants of the codecs.
double bytes_moved(const parallel::Comm& comm, const partition::Partition& agents,
                   const Mean& mean) {
  const double full = 8.0 * static_cast<double>(mean.setting().dimension);
  const auto ranks = static_cast<double>(comm.size());
  double most = 0.0;
  for (int r = 0; r < comm.size(); ++r) {
    most = std::max(most, static_cast<double>(agents.range(r).size()));
  }
  const auto length = [&](double beta) { return full / (beta > 1.0 ? beta : 1.0); };
  const double up = length(mean.device().beta);
  const double down = length(mean.server().beta);
  const auto all = static_cast<double>(agents.size());
  if (mean.collective() == "allgatherv") return std::max(all - most, (ranks - 1.0) * most) * up;
  return (ranks - 1.0) / ranks * (std::max(most, all / ranks) * up + down);
}

/// The same mean of vectors short enough for trials in the memory of any rank.
MeanSetting fit(const parallel::Comm& comm, const partition::Partition& agents,
                MeanSetting setting) {
  const std::int64_t most = comm.max(agents.range(comm.rank()).size());
  setting.dimension =
      std::min(setting.dimension, 4 * timed_entries / std::max<std::int64_t>(1, most));
  return setting;
}

/// The collectives that a mean can go through, each with its trial.
std::vector<std::pair<std::string, Trial>> possible(const parallel::Comm& comm,
                                                    const partition::Partition& agents,
                                                    MeanSetting setting) {
  std::vector<std::pair<std::string, Trial>> list;
  for (const char* name :
       {"two-phase", "allgatherv", "split", "shared-mask", "recursive-doubling", "balanced"}) {
    setting.collective = name;
    try {
      list.emplace_back(name, Trial(comm, agents, setting));
    } catch (const ConfigurationError&) {  // this one cannot form this mean
    }
  }
  return list;
}

}  // namespace

NetworkCosts measure_network(const parallel::Comm& comm) {
  if (comm.size() == 1) return {0.0, std::numeric_limits<double>::infinity()};
  std::vector<std::byte> out(std::size_t{1} << 20U), in(out.size());
  shift(comm, out, in, 8, 3);
  NetworkCosts costs;
  costs.latency = shift(comm, out, in, 8, 10);
  // Long enough to be past what buffers take at once, short enough for a slow network.
  int bytes = 1 << 16;
  double seconds = shift(comm, out, in, bytes, 2);
  while (bytes < (1 << 20) && seconds < 0.02) {
    bytes *= 4;
    seconds = shift(comm, out, in, bytes, 2);
  }
  costs.bandwidth = bytes / std::max(seconds - costs.latency, 0.1 * seconds);
  return costs;
}

namespace {
std::string figures(const NetworkCosts& network) {
  return fmt::format("latency {:.3g} us, {:.4g} MB/s a rank", 1e6 * network.latency,
                     1e-6 * network.bandwidth);
}
}  // namespace

std::string CodecChoice::reason() const {
  const auto name = [](const Candidate& c) {
    if (c.server_codec == "identity") return c.codec;
    return c.codec == c.server_codec ? c.codec + " both ways" : c.codec + "/" + c.server_codec;
  };
  std::string text = name(taken) + " (";
  for (const Considered& c : considered) {
    text += fmt::format("{}{} {:.3g} ms{}", &c == considered.data() ? "" : ", ", name(c.candidate),
                        1e3 * (c.measured > 0.0 ? c.measured : c.predicted),
                        c.measured > 0.0 ? "" : " predicted");
  }
  return text + "; " + figures(network) + ")";
}

std::string CollectiveChoice::reason() const {
  if (tried.empty()) return taken + ": this mean can be formed in one way only";
  std::string text = taken + " (";
  for (const TriedCollective& t : tried) {
    text += fmt::format("{}{} {:.3g} ms, {:.3g} kB", &t == tried.data() ? "" : ", ", t.name,
                        1e3 * t.seconds, 1e-3 * t.bytes);
  }
  return text + "; " + figures(network) + ")";
}

CollectiveChoice choose_collective(const parallel::Comm& comm, const partition::Partition& agents,
                                   const MeanSetting& setting) {
  const parallel::VirtualRanks::Pause trials_do_not_count(comm);
  CollectiveChoice choice;
  choice.network = measure_network(comm);
  if (comm.size() == 1) return choice;
  auto list = possible(comm, agents, fit(comm, agents, setting));
  if (list.size() < 2) return choice;
  std::vector<std::vector<double>> seconds(list.size());
  double spent = 0.0;
  for (int k = 0; k <= trials && (k < 2 || spent < longest_choice); ++k) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      const double s = timed(comm, [&] { list[i].second.round(); });
      spent += s;
      if (k > 0) seconds[i].push_back(s);
    }
  }
  double best = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < list.size(); ++i) {
    auto& s = seconds[i];
    std::nth_element(s.begin(), s.begin() + std::ssize(s) / 2, s.end());
    const parallel::Traffic& moved = list[i].second.mean().traffic();
    const std::int64_t bytes = comm.max(std::max(moved.sent, moved.received)) / moved.rounds;
    choice.tried.push_back({list[i].first, s[s.size() / 2], static_cast<double>(bytes)});
    best = std::min(best, choice.tried.back().seconds);
  }
  const TriedCollective* taken = nullptr;
  for (const TriedCollective& t : choice.tried) {
    if (t.seconds <= as_good * best && (!taken || t.bytes < taken->bytes)) taken = &t;
  }
  choice.taken = taken->name;
  return choice;
}

CodecChoice choose_codec(const parallel::Comm& comm, const partition::Partition& agents,
                         const MeanSetting& setting, std::span<const Candidate> candidates) {
  if (candidates.empty()) throw ConfigurationError("there is no codec to choose from");
  const parallel::VirtualRanks::Pause trials_do_not_count(comm);
  CodecChoice choice;
  choice.network = measure_network(comm);
  const double messages = 2.0 * (comm.size() - 1);
  const auto travel = [&](double bytes) {
    return comm.size() == 1 ? 0.0
                            : messages * choice.network.latency + bytes / choice.network.bandwidth;
  };
  // The uncompressed mean: what snapshots cost, and the yardstick.
  const double dense_coding = coding_seconds(comm, agents, setting, {});
  const double dense_bytes = bytes_moved(comm, agents, Mean(comm, agents, setting));
  std::vector<Trial> trial;
  double best = std::numeric_limits<double>::infinity();
  for (const Candidate& candidate : candidates) {
    Considered c{candidate,
                 bytes_moved(comm, agents, Mean(comm, agents, with(setting, candidate)))};
    const double round = coding_seconds(comm, agents, setting, candidate) + travel(c.bytes);
    c.predicted = candidate.iterations *
                  (round + candidate.dense_share * (dense_coding + travel(dense_bytes)));
    best = std::min(best, c.predicted);
    choice.considered.push_back(c);
  }
  const MeanSetting shorter = fit(comm, agents, setting);
  const double scale =
      static_cast<double>(setting.dimension) / static_cast<double>(shorter.dimension);
  std::vector<std::size_t> tried;
  for (std::size_t i = 0; i < candidates.size() && comm.size() > 1; ++i) {
    const double expected = choice.considered[i].predicted;
    if (expected > worth_trying * best || expected > longest_trial) continue;
    tried.push_back(i);
    trial.emplace_back(comm, agents, with(shorter, candidates[i]));
  }
  if (tried.size() > 1) {
    Trial dense(comm, agents, with(shorter, {}));
    std::vector<std::vector<double>> seconds(trial.size() + 1);
    for (int k = 0; k <= trials; ++k) {
      for (std::size_t i = 0; i < seconds.size(); ++i) {
        Trial& t = i < trial.size() ? trial[i] : dense;
        const double s = timed(comm, [&] { t.round(); });
        if (k > 0) seconds[i].push_back(scale * s);
      }
    }
    for (auto& s : seconds) std::nth_element(s.begin(), s.begin() + trials / 2, s.end());
    best = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < trial.size(); ++i) {
      Considered& c = choice.considered[tried[i]];
      c.measured = c.candidate.iterations *
                   (seconds[i][trials / 2] + c.candidate.dense_share * seconds.back()[trials / 2]);
      best = std::min(best, c.measured);
    }
  }
  const Considered* taken = nullptr;
  for (const Considered& c : choice.considered) {
    if (tried.size() > 1 && c.measured == 0.0) continue;
    if ((tried.size() > 1 ? c.measured : c.predicted) > as_good * best) continue;
    if (!taken || c.bytes < taken->bytes) taken = &c;
  }
  choice.taken = taken->candidate;
  return choice;
}

}  // namespace equipoise::compress
