#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace equipoise::state {

/// The range a number may have; the ends are allowed unless `open_min`.
struct Limits {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool open_min = false;
};
inline constexpr Limits positive{0.0, std::numeric_limits<double>::infinity(), true};
inline constexpr Limits non_negative{0.0};
inline constexpr Limits at_least_one{1.0};
inline constexpr Limits probability{0.0, 1.0, true};

/// Visits the options of a plain struct: key, field (whose value is the default), help, range.
///
/// An options struct is an aggregate with a default per field and
///
///     void describe(OptionVisitor& visit) {
///       visit.option("tolerance", tolerance, "relative residual at which to stop", positive);
///       visit.choice("measure", measure, {"residual", "distance"}, "what the tolerance is compared
///       with");
///     }
///
/// TOML parsing, command-line overrides, `equipoise list`, error messages, the stored configuration
/// and the reference all come from this one description. NaN is never allowed; infinity where the
/// range allows it.
class OptionVisitor {
 public:
  virtual ~OptionVisitor() = default;
  virtual void option(std::string_view key, double& value, std::string_view help,
                      Limits limits = {}) = 0;
  virtual void option(std::string_view key, std::int64_t& value, std::string_view help,
                      Limits limits = {}) = 0;
  virtual void option(std::string_view key, bool& value, std::string_view help) = 0;
  virtual void option(std::string_view key, std::string& value, std::string_view help) = 0;
  virtual void option(std::string_view key, std::vector<double>& value, std::string_view help,
                      Limits limits = {}) = 0;
  virtual void option(std::string_view key, std::vector<std::string>& value,
                      std::string_view help) = 0;
  /// A string out of a fixed list; anything else is an error that names the nearest.
  virtual void choice(std::string_view key, std::string& value,
                      const std::vector<std::string>& choices, std::string_view help) = 0;
};

}  // namespace equipoise::state
