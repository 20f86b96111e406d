#include <equipoise/formats/mps.hpp>
#include <equipoise/formats/number.hpp>
#include <equipoise/formats/text_file.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <limits>
#include <optional>
#include <unordered_map>

namespace equipoise::formats {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double practically_infinite = 1e30;
constexpr std::string_view blanks = " \t\v\f";

enum class Spacing { free, fixed };

std::string upper_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

std::string_view trim(std::string_view text) {
  const auto begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

struct Row {
  char type = 'N';
  std::int32_t index = -1;  ///< -1 for the objective, -2 for a dropped N row
  std::int64_t line = 0;
  double rhs = 0.0;
  std::optional<double> range;
};
constexpr std::int32_t objective = -1;
constexpr std::int32_t dropped = -2;

class Parser {
 public:
  Parser(std::string_view text, std::string_view file, Spacing spacing)
      : file_(file), scan_(text), spacing_(spacing) {}

  MpsProgram parse() {
    while (scan_.next()) {
      const std::string_view line = scan_.line();
      if (trim(line).empty() || line.front() == '*') continue;
      if (blanks.find(line.front()) == std::string_view::npos) {
        if (!begin_section(line)) return finish();
      } else {
        split(line);
        read_line();
      }
    }
    refuse("the file ends without ENDATA; it was cut, fetch it again");
  }

 private:
  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> text, Args&&... args) const {
    throw InputError("{}:{}: {}", file_, scan_.number(),
                     fmt::format(text, std::forward<Args>(args)...));
  }

  bool begin_section(std::string_view line) {
    split_free(line);
    section_ = upper_case(field_[0]);
    if (section_ == "ENDATA") return false;
    if (section_ == "NAME") {
      if (fields_ > 1) p_.name = field_[1];
    } else if (section_ == "OBJSENSE") {
      if (fields_ > 1) sense(field_[1]);
    } else if (section_ != "ROWS" && section_ != "COLUMNS" && section_ != "RHS" &&
               section_ != "RANGES" && section_ != "BOUNDS" && section_ != "QUADOBJ" &&
               section_ != "QMATRIX") {
      refuse(
          "section {} is unknown; NAME, OBJSENSE, ROWS, COLUMNS, RHS, RANGES, BOUNDS, QUADOBJ, "
          "QMATRIX and ENDATA are read",
          field_[0]);
    }
    return true;
  }

  void split_free(std::string_view line) {
    fields_ = 0;
    for (auto rest = line; fields_ < field_.size();) {
      const auto begin = rest.find_first_not_of(blanks);
      if (begin == std::string_view::npos) return;
      rest.remove_prefix(begin);
      field_[fields_++] = rest.substr(0, rest.find_first_of(blanks));
      rest.remove_prefix(field_[fields_ - 1].size());
    }
  }

  /// Fixed format: the fields of the columns, without those that are empty at the end; field 1 only
  /// where the section has it.
  void split(std::string_view line) {
    if (spacing_ == Spacing::free) return split_free(line);
    constexpr std::array<std::size_t, 6> from = {1, 4, 14, 24, 39, 49};
    constexpr std::array<std::size_t, 6> size = {2, 8, 8, 12, 8, 12};
    const bool typed = section_ == "ROWS" || section_ == "BOUNDS";
    fields_ = 0;
    std::size_t filled = 0;
    for (std::size_t k = typed ? 0 : 1; k < from.size(); ++k) {
      const auto part = from[k] < line.size() ? line.substr(from[k], size[k]) : std::string_view();
      field_[fields_++] = trim(part);
      if (!field_[fields_ - 1].empty()) filled = fields_;
    }
    fields_ = filled;
  }

  void read_line() {
    if (section_ == "ROWS") return read_row();
    if (section_ == "COLUMNS") return read_column();
    if (section_ == "RHS" || section_ == "RANGES") return read_side();
    if (section_ == "BOUNDS") return read_bound();
    if (section_ == "QUADOBJ" || section_ == "QMATRIX") return read_quadratic();
    if (section_ == "OBJSENSE") return sense(field_[0]);
    if (section_ == "NAME") refuse("data in section NAME; a section header begins in column 1");
    refuse("data before the first section; expected an MPS file");
  }

  void sense(std::string_view word) {
    const std::string sense = upper_case(word);
    if (sense != "MAX" && sense != "MAXIMIZE" && sense != "MAXIMISE" && sense != "MIN" &&
        sense != "MINIMIZE" && sense != "MINIMISE") {
      refuse("objective sense {}; give MIN or MAX", word);
    }
    p_.maximise = sense.starts_with("MAX");
  }

  double number(std::string_view text, std::string_view what, bool may_be_infinite = false) const {
    double value = 0.0;
    if (!text.empty()) {
      const char* const last = text.data() + text.size();
      if (parse_number(text.data(), last, value) == last) return value;
    }
    if (may_be_infinite) {
      std::string word = upper_case(text);
      const bool negative = word.starts_with('-');
      if (negative || word.starts_with('+')) word.erase(0, 1);
      if (word == "INF" || word == "INFINITY") return negative ? -infinity : infinity;
    }
    refuse("the {} '{}' is not a finite number; correct the file", what, text);
  }

  Row& row(std::string_view name) {
    const auto found = rows_.find(std::string(name));
    if (found == rows_.end()) refuse("row {} does not stand in section ROWS", name);
    return found->second;
  }

  std::int32_t column(std::string_view name) const {
    const auto found = columns_.find(std::string(name));
    if (found == columns_.end()) refuse("column {} does not stand in section COLUMNS", name);
    return found->second;
  }

  void read_row() {
    if (fields_ != 2) refuse("a row needs a type and a name, this line has {} fields", fields_);
    const std::string type = upper_case(field_[0]);
    if (type != "N" && type != "E" && type != "L" && type != "G") {
      refuse("row type {}; there are N, E, L and G", field_[0]);
    }
    Row row;
    row.type = type[0];
    row.line = scan_.number();
    if (row.type != 'N') {
      row.index = static_cast<std::int32_t>(p_.row_names.size());
    } else {
      row.index = seen_objective_ ? dropped : objective;
      if (!seen_objective_) p_.objective_name = field_[1];
      seen_objective_ = true;
    }
    const auto [at, fresh] = rows_.emplace(field_[1], row);
    if (!fresh)
      refuse("row {} stands twice, first in line {}; remove or rename one", field_[1],
             at->second.line);
    if (row.index < 0) return;
    p_.row_names.emplace_back(field_[1]);
    last_column_of_row_.push_back(-1);
  }

  void read_column() {
    for (std::size_t k = 0; k < fields_; ++k) {
      if (field_[k] == "'MARKER'") return;
    }
    if (fields_ != 3 && fields_ != 5) {
      refuse("a column line has a name and one or two pairs of row and value, not {} fields",
             fields_);
    }
    if (p_.column_names.empty() || p_.column_names.back() != field_[0]) {
      const auto next = static_cast<std::int32_t>(p_.column_names.size());
      if (!columns_.emplace(field_[0], next).second) {
        refuse("column {} stands twice; keep the lines of a column together", field_[0]);
      }
      p_.column_names.emplace_back(field_[0]);
      p_.cost.push_back(0.0);
      cost_given_ = false;
    }
    const auto j = static_cast<std::int32_t>(p_.column_names.size()) - 1;
    for (std::size_t k = 1; k + 1 < fields_; k += 2) {
      const Row& r = row(field_[k]);
      const double value = number(field_[k + 1], "coefficient");
      if (r.index == dropped) continue;
      bool& given = r.index == objective ? cost_given_ : scratch_;
      if (r.index >= 0) {
        auto& last = last_column_of_row_[static_cast<std::size_t>(r.index)];
        given = last == j;
        last = j;
      }
      if (given) refuse("column {} has two coefficients in row {}", field_[0], field_[k]);
      given = true;
      if (r.index == objective) {
        p_.cost.back() = value;
      } else if (value != 0.0) {
        p_.matrix.push_back({r.index, j, value});
      }
    }
  }

  void read_side() {
    const bool named = fields_ % 2 == 1;  // the name of the set may be missing
    if (fields_ < 2 || fields_ > 5) {
      refuse("a line of {} has one or two pairs of row and value, not {} fields", section_,
             fields_);
    }
    if (spacing_ == Spacing::fixed && !named) refuse("the fields do not stand in their columns");
    for (std::size_t k = named ? 1 : 0; k + 1 < fields_; k += 2) {
      Row& r = row(field_[k]);
      const double value = number(field_[k + 1], section_ == "RHS" ? "right-hand side" : "range");
      if (section_ == "RANGES") {
        r.range = value;
      } else if (r.index == objective) {
        p_.constant = -value;
      } else {
        r.rhs = value;
      }
    }
  }

  void size_bounds() {
    if (p_.lower.size() == p_.cost.size()) return;
    p_.lower.assign(p_.cost.size(), 0.0);
    p_.upper.assign(p_.cost.size(), infinity);
    lower_given_.assign(p_.cost.size(), false);
  }

  void read_bound() {
    size_bounds();
    if (fields_ < 2) refuse("a bound needs a type, a set and a column");
    const std::string type = upper_case(field_[0]);
    const bool valued = type == "UP" || type == "LO" || type == "FX" || type == "UI" ||
                        type == "LI" || type == "SC";
    if (type == "SC") refuse("semi-continuous columns (SC) make the program nonconvex");
    if (!valued && type != "FR" && type != "MI" && type != "PL" && type != "BV") {
      refuse("bound type {}; there are UP, LO, FX, FR, MI, PL, BV, UI and LI", field_[0]);
    }
    if (valued && fields_ < 3) refuse("a bound {} needs a column and a value", type);
    // The name of the set may be missing.
    const std::size_t at = valued ? fields_ - 2 : std::min<std::size_t>(fields_ - 1, 2);
    const auto j = static_cast<std::size_t>(column(field_[at]));
    double value = valued ? number(field_[at + 1], "bound", true) : 0.0;
    if (std::abs(value) >= practically_infinite) value = std::copysign(infinity, value);
    double& lower = p_.lower[j];
    double& upper = p_.upper[j];
    if (type == "LO" || type == "LI") {
      lower = value;
      lower_given_[j] = true;
    } else if (type == "UP" || type == "UI") {
      upper = value;
      if (value < 0.0 && !lower_given_[j]) lower = -infinity;
    } else if (type == "FX") {
      if (std::isinf(value)) refuse("column {} is fixed at an infinite value", field_[at]);
      lower = upper = value;
      lower_given_[j] = true;
    } else if (type == "FR") {
      lower = -infinity;
      upper = infinity;
    } else if (type == "MI") {
      lower = -infinity;
      lower_given_[j] = true;
    } else if (type == "PL") {
      upper = infinity;
    } else {
      lower = 0.0;
      upper = 1.0;
    }
  }

  void read_quadratic() {
    if (fields_ != 3) refuse("an entry of {} needs two columns and a value", section_);
    const auto i = column(field_[0]);
    const auto j = column(field_[1]);
    const double value = number(field_[2], "coefficient");
    if (value == 0.0) return;
    p_.quadratic.push_back({i, j, value});
    if (section_ == "QUADOBJ" && i != j) p_.quadratic.push_back({j, i, value});
  }

  void refuse_crossed(std::string_view kind, const std::string& name, double low,
                      double high) const {
    if (low <= high && low < infinity && high > -infinity) return;
    throw InputError(
        "{}: the program is infeasible: {} {} has the lower bound {} above the upper bound {}; "
        "correct its bounds",
        file_, kind, name, low, high);
  }

  void finish_rows() {
    const std::size_t m = p_.row_names.size();
    p_.row_lower.assign(m, -infinity);
    p_.row_upper.assign(m, infinity);
    for (std::size_t i = 0; i < m; ++i) {
      const Row& r = rows_.at(p_.row_names[i]);
      if (r.type != 'L') p_.row_lower[i] = r.rhs;
      if (r.type != 'G') p_.row_upper[i] = r.rhs;
      if (!r.range) continue;
      const double width = *r.range;
      if (r.type == 'G' || (r.type == 'E' && width >= 0.0)) {
        p_.row_upper[i] = r.rhs + std::abs(width);
      } else {
        p_.row_lower[i] = r.rhs - std::abs(width);
      }
    }
  }

  void finish_quadratic() {
    auto& q = p_.quadratic;
    std::sort(q.begin(), q.end(), [](const MpsEntry& a, const MpsEntry& b) {
      return a.row != b.row ? a.row < b.row : a.column < b.column;
    });
    for (std::size_t k = 1; k < q.size(); ++k) {
      if (q[k].row == q[k - 1].row && q[k].column == q[k - 1].column) {
        refuse("the quadratic coefficient of {} and {} stands twice",
               p_.column_names[static_cast<std::size_t>(q[k].row)],
               p_.column_names[static_cast<std::size_t>(q[k].column)]);
      }
    }
  }

  MpsProgram finish() {
    if (p_.column_names.empty()) refuse("the program has no columns; expected a section COLUMNS");
    size_bounds();
    finish_rows();
    finish_quadratic();
    for (std::size_t j = 0; j < p_.cost.size(); ++j) {
      refuse_crossed("column", p_.column_names[j], p_.lower[j], p_.upper[j]);
    }
    for (std::size_t i = 0; i < p_.row_lower.size(); ++i) {
      refuse_crossed("row", p_.row_names[i], p_.row_lower[i], p_.row_upper[i]);
    }
    if (p_.maximise) {
      p_.constant = -p_.constant;
      for (double& c : p_.cost) c = -c;
      for (auto& q : p_.quadratic) q.value = -q.value;
    }
    return std::move(p_);
  }

  std::string_view file_;
  LineScanner scan_;
  Spacing spacing_;
  MpsProgram p_;
  std::string section_;
  std::array<std::string_view, 8> field_;
  std::size_t fields_ = 0;
  std::unordered_map<std::string, Row> rows_;
  std::unordered_map<std::string, std::int32_t> columns_;
  std::vector<std::int32_t> last_column_of_row_;
  std::vector<bool> lower_given_;
  bool seen_objective_ = false;
  bool cost_given_ = false;
  bool scratch_ = false;
};

}  // namespace

MpsProgram parse_mps(std::string_view text, std::string_view file) {
  try {
    return Parser(text, file, Spacing::free).parse();
  } catch (const InputError&) {
    // Names with blanks need the fixed columns; where these do not fit either, the first message
    // is the better one.
    try {
      return Parser(text, file, Spacing::fixed).parse();
    } catch (const InputError&) {
    }
    throw;
  }
}

MpsProgram read_mps(const std::string& path) { return parse_mps(open_text(path), path); }

}  // namespace equipoise::formats
