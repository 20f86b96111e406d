#include <equipoise/formats/libsvm.hpp>
#include <equipoise/formats/number.hpp>
#include <equipoise/formats/text_file.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <cstring>
#include <limits>
#include <span>

namespace equipoise::formats {
namespace {

bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
bool separator(const char* at, const char* last) { return at == last || blank(*at) || *at == '#'; }

std::string_view token(const char* at, const char* last) {
  const char* end = at;
  while (!separator(end, last) && end - at < 40) ++end;
  return {at, static_cast<std::size_t>(end - at)};
}

/// The place of an error; made only when there is one.
struct Place {
  std::string_view file;
  std::int64_t line;
  const char* begin;
  [[nodiscard]] std::string at(const char* position) const {
    return fmt::format("{}:{}:{}", file, line, position - begin + 1);
  }
};

[[noreturn]] void refuse_label(const Place& place, const char* at, const char* last) {
  throw InputError(
      "{}: the label '{}' is not a finite number; replace class names by numbers such as -1 and 1",
      place.at(at), token(at, last));
}

[[noreturn]] void refuse_entry(const Place& place, const char* at, const char* last) {
  const std::string_view text = token(at, last);
  const std::string where = place.at(at);
  if (text.starts_with("qid:")) {
    throw InputError(
        "{}: '{}' belongs to ranking data, whose groups mean nothing here; remove the qid entries",
        where, text);
  }
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) {
    throw InputError("{}: '{}' has no colon; an entry is written index:value without blanks", where,
                     text);
  }
  std::int64_t index = 0;
  const char* const stop = text.data() + colon;
  if (parse_integer(text.data(), stop, index) != stop) {
    throw InputError("{}: the index of '{}' is not an integer; an entry is written index:value",
                     where, text);
  }
  if (index < 1) {
    throw InputError("{}: index {}; indices count from 1, so add {} to all of them", where, index,
                     index == 0 ? std::int64_t{1} : 1 - index);
  }
  if (index > std::numeric_limits<std::int32_t>::max()) {
    throw InputError("{}: index {} is above 2147483647; renumber or hash the features", where,
                     index);
  }
  throw InputError(
      "{}: the value of '{}' is not a finite number; replace it or leave the entry out", where,
      text);
}

/// Parses the entries of one line, from `at` to `last`, behind its label.
void parse_entries(const Place& place, const char* at, const char* last, LibsvmBlock& block) {
  std::int64_t previous = 0;
  for (;;) {
    while (at != last && blank(*at)) ++at;
    if (at == last || *at == '#') return;
    const char* const begin = at;
    std::int64_t index = 0;
    while (at != last && *at >= '0' && *at <= '9' && at - begin < 10)
      index = 10 * index + (*at++ - '0');
    double value = 0.0;
    const bool colon = at != begin && at != last && *at == ':';
    const char* const end = colon ? parse_number(at + 1, last, value) : nullptr;
    if (end == nullptr || !separator(end, last) || index < 1 ||
        index > std::numeric_limits<std::int32_t>::max()) {
      refuse_entry(place, begin, last);
    }
    if (index <= previous) {
      throw InputError("{}: index {} follows index {}; sort the entries of the line and {}",
                       place.at(begin), index, previous,
                       index == previous ? "merge repeated ones" : "keep each index once");
    }
    previous = index;
    at = end;
    block.columns.push_back(static_cast<std::int32_t>(index - 1));
    block.values.push_back(value);
  }
}

void parse_line(const Place& place, std::string_view line, LibsvmBlock& block) {
  const char* at = line.data();
  const char* const last = at + line.size();
  while (at != last && blank(*at)) ++at;
  if (at == last || *at == '#') return;
  double label = 0.0;
  const char* const end = parse_number(at, last, label);
  if (end == nullptr || !separator(end, last)) refuse_label(place, at, last);
  const std::size_t before = block.columns.size();
  parse_entries(place, end, last, block);
  if (block.columns.size() > before) {
    block.features = std::max<std::int64_t>(block.features, block.columns.back() + std::int64_t{1});
  }
  block.labels.push_back(label);
  block.offsets.push_back(static_cast<std::int64_t>(block.columns.size()));
}

std::int64_t share(std::int64_t size, int part, int parts) {
  return size / parts * part + size % parts * part / parts;
}

/// The first position at or behind `at` where a line begins.
std::size_t line_begin(std::string_view text, std::size_t at) {
  if (at == 0) return 0;
  const std::size_t stop = text.find('\n', at - 1);
  return stop == std::string_view::npos ? text.size() : stop + 1;
}

constexpr std::size_t largest_message = 1 << 30;

void send_text(const parallel::Comm& comm, int to, std::string_view text) {
  for (std::size_t done = 0; done < text.size(); done += largest_message) {
    const std::size_t count = std::min(largest_message, text.size() - done);
    MPI_Send(text.data() + done, static_cast<int>(count), MPI_CHAR, to, 0, comm.handle());
  }
}

void receive_text(const parallel::Comm& comm, std::span<char> text) {
  for (std::size_t done = 0; done < text.size(); done += largest_message) {
    const std::size_t count = std::min(largest_message, text.size() - done);
    MPI_Recv(text.data() + done, static_cast<int>(count), MPI_CHAR, 0, 0, comm.handle(),
             MPI_STATUS_IGNORE);
  }
}

/// This rank's share of a packed file's text. **Collective.**
std::string unpack_share(const parallel::Comm& comm, const std::string& path) {
  const auto parts = static_cast<std::size_t>(comm.size());
  std::vector<std::int64_t> cuts(parts + 1, 0);
  std::string text = parallel::agree(comm, [&] {
    std::string whole = comm.rank() == 0 ? open_text(path) : std::string();
    for (std::size_t part = 1; part <= parts; ++part) {
      const std::int64_t at =
          share(static_cast<std::int64_t>(whole.size()), static_cast<int>(part), comm.size());
      cuts[part] = static_cast<std::int64_t>(line_begin(whole, static_cast<std::size_t>(at)));
    }
    return whole;
  });
  comm.broadcast(std::span(cuts), 0);
  const auto me = static_cast<std::size_t>(comm.rank());
  const auto here = static_cast<std::size_t>(cuts[me + 1] - cuts[me]);
  parallel::agree(comm, [&] {
    if (me > 0) text.resize(here);
  });
  if (me > 0) {
    receive_text(comm, text);
    return text;
  }
  for (std::size_t to = 1; to < parts; ++to) {
    send_text(comm, static_cast<int>(to),
              std::string_view(text).substr(static_cast<std::size_t>(cuts[to]),
                                            static_cast<std::size_t>(cuts[to + 1] - cuts[to])));
  }
  text.resize(here);
  text.shrink_to_fit();
  return text;
}

/// Sum of `value` over the ranks below this one. **Collective.**
std::int64_t sum_below(const parallel::Comm& comm, std::int64_t value) {
  std::int64_t sum = 0;
  MPI_Exscan(&value, &sum, 1, MPI_INT64_T, MPI_SUM, comm.handle());
  return comm.rank() == 0 ? 0 : sum;
}

}  // namespace

