#include "values.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/state/config.hpp>

#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace equipoise::state {
namespace {

constexpr std::string_view blanks = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::string place(std::string_view origin, const toml::source_region& where) {
  return fmt::format("{}:{}:{}", origin, where.begin.line, where.begin.column);
}

/// The text of a value, or "" for what a configuration cannot hold (dates, tables inside arrays).
std::string to_toml(const toml::node& node) {
  if (const auto* text = node.as_string()) return format_value(text->get());
  if (const auto* number = node.as_integer()) return format_value(number->get());
  if (const auto* number = node.as_floating_point()) return format_value(number->get());
  if (const auto* flag = node.as_boolean()) return format_value(flag->get());
  const auto* array = node.as_array();
  if (array == nullptr) return "";
  std::string text = "[";
  for (const auto& item : *array) {
    const std::string part = to_toml(item);
    if (part.empty()) return "";
    if (text.size() > 1) text += ", ";
    text += part;
  }
  return text + "]";
}

/// What a string option sees of a value: strings without quotes, anything else as written in TOML.
std::string plain(const toml::node& node) {
  const auto* text = node.as_string();
  return text != nullptr ? text->get() : to_toml(node);
}

/// One value out of TOML text; an empty table where it is none (or more than one, or holds a
/// comment).
toml::table parse_value(std::string_view text) {
  text = trimmed(text);
  if (text.empty() || text.back() == ',') return {};
  try {
    // Within brackets a comment swallows the closing one, and a second key is an error.
    toml::table table = toml::parse(fmt::format("v = [{}]", text));
    auto* array = table["v"].as_array();
    if (table.size() != 1 || array == nullptr || array->size() != 1) return {};
    return table;
  } catch (const toml::parse_error&) {
    return {};
  }
}

/// `.9`, `1.` and `-.5e3`, which TOML does not take for numbers, as TOML text; empty for others.
std::string number_of_a_shell(std::string_view text) {
  text = trimmed(text);
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && text.find('.') != text.npos && std::isfinite(value) ? format_value(value) : "";
}

const toml::node& value_of(const toml::table& parsed) { return *parsed["v"].as_array()->get(0); }

std::vector<std::string_view> split(std::string_view key) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto dot = key.find('.');
    parts.push_back(key.substr(0, dot));
    if (dot == std::string_view::npos) return parts;
    key.remove_prefix(dot + 1);
  }
}

std::string quoted_key(std::string_view key) {
  std::string text;
  for (const auto part : split(key)) {
    const bool bare = std::all_of(part.begin(), part.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '_' || c == '-';
    });
    if (!text.empty()) text += '.';
    text += bare ? std::string(part) : format_value(std::string(part));
  }
  return text;
}

std::string_view last_part(std::string_view key) {
  const auto dot = key.rfind('.');
  return dot == std::string_view::npos ? key : key.substr(dot + 1);
}

/// Calls `store(key, text, where)` for every value below `table`.
template <class Store>
void flatten(const toml::table& table, const std::string& prefix, std::string_view origin,
             const Store& store) {
  for (const auto& [name, node] : table) {
    const std::string key =
        prefix.empty() ? std::string(name.str()) : fmt::format("{}.{}", prefix, name.str());
    const std::string where = place(origin, node.source());
    if (const auto* inner = node.as_table()) {
      flatten(*inner, key, origin, store);
      continue;
    }
    std::string text = to_toml(node);
    if (text.empty()) {
      throw ConfigurationError(
          "{}: `{}` is a date or a list of tables, which no option takes; "
          "write a number, a boolean, a \"text\" or a list of these",
          where, key);
    }
    store(key, std::move(text), where);
  }
}

}  // namespace

/// Fills the fields of an options struct from the entries and records what was used.
class Config::Reader : public OptionVisitor {
 public:
  Reader(Config& config, std::string_view prefix) : config_(config), prefix_(prefix) {}

