#pragma once

#include "command.hpp"

#include <equipoise/parallel/random.hpp>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

namespace equipoise::drivers {

inline double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + std::ssize(values) / 2, values.end());
  return values[values.size() / 2];
}

/// Seconds of `work`, the slowest rank's. **Collective.**
template <class Work>
double timed(const parallel::Comm& comm, Work work) {
  using Clock = std::chrono::steady_clock;
  comm.barrier();
  const auto start = Clock::now();
  work();
  return comm.max(std::chrono::duration<double>(Clock::now() - start).count());
}

inline std::vector<double> random_vector(std::int64_t d, int rank) {
  const parallel::Draw draw(7, parallel::Purpose::problem, 0, rank);
  std::vector<double> v(static_cast<std::size_t>(d));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = draw.normal(i);
  return v;
}

/// Reads "key=value" words of a benchmark into its options.
template <class Options>
void read_options(const parallel::Comm& comm, const std::vector<std::string>& words,
                  Options& options) {
  std::vector<std::string> prefixed;
  for (const auto& word : words) prefixed.push_back("bench." + word);
  state::Config config = read_words(comm, prefixed);
  config.read("bench", options);
  config.reject_unused();
}

}  // namespace equipoise::drivers
