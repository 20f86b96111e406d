#include "timing.hpp"

#include <equipoise/compress/mean.hpp>
#include <equipoise/parallel/random.hpp>

#include <fmt/format.h>

#include <cstring>
#include <vector>

namespace equipoise::drivers {
namespace {

struct Sizes {
  std::vector<double> dimensions = {1e3, 1e4, 1e5, 1e6, 1e7};
  std::int64_t repeats = 15;
  std::vector<std::string> codecs = {"fp32", "natural", "topk:0.01", "randk:0.01"};
  void describe(state::OptionVisitor& visit) {
    visit.option("dimensions", dimensions, "vector lengths", state::at_least_one);
    visit.option("repeats", repeats, "interleaved repeats, of which the median counts",
                 state::at_least_one);
    visit.option("codecs", codecs, "codecs to measure");
  }
};

}  // namespace

int bench_mean(const parallel::Comm& comm, const std::vector<std::string>& words) {
  Sizes sizes;
  read_options(comm, words, sizes);
  if (comm.rank() == 0) {
    fmt::print(
        "exact mean of one vector per rank against MPI_Allreduce, {} ranks, median of {} "
        "interleaved repeats\n"
        "{:>10} {:>12} {:>14} {:>8}\n",
        comm.size(), sizes.repeats, "d", "mean [us]", "allreduce [us]", "ratio");
  }
  for (const double dimension : sizes.dimensions) {
    const auto d = static_cast<std::int64_t>(dimension);
    const std::vector<double> v = random_vector(d, comm.rank());
    std::vector<double> out(v.size());
    compress::MeanSetting setting;
    setting.dimension = d;
    setting.weights.assign(static_cast<std::size_t>(comm.size()), 1.0 / comm.size());
    compress::Mean mean(comm, partition::Partition::uniform(comm.size(), comm.size()), setting);
    const int inner = d < 20000 ? 100 : d < 2000000 ? 5 : 1;
    std::vector<double> ours, theirs;
    for (std::int64_t k = 0; k <= sizes.repeats; ++k) {
      ours.push_back(timed(comm, [&] {
        for (int i = 0; i < inner; ++i) mean.dense(v, out);
      }));
      theirs.push_back(timed(comm, [&] {
        for (int i = 0; i < inner; ++i) {
          MPI_Allreduce(v.data(), out.data(), static_cast<int>(d), MPI_DOUBLE, MPI_SUM,
                        comm.handle());
        }
      }));
    }
    ours.erase(ours.begin());
    theirs.erase(theirs.begin());
    const double a = median(ours) / inner, b = median(theirs) / inner;
    if (comm.rank() == 0) {
      fmt::print("{:>10} {:>12.1f} {:>14.1f} {:>8.2f}\n", d, 1e6 * a, 1e6 * b, a / b);
      std::fflush(stdout);
    }
  }
  return 0;
}

int bench_codecs(const parallel::Comm& comm, const std::vector<std::string>& words) {
  Sizes sizes;
  sizes.dimensions = {1e7};
  read_options(comm, words, sizes);
  if (comm.rank() == 0) {
    fmt::print(
        "encoding against memcpy of the vector (8 d bytes), one rank\n{:>10} {:<20} {:>12} {:>12} "
        "{:>14} {:>14}\n",
        "d", "codec", "encode GB/s", "decode GB/s", "encode/memcpy", "decode/memcpy");
  }
  for (const double dimension : sizes.dimensions) {
    const auto d = static_cast<std::int64_t>(dimension);
    const std::vector<double> v = random_vector(d, 0);
    std::vector<double> out(v.size());
    const auto chunks = partition::Partition::uniform(d, partition::default_chunks(d));
    const partition::Range all{0, d};
    const parallel::Draw draw(0, parallel::Purpose::mask, 1);
    for (const std::string& text : sizes.codecs) {
      const auto codec = compress::make_codec(text, {d, 4});
      compress::Selection selection;
      std::vector<std::byte> bytes;
      std::vector<double> copy, encode, decode;
      for (std::int64_t k = 0; k <= sizes.repeats; ++k) {
        copy.push_back(timed(comm, [&] { std::memcpy(out.data(), v.data(), 8 * v.size()); }));
        bytes.clear();
        encode.push_back(timed(comm, [&] {
          codec->prepare(v, draw, 0, selection);
          codec->encode(v, selection, all, chunks, draw, bytes);
        }));
        decode.push_back(
            timed(comm, [&] { codec->decode_add(bytes, all, chunks, draw, 0, 1.0, out); }));
      }
      const double c = median(copy), e = median(encode), t = median(decode);
      if (comm.rank() == 0) {
        const double giga = 8e-9 * dimension;
        fmt::print("{:>10} {:<20} {:>12.2f} {:>12.2f} {:>14.2f} {:>14.2f}\n", d, text, giga / e,
                   giga / t, c / e, c / t);
        std::fflush(stdout);
      }
    }
  }
  return 0;
}

}  // namespace equipoise::drivers
