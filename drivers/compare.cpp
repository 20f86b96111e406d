#include "command.hpp"

#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/solve/progress.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <set>

namespace equipoise::drivers {
namespace {

/// One column of the comparison: "masha1/natural/natural" is a method with its two codecs.
struct Variant {
  std::string title;
  std::vector<std::string> words;
};

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::size_t from = 0;
  for (std::size_t to = 0; to != std::string::npos; from = to + 1) {
    to = text.find(at, from);
    parts.push_back(text.substr(from, to == std::string::npos ? to : to - from));
  }
  return parts;
}

Variant parse_variant(const std::string& text) {
  const std::vector<std::string> parts = split(text, '/');
  if (parts.size() > 3 || std::find(parts.begin(), parts.end(), "") != parts.end()) {
    throw ConfigurationError(
        "method.name = {}: write METHOD, METHOD/codec or METHOD/codec/server_codec", text);
  }
  Variant variant{text, {"method.name=" + parts[0]}};
  if (parts.size() > 1) variant.words.push_back("method.codec=" + parts[1]);
  if (parts.size() > 2) variant.words.push_back("method.server_codec=" + parts[2]);
  return variant;
}

/// Takes the methods out of the words.
std::vector<Variant> take_variants(std::vector<std::string>& words) {
  constexpr std::string_view key = "method.name=";
  std::string list;
  std::erase_if(words, [&](const std::string& word) {
    if (!word.starts_with(key)) return false;
    list = word.substr(key.size());
    return true;
  });
  if (list.empty()) {
    throw ConfigurationError(
        "compare needs the methods: method.name=extragradient,masha1,masha1/natural/natural");
  }
  std::vector<Variant> variants;
  for (const std::string& text : split(list, ',')) variants.push_back(parse_variant(text));
  return variants;
}

struct Row {
  std::string title;
  solve::Summary summary;
  [[nodiscard]] bool solved() const { return summary.stop == solve::Stop::converged; }
  [[nodiscard]] double peer() const {
    return static_cast<double>(std::max(summary.traffic.sent, summary.traffic.received));
  }
  [[nodiscard]] double uplink() const {
    return static_cast<double>(summary.traffic.uplink_per_agent);
  }
};

void print_row(const Row& row) {
  fmt::print("{:<34} {:>10} {:>10} {:>13} {:>16} {:>10.2e}  {}\n", row.title,
             row.summary.iterations, solve::human_seconds(row.summary.seconds),
             solve::human_bytes(row.uplink()), solve::human_bytes(row.peer()), row.summary.residual,
             solve::name(row.summary.stop));
  std::fflush(stdout);
}

/// Says who wins and who loses against the first method, metric by metric.
template <class Metric>
void print_verdict(const std::vector<Row>& rows, const std::string& what, Metric metric) {
  const double base = metric(rows.front());
  if (!(base > 0.0)) return;
  std::string better;
  std::string worse;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    if (!rows[i].solved()) continue;
    const double ratio = metric(rows[i]) / base;
    auto& list = ratio < 1.0 ? better : worse;
    list += fmt::format("{}{} ({:.2f})", list.empty() ? "" : ", ", rows[i].title, ratio);
  }
  fmt::print("{} relative to {}: better {}; worse {}\n", what, rows.front().title,
             better.empty() ? "none" : better, worse.empty() ? "none" : worse);
}

std::string file_name(std::string title) {
  for (char& c : title) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '.') c = '_';
  }
  return title + ".h5";
}

}  // namespace

int compare_command(const parallel::Comm& comm, const RunArguments& arguments,
                    const std::string& picture) {
  RunArguments common = arguments;
  const std::vector<Variant> variants = take_variants(common.words);
  const auto of_variant = [&](const Variant& variant) {
    RunArguments one = common;
    one.quiet = true;
    one.words.insert(one.words.end(), variant.words.begin(), variant.words.end());
    return one;
  };
  // What is wrong with a later method is said before the first one has run for an hour.
  for (std::size_t i = 1; i < variants.size(); ++i) try_case(comm, of_variant(variants[i]));
  const bool keep = !arguments.out.empty() || !picture.empty();
  const std::string directory = arguments.out.empty() ? picture + ".runs" : arguments.out;
  if (keep) {
    parallel::agree(comm, [&] {
      std::error_code error;
      if (comm.rank() == 0) std::filesystem::create_directories(directory, error);
      if (error) throw CheckpointError("{}: cannot be made ({})", directory, error.message());
    });
  }
  if (comm.rank() == 0) {
    fmt::print("{:<34} {:>10} {:>10} {:>13} {:>16} {:>10}  {}\n", "method", "iterations", "time",
               "uplink/agent", "max(sent,recv)", "measure", "stop");
  }
  std::vector<Row> rows;
  std::vector<std::string> files;
  for (const Variant& variant : variants) {
    RunArguments one = of_variant(variant);
    one.out = keep ? directory + "/" + file_name(variant.title) : "";
    one.overwrite = arguments.overwrite || arguments.out.empty();
    rows.push_back({variant.title, run_case(comm, one).summary});
    if (keep) files.push_back(one.out);
    if (comm.rank() == 0) print_row(rows.back());
  }
  if (comm.rank() == 0) {
    for (const Row& row : rows) {
      if (!row.solved()) {
        fmt::print("{}: no solution, stopped at {:.1e} ({})\n", row.title, row.summary.residual,
                   solve::name(row.summary.stop));
      }
    }
    print_verdict(rows, "uplink per agent", [](const Row& r) { return r.uplink(); });
    print_verdict(rows, "max(sent, received) per rank", [](const Row& r) { return r.peer(); });
    print_verdict(rows, "time", [](const Row& r) { return r.summary.seconds; });
  }
  if (!picture.empty()) return plot_command(comm, files, picture, {});
  const bool all =
      std::all_of(rows.begin(), rows.end(), [](const Row& row) { return row.solved(); });
  return static_cast<int>(all ? Exit::ok : Exit::limit);
}

}  // namespace equipoise::drivers