LibsvmBlock parse_libsvm(std::string_view text, std::string_view file, std::int64_t first_line) {
  LibsvmBlock block;
  const auto rows = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  block.labels.reserve(rows);
  block.offsets.reserve(rows + 1);
  const auto entries = static_cast<std::size_t>(std::count(text.begin(), text.end(), ':'));
  block.columns.reserve(entries);
  block.values.reserve(entries);
  LineScanner scan(text, first_line);
  while (scan.next()) parse_line({file, scan.number(), scan.line().data()}, scan.line(), block);
  return block;
}

LibsvmData read_libsvm(const parallel::Comm& comm, const std::string& path) {
  struct Shape {
    std::int64_t packed, size;
  };
  const Shape mine = parallel::agree(comm, [&] {
    const bool packed = comm.rank() == 0 && detect_compression(path) != Compression::none;
    return Shape{packed ? 1 : 0, file_size(path)};
  });
  std::int64_t shape[2] = {mine.packed, mine.size};
  comm.broadcast(std::span<std::int64_t>(shape), 0);
  const std::string text = shape[0] != 0 ? unpack_share(comm, path) : parallel::agree(comm, [&] {
    return read_lines(path, share(shape[1], comm.rank(), comm.size()),
                      share(shape[1], comm.rank() + 1, comm.size()));
  });
  const std::int64_t lines_here = std::count(text.begin(), text.end(), '\n');
  const std::int64_t lines = sum_below(comm, lines_here);
  LibsvmData data;
  data.block = parallel::agree(comm, [&] { return parse_libsvm(text, path, lines + 1); });
  data.first_row = sum_below(comm, data.block.rows());
  data.rows = comm.sum(data.block.rows());
  data.nonzeros = comm.sum(static_cast<std::int64_t>(data.block.values.size()));
  data.features = comm.max(data.block.features);
  data.block.features = data.features;
  parallel::agree(comm, [&] {
    if (data.rows == 0)
      throw InputError("{}: holds no rows; expected lines `label index:value ...`", path);
  });
  return data;
}

}  // namespace equipoise::formats
