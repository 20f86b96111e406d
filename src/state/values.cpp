#include "values.hpp"

#include <fmt/format.h>

#include <cmath>

namespace equipoise::state {
namespace {

template <class T>
std::string format_list(const std::vector<T>& values) {
  std::string text = "[";
  for (const auto& value : values) {
    if (text.size() > 1) text += ", ";
    text += format_value(value);
  }
  return text + "]";
}

}  // namespace

std::string format_value(double value) {
  std::string text = fmt::format("{}", value);
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string format_value(std::int64_t value) { return fmt::format("{}", value); }

std::string format_value(bool value) { return value ? "true" : "false"; }

std::string format_value(const std::string& value) {
  std::string text = "\"";
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (c == '\n') {
      text += "\\n";
    } else if (c == '\t') {
      text += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      text += fmt::format("\\u{:04X}", byte);
    } else {
      text += c;
    }
  }
  return text + "\"";
}

std::string format_value(const std::vector<double>& values) { return format_list(values); }

std::string format_value(const std::vector<std::string>& values) { return format_list(values); }

std::string describe_limits(const Limits& limits) {
  const bool below = std::isfinite(limits.min);
  const bool above = std::isfinite(limits.max);
  if (below && above) {
    return fmt::format("in {}{}, {}]", limits.open_min ? '(' : '[', limits.min, limits.max);
  }
  if (below) return fmt::format("{} {}", limits.open_min ? ">" : ">=", limits.min);
  if (above) return fmt::format("<= {}", limits.max);
  return "";
}

std::string describe_choices(const std::vector<std::string>& choices) {
  std::string text;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) text += i + 1 == choices.size() ? " or " : ", ";
    text += choices[i];
  }
  return text;
}

}  // namespace equipoise::state