  void option(std::string_view key, double& value, std::string_view, Limits limits) override {
    read(key, value, describe_limits(limits),
         [&](const toml::node& node) { return number(node, value) && inside(value, limits); });
  }
  void option(std::string_view key, std::int64_t& value, std::string_view, Limits limits) override {
    const std::string range = describe_limits(limits);
    read(key, value, range.empty() ? "an integer" : "an integer " + range,
         [&](const toml::node& node) {
           return integer(node, value) && inside(static_cast<double>(value), limits);
         });
  }
  void option(std::string_view key, bool& value, std::string_view) override {
    read(key, value, "true or false", [&](const toml::node& node) {
      const auto* flag = node.as_boolean();
      if (flag != nullptr) value = flag->get();
      return flag != nullptr;
    });
  }
  void option(std::string_view key, std::string& value, std::string_view) override {
    read(key, value, "a text", [&](const toml::node& node) {
      value = plain(node);
      return !node.is_array();
    });
  }
  void option(std::string_view key, std::vector<double>& value, std::string_view,
              Limits limits) override {
    const std::string range = describe_limits(limits);
    read(key, value, range.empty() ? "a list of numbers" : "a list of numbers, each " + range,
         [&](const toml::node& node) {
           return list(node, value, [&](const toml::node& item, double& out) {
             return number(item, out) && inside(out, limits);
           });
         });
  }
  void option(std::string_view key, std::vector<std::string>& value, std::string_view) override {
    read(key, value, "a list of texts", [&](const toml::node& node) {
      return list(node, value, [](const toml::node& item, std::string& out) {
        out = plain(item);
        return !item.is_array();
      });
    });
  }
  void choice(std::string_view key, std::string& value, const std::vector<std::string>& choices,
              std::string_view) override {
    std::string allowed = describe_choices(choices);
    if (const Entry* entry = config_.given(full(key))) {
      const std::string near = nearest(plain(value_of(parse_value(entry->text))), choices);
      if (!near.empty()) allowed += fmt::format("; did you mean `{}`?", near);
    }
    read(key, value, allowed, [&](const toml::node& node) {
      value = plain(node);
      return std::find(choices.begin(), choices.end(), value) != choices.end();
    });
  }

 private:
  [[nodiscard]] std::string full(std::string_view key) const {
    return prefix_.empty() ? std::string(key) : fmt::format("{}.{}", prefix_, key);
  }

  template <class T, class Accept>
  void read(std::string_view key, T& value, const std::string& allowed, const Accept& accept) {
    const std::string name = full(key);
    const Entry* entry = config_.given(name);
    const T fallback = value;
    if (entry != nullptr) {
      const toml::table parsed = parse_value(entry->text);
      if (!accept(value_of(parsed))) {
        throw ConfigurationError(
            "{}: {} = {} is not allowed; allowed: {}; without it the default is {}", entry->origin,
            name, entry->text, allowed.empty() ? "a number" : allowed, format_value(fallback));
      }
    }
    config_.record(name, format_value(value));
  }

  static bool number(const toml::node& node, double& value) {
    if (const auto* real = node.as_floating_point()) {
      value = real->get();
    } else if (const auto* whole = node.as_integer()) {
      value = static_cast<double>(whole->get());
    } else {
      return false;
    }
    return !std::isnan(value);
  }

  static bool integer(const toml::node& node, std::int64_t& value) {
    if (const auto* whole = node.as_integer()) {
      value = whole->get();
      return true;
    }
    const auto* real = node.as_floating_point();
    if (real == nullptr || !(std::abs(real->get()) < 9.2e18)) return false;
    value = static_cast<std::int64_t>(real->get());
    return static_cast<double>(value) == real->get();
  }

  static bool inside(double value, const Limits& limits) {
    return value <= limits.max && (limits.open_min ? value > limits.min : value >= limits.min);
  }

  /// A list, or one value for a list of one.
  template <class T, class Accept>
  static bool list(const toml::node& node, std::vector<T>& values, const Accept& accept) {
    values.clear();
    const auto* array = node.as_array();
    if (array == nullptr) {
      values.emplace_back();
      return accept(node, values.back());
    }
    return std::all_of(array->begin(), array->end(), [&](const toml::node& item) {
      values.emplace_back();
      return accept(item, values.back());
    });
  }

  Config& config_;
  std::string prefix_;
};

Config Config::load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  if (file && !std::filesystem::is_directory(path)) {
    text.assign(std::istreambuf_iterator<char>(file), {});
  } else {
    throw InputError("{}: the configuration file cannot be read; check the path", path);
  }
  return parse(text, path);
}

Config Config::parse(std::string_view text, std::string_view origin) {
  Config config;
  try {
    flatten(toml::parse(text), "", origin,
            [&](const std::string& key, std::string value, const std::string& where) {
              config.put(key, std::move(value), where);
            });
  } catch (const toml::parse_error& error) {
    throw ConfigurationError("{}: {}", place(origin, error.source()), error.description());
  }
  return config;
}

void Config::assign(std::string_view assignment) {
  const auto equals = assignment.find('=');
  const auto key = trimmed(assignment.substr(0, equals));
  if (equals == std::string_view::npos || key.empty()) {
    throw ConfigurationError(
        "command line: `{}` is no assignment; write key=value, for example "
        "stop.tolerance=1e-6",
        assignment);
  }
  store(key, assignment.substr(equals + 1), "command line");
}

void Config::set(std::string_view key, std::string_view value) {
  store(trimmed(key), value, "set by the program");
}

