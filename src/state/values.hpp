#pragma once

#include <equipoise/state/options.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace equipoise::state {

/// A value as TOML text: numbers shortest to round trip, a double always with point or exponent.
std::string format_value(double value);
std::string format_value(std::int64_t value);
std::string format_value(bool value);
std::string format_value(const std::string& value);
std::string format_value(const std::vector<double>& values);
std::string format_value(const std::vector<std::string>& values);

/// "> 0", ">= 1", "in (0, 1]", or "" where every number is allowed.
std::string describe_limits(const Limits& limits);
/// "a, b or c".
std::string describe_choices(const std::vector<std::string>& choices);

}  // namespace equipoise::state
