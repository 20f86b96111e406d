#pragma once

#include <equipoise/state/options.hpp>

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace equipoise::state {

/// A run's configuration: dotted keys ("method.step") with their texts, from a TOML file and
/// overrides.
///
/// Values are texts until an options struct reads them through its `describe`; reading checks type
/// and range and records the value that was used, defaults included, so that `toml()` afterwards is
/// the complete configuration. `reject_unused()` then makes every key that nobody read an error
/// naming the nearest key.
class Config {
 public:
  /// Parses a TOML file. Throws InputError (missing file) or ConfigurationError (file:line:column).
  static Config load(const std::string& path);
  /// Parses TOML text; `origin` names it in messages.
  static Config parse(std::string_view text, std::string_view origin);
  /// One override "key=value"; the value is TOML, or a plain string where it does not parse as
  /// TOML. The last wins.
  void assign(std::string_view assignment);
  void set(std::string_view key, std::string_view value);

  /// Takes over every key that `other` sets; it wins.
  void merge(const Config& other);
  /// Forgets every key below `prefix` + ".".
  void drop(std::string_view prefix);
  /// All keys with plain texts (strings without quotes), sorted, defaults that were read included.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> values() const;

  [[nodiscard]] bool has(std::string_view key) const;
  /// The text of a key, or `fallback`. Marks the key as read and records it.
  std::string text(std::string_view key, std::string_view fallback = "");
  /// Reads every option that `describe` visits, as prefix + "." + key.
  void read(std::string_view prefix, const std::function<void(OptionVisitor&)>& describe);
  template <class Options>
  void read(std::string_view prefix, Options& options) {
    read(prefix, [&](OptionVisitor& visit) { options.describe(visit); });
  }
  /// Texts of all keys below `prefix` + ".", prefix removed, marked as read (petsc.*).
  std::vector<std::pair<std::string, std::string>> take(std::string_view prefix);
  /// Throws ConfigurationError for keys that were set and never read: "unknown key `methd.name`,
  /// did you mean ...".
  void reject_unused() const;
  /// The complete configuration as TOML, sorted by key: what was set, and the defaults that were
  /// read.
  [[nodiscard]] std::string toml() const;

 private:
  struct Entry {
    std::string text;    ///< a TOML value
    std::string origin;  ///< "case.toml:3:1", "command line", "default"
    bool given = false;
    bool used = false;
  };
  class Reader;
  [[nodiscard]] const Entry* given(std::string_view key) const;
  void store(std::string_view key, std::string_view value, std::string_view origin);
  void put(std::string_view key, std::string text, std::string origin);
  void refuse_overlap(std::string_view key, std::string_view origin) const;
  void record(const std::string& key, std::string text);
  std::map<std::string, Entry, std::less<>> entries_;
};

/// One line of `equipoise list`: what a description says about an option.
struct OptionInfo {
  std::string key, type, fallback, help, range;
};
/// All options of a description.
std::vector<OptionInfo> list_options(const std::function<void(OptionVisitor&)>& describe);

/// The entry of `names` nearest to `name` by edit distance, or "" if none is close.
std::string nearest(std::string_view name, std::span<const std::string> names);

}  // namespace equipoise::state
