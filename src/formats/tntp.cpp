#include <equipoise/formats/number.hpp>
#include <equipoise/formats/text_file.hpp>
#include <equipoise/formats/tntp.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <map>
#include <optional>

namespace equipoise::formats {
namespace {

constexpr std::string_view blanks = " \t\r\v\f";

std::string_view trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

std::string upper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return out;
}

/// Takes the text up to the next of `separators` (blanks are always some) off the front of `rest`.
std::string_view take(std::string_view& rest, std::string_view separators = blanks) {
  rest = rest.substr(std::min(rest.find_first_not_of(separators), rest.size()));
  const std::string_view field = rest.substr(0, rest.find_first_of(separators));
  rest.remove_prefix(field.size());
  return field;
}

/// The lines of a TNTP file that matter, with the metadata set aside.
class Reader {
 public:
  Reader(std::string_view text, std::string_view file) : file_(file), scan_(text) {}

  /// Moves to the next line with data, comments removed; metadata lines are stored on the way.
  bool next() {
    while (scan_.next()) {
      line_ = trim(scan_.line().substr(0, scan_.line().find('~')));
      if (line_.empty()) continue;
      if (line_.front() != '<') return true;
      const std::size_t stop = line_.find('>');
      if (stop == std::string_view::npos) refuse("a metadata line without '>'");
      metadata_[upper(trim(line_.substr(1, stop - 1)))] = {trim(line_.substr(stop + 1)),
                                                           scan_.number()};
    }
    return false;
  }

  [[nodiscard]] std::string_view line() const { return line_; }
  [[nodiscard]] std::string_view file() const { return file_; }

  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> text, Args&&... args) const {
    throw InputError("{}:{}: {}", file_, scan_.number(),
                     fmt::format(text, std::forward<Args>(args)...));
  }

  double number(std::string_view field, std::string_view what) const {
    double value = 0.0;
    if (field.empty() || parse_number(field.data(), field.data() + field.size(), value) !=
                             field.data() + field.size()) {
      refuse("the {} '{}' is not a finite number", what, field);
    }
    return value;
  }

  std::int32_t index(std::string_view field, std::string_view what, std::int64_t largest) const {
    std::int64_t value = 0;
    if (field.empty() || parse_integer(field.data(), field.data() + field.size(), value) !=
                             field.data() + field.size()) {
      refuse("the {} '{}' is not an integer", what, field);
    }
    if (value < 1 || value > largest) {
      refuse("the {} {} is unknown; the metadata announce 1 to {}", what, value, largest);
    }
    return static_cast<std::int32_t>(value);
  }

  /// A whole number of the metadata; `fallback` where the tag is missing, an error without one.
  std::int64_t count(const std::string& tag, std::optional<std::int64_t> fallback = {}) const {
    const auto found = metadata_.find(tag);
    if (found == metadata_.end()) {
      if (fallback) return *fallback;
      throw InputError("{}: the metadata lack <{}>; expected a TNTP file", file_, tag);
    }
    auto [text, line] = found->second;
    const std::string_view field = take(text);
    std::int64_t value = 0;
    const char* const last = field.data() + field.size();
    if (field.empty() || parse_integer(field.data(), last, value) != last || value < 0 ||
        value > std::numeric_limits<std::int32_t>::max()) {
      throw InputError("{}:{}: <{}> '{}' is not a count", file_, line, tag, field);
    }
    return value;
  }

  /// A number of the metadata that is only informative: 0 where it is missing or unreadable.
  double remark(const std::string& tag) const {
    const auto found = metadata_.find(tag);
    if (found == metadata_.end()) return 0.0;
    double value = 0.0;
    const std::string_view text = found->second.first;
    return parse_number(text.data(), text.data() + text.size(), value) ? value : 0.0;
  }

 private:
  std::string_view file_;
  LineScanner scan_;
  std::string_view line_;
  std::map<std::string, std::pair<std::string_view, std::int64_t>> metadata_;
};

TntpLink parse_link(const Reader& in, std::int64_t nodes) {
  constexpr std::array<std::string_view, 10> names = {
      "init node", "term node", "capacity", "length", "free flow time",
      "B",         "power",     "speed",    "toll",   "link type"};
  constexpr std::string_view separators = " \t\r\v\f;";
  std::string_view rest = in.line();
  TntpLink link;
  link.from = in.index(take(rest, separators), names[0], nodes);
  link.to = in.index(take(rest, separators), names[1], nodes);
  std::array<double, 10> value{};
  std::size_t filled = 2;
  for (; filled < value.size(); ++filled) {
    const std::string_view field = take(rest, separators);
    if (field.empty()) break;
    value[filled] = in.number(field, names[filled]);
    if (value[filled] < 0.0) in.refuse("the {} {} is negative", names[filled], value[filled]);
  }
  if (filled < 7) {
    in.refuse(
        "{} fields; a link has at least 7: init node, term node, capacity, length, free flow time, "
        "B, power",
        filled);
  }
  if (value[5] > 0.0 && !(value[2] > 0.0)) {
    in.refuse(
        "the capacity is 0 and B is {}; give a positive capacity, or B = 0 for a constant cost",
        value[5]);
  }
  if (value[9] > std::numeric_limits<std::int32_t>::max())
    in.refuse("the link type {} is too large", value[9]);
  link.capacity = value[2];
  link.length = value[3];
  link.free_flow_time = value[4];
  link.b = value[5];
  link.power = value[6];
  link.speed = value[7];
  link.toll = value[8];
  link.type = static_cast<std::int32_t>(value[9]);
  return link;
}

