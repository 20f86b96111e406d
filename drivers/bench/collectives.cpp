#include "timing.hpp"

#include <equipoise/compress/mean.hpp>
#include <equipoise/parallel/error.hpp>

#include <fmt/format.h>

#include <optional>

namespace equipoise::drivers {
namespace {

struct Setups {
  std::vector<double> dimensions = {1e4, 1e5, 1e6};
  std::vector<std::string> setups = {"identity",
                                     "bf16/bf16",
                                     "natural/natural",
                                     "permk",
                                     "topk:0.01",
                                     "topk:0.01/topk:0.01",
                                     "topk:0.01/identity/split",
                                     "topk:0.01/identity/recursive-doubling",
                                     "topk:0.01/identity/balanced",
                                     "powersgd:4"};
  std::int64_t repeats = 7;
  void describe(state::OptionVisitor& visit) {
    visit.option("dimensions", dimensions, "vector lengths", state::at_least_one);
    visit.option("setups", setups, "codec, codec/server_codec or codec/server_codec/collective");
    visit.option("repeats", repeats, "interleaved repeats, of which the median counts",
                 state::at_least_one);
  }
};

/// The mean that a setup's text describes, one agent a rank.
compress::Mean make_mean(const parallel::Comm& comm, std::int64_t d, const std::string& text) {
  compress::MeanSetting setting;
  setting.dimension = d;
  setting.weights.assign(static_cast<std::size_t>(comm.size()), 1.0 / comm.size());
  const std::size_t first = text.find('/');
  const std::size_t second = first == std::string::npos ? first : text.find('/', first + 1);
  setting.codec = text.substr(0, first);
  if (first != std::string::npos) setting.server_codec = text.substr(first + 1, second - first - 1);
  if (second != std::string::npos) setting.collective = text.substr(second + 1);
  setting.fast = setting.collective == "recursive-doubling" || setting.collective == "balanced";
  const auto agents = partition::Partition::uniform(comm.size(), comm.size());
  // Error feedback where the codec needs it, which the codec itself tells.
  for (const bool feedback : {true, false}) {
    setting.error_feedback = feedback;
    compress::Mean mean(comm, agents, setting);
    if (mean.device().needs_error_feedback == feedback) return mean;
  }
  throw Error(Exit::defect, "a codec contradicts itself");
}

}  // namespace

int bench_collectives(const parallel::Comm& comm, const std::vector<std::string>& words) {
  Setups options;
  read_options(comm, words, options);
  if (comm.rank() == 0) {
    fmt::print(
        "mean of one vector per rank against MPI_Allreduce, {} ranks, median of {} interleaved "
        "repeats\n{:>10} {:<38} {:<18} {:>12} {:>12} {:>8} {:>12}\n",
        comm.size(), options.repeats, "d", "setup", "collective", "mean [ms]", "allreduce", "ratio",
        "bytes a rank");
  }
  for (const double dimension : options.dimensions) {
    const auto d = static_cast<std::int64_t>(dimension);
    const std::vector<double> v = random_vector(d, comm.rank());
    std::vector<double> out(v.size());
    for (const std::string& text : options.setups) {
      compress::Mean mean = make_mean(comm, d, text);
      std::vector<double> ours, theirs;
      for (std::int64_t k = 0; k <= options.repeats; ++k) {
        mean.set_traffic({});
        ours.push_back(timed(comm, [&] { mean(k, v, out); }));
        theirs.push_back(timed(comm, [&] {
          MPI_Allreduce(v.data(), out.data(), static_cast<int>(d), MPI_DOUBLE, MPI_SUM,
                        comm.handle());
        }));
      }
      ours.erase(ours.begin());
      theirs.erase(theirs.begin());
      const parallel::Traffic t = mean.traffic();
      const std::int64_t bytes =
          comm.max(std::max(t.sent + t.header_sent, t.received + t.header_received));
      if (comm.rank() != 0) continue;
      fmt::print("{:>10} {:<38} {:<18} {:>12.3f} {:>12.3f} {:>8.3f} {:>12}\n", d, text,
                 mean.collective(), 1e3 * median(ours), 1e3 * median(theirs),
                 median(ours) / median(theirs), bytes);
      std::fflush(stdout);
    }
  }
  return 0;
}

}  // namespace equipoise::drivers