void Config::store(std::string_view key, std::string_view value, std::string_view origin) {
  const toml::table parsed = parse_value(value);
  std::string text;
  if (!parsed.empty()) {
    if (const auto* inner = value_of(parsed).as_table()) {
      flatten(*inner, std::string(key), origin,
              [&](const std::string& name, std::string item, const std::string&) {
                put(name, std::move(item), std::string(origin));
              });
      return;
    }
    text = to_toml(value_of(parsed));
  }
  if (text.empty()) text = number_of_a_shell(value);
  if (text.empty()) text = format_value(std::string(value));
  put(key, std::move(text), std::string(origin));
}

void Config::put(std::string_view key, std::string text, std::string origin) {
  for (const auto part : split(key)) {
    if (part.empty() || part.find_first_of(blanks) == 0 || trimmed(part) != part) {
      throw ConfigurationError(
          "{}: the key `{}` has an empty part; write names joined by single "
          "dots, for example method.step",
          origin, key);
    }
  }
  if (parse_value(text).empty() || parse_value(format_value(std::string(key))).empty()) {
    throw ConfigurationError("{}: `{}` is not valid UTF-8 text; use UTF-8", origin, key);
  }
  refuse_overlap(key, origin);
  Entry& entry = entries_[std::string(key)];
  entry = {std::move(text), std::move(origin), true, entry.used};
}

/// `a` and `a.b` cannot both have values: TOML could not store them.
void Config::refuse_overlap(std::string_view key, std::string_view origin) const {
  const auto refuse = [&](std::string_view other) {
    throw ConfigurationError("{}: `{}` cannot be set together with `{}`; remove one of the two",
                             origin, key, other);
  };
  for (auto dot = key.find('.'); dot != std::string_view::npos; dot = key.find('.', dot + 1)) {
    const auto parent = entries_.find(key.substr(0, dot));
    if (parent != entries_.end()) refuse(parent->first);
  }
  const std::string below = std::string(key) + '.';
  const auto child = entries_.lower_bound(below);
  if (child != entries_.end() && child->first.starts_with(below)) refuse(child->first);
}

const Config::Entry* Config::given(std::string_view key) const {
  const auto found = entries_.find(key);
  return found != entries_.end() && found->second.given ? &found->second : nullptr;
}

void Config::record(const std::string& key, std::string text) {
  Entry& entry = entries_[key];
  entry.text = std::move(text);
  entry.used = true;
  if (!entry.given) entry.origin = "default";
}

void Config::merge(const Config& other) {
  for (const auto& [key, entry] : other.entries_) {
    if (entry.given) put(key, entry.text, entry.origin);
  }
}

void Config::drop(std::string_view prefix) {
  const std::string below = std::string(prefix) + '.';
  std::erase_if(entries_, [&](const auto& item) { return item.first.starts_with(below); });
}

std::vector<std::pair<std::string, std::string>> Config::values() const {
  std::vector<std::pair<std::string, std::string>> all;
  for (const auto& [key, entry] : entries_)
    all.emplace_back(key, plain(value_of(parse_value(entry.text))));
  return all;
}

bool Config::has(std::string_view key) const { return given(key) != nullptr; }

std::string Config::text(std::string_view key, std::string_view fallback) {
  const Entry* entry = given(key);
  std::string value =
      entry == nullptr ? std::string(fallback) : plain(value_of(parse_value(entry->text)));
  record(std::string(key), entry == nullptr ? format_value(value) : entry->text);
  return value;
}

void Config::read(std::string_view prefix, const std::function<void(OptionVisitor&)>& describe) {
  Reader reader(*this, prefix);
  describe(reader);
}

std::vector<std::pair<std::string, std::string>> Config::take(std::string_view prefix) {
  const std::string below = std::string(prefix) + '.';
  std::vector<std::pair<std::string, std::string>> taken;
  for (auto it = entries_.lower_bound(below); it != entries_.end() && it->first.starts_with(below);
       ++it) {
    it->second.used = true;
    taken.emplace_back(it->first.substr(below.size()),
                       plain(value_of(parse_value(it->second.text))));
  }
  return taken;
}

void Config::reject_unused() const {
  std::vector<std::string> known;
  for (const auto& [key, entry] : entries_) {
    if (entry.used) known.push_back(key);
  }
  std::string message;
  for (const auto& [key, entry] : entries_) {
    if (entry.used) continue;
    std::string near = nearest(key, known);
    for (const auto& name : known) {
      if (near.empty() && last_part(name) == last_part(key)) near = name;
    }
    if (!message.empty()) message += '\n';
    message += fmt::format("{}: unknown key `{}`", entry.origin, key);
    message += near.empty() ? "; `equipoise list NAME` shows the keys of a problem or method"
                            : fmt::format(", did you mean `{}`?", near);
  }
  if (!message.empty()) throw ConfigurationError("{}", message);
}

std::string Config::toml() const {
  std::string text;
  for (const auto& [key, entry] : entries_) {
    text += fmt::format("{} = {}\n", quoted_key(key), entry.text);
  }
  return text;
}

}  // namespace equipoise::state