/// Rows of numbers after an optional line of titles; `row` reads one.
template <class Row, class Read>
std::vector<Row> parse_rows(std::string_view text, std::string_view file, const Read& read) {
  Reader in(text, file);
  std::vector<Row> rows;
  for (bool first = true; in.next(); first = false) {
    if (first && std::isalpha(static_cast<unsigned char>(in.line().front())) != 0) continue;
    std::string_view rest = in.line();
    rows.push_back(read(in, rest));
  }
  if (rows.empty()) throw InputError("{}: holds no rows", file);
  return rows;
}

constexpr std::int64_t any_node = std::numeric_limits<std::int32_t>::max();

}  // namespace

TntpNetwork parse_tntp_network(std::string_view text, std::string_view file) {
  Reader in(text, file);
  TntpNetwork network;
  std::int64_t announced = -1;
  const auto open = [&] {
    announced = in.count("NUMBER OF LINKS");
    network.nodes = in.count("NUMBER OF NODES");
    network.zones = in.count("NUMBER OF ZONES");
    network.first_thru_node = in.count("FIRST THRU NODE", 1);
    if (network.zones > network.nodes) {
      throw InputError("{}: {} zones but only {} nodes; zones are the first nodes", file,
                       network.zones, network.nodes);
    }
    // A row takes at least 14 bytes, whatever the header claims.
    network.links.reserve(std::min(static_cast<std::size_t>(announced), text.size() / 14 + 1));
  };
  while (in.next()) {
    if (announced < 0) open();
    if (static_cast<std::int64_t>(network.links.size()) == announced) {
      in.refuse("one link more than <NUMBER OF LINKS> {}; correct the header or the rows",
                announced);
    }
    network.links.push_back(parse_link(in, network.nodes));
  }
  if (announced < 0) open();
  if (static_cast<std::int64_t>(network.links.size()) != announced) {
    throw InputError(
        "{}: <NUMBER OF LINKS> announces {} links, the file holds {}; the file may be cut", file,
        announced, network.links.size());
  }
  return network;
}

TntpTrips parse_tntp_trips(std::string_view text, std::string_view file) {
  Reader in(text, file);
  TntpTrips out;
  std::int32_t origin = 0;
  bool opened = false;
  const auto open = [&] {
    out.zones = in.count("NUMBER OF ZONES");
    out.announced = in.remark("TOTAL OD FLOW");
    opened = true;
  };
  while (in.next()) {
    if (!opened) open();
    std::string_view rest = in.line();
    if (std::isalpha(static_cast<unsigned char>(rest.front())) != 0) {
      const std::string_view word = take(rest);
      if (upper(word) != "ORIGIN")
        in.refuse("'{}' is unknown here; expected `Origin` or `zone : demand;`", word);
      origin = in.index(take(rest), "origin", out.zones);
      if (rest = trim(rest); rest.empty()) continue;
    }
    if (origin == 0) in.refuse("demand before the first `Origin`");
    while (!rest.empty()) {
      const std::size_t stop = rest.find(';');
      const std::string_view entry = trim(rest.substr(0, stop));
      rest.remove_prefix(stop == std::string_view::npos ? rest.size() : stop + 1);
      if (entry.empty()) continue;
      const std::size_t colon = entry.find(':');
      if (colon == std::string_view::npos)
        in.refuse("'{}' has no colon; expected `zone : demand;`", entry);
      TntpTrip trip;
      trip.origin = origin;
      trip.destination = in.index(trim(entry.substr(0, colon)), "destination", out.zones);
      trip.demand = in.number(trim(entry.substr(colon + 1)), "demand");
      if (trip.demand < 0.0) {
        in.refuse("the demand {} from {} to {} is negative", trip.demand, origin, trip.destination);
      }
      out.trips.push_back(trip);
    }
  }
  if (!opened) open();
  return out;
}

std::vector<TntpNode> parse_tntp_nodes(std::string_view text, std::string_view file) {
  return parse_rows<TntpNode>(text, file, [](const Reader& in, std::string_view& rest) {
    constexpr std::string_view separators = " \t;,";
    TntpNode node;
    node.node = in.index(take(rest, separators), "node", any_node);
    node.x = in.number(take(rest, separators), "x coordinate");
    node.y = in.number(take(rest, separators), "y coordinate");
    return node;
  });
}

std::vector<TntpFlow> parse_tntp_flows(std::string_view text, std::string_view file) {
  return parse_rows<TntpFlow>(text, file, [](const Reader& in, std::string_view& rest) {
    constexpr std::string_view separators = " \t;,:";
    TntpFlow flow;
    flow.from = in.index(take(rest, separators), "init node", any_node);
    flow.to = in.index(take(rest, separators), "term node", any_node);
    flow.volume = in.number(take(rest, separators), "volume");
    const std::string_view cost = take(rest, separators);
    if (!cost.empty()) flow.cost = in.number(cost, "cost");
    return flow;
  });
}

TntpNetwork read_tntp_network(const std::string& path) {
  return parse_tntp_network(open_text(path), path);
}
TntpTrips read_tntp_trips(const std::string& path) {
  return parse_tntp_trips(open_text(path), path);
}
std::vector<TntpNode> read_tntp_nodes(const std::string& path) {
  return parse_tntp_nodes(open_text(path), path);
}
std::vector<TntpFlow> read_tntp_flows(const std::string& path) {
  return parse_tntp_flows(open_text(path), path);
}

}  // namespace equipoise::formats
