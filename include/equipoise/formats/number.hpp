#pragma once

#include <cstdint>

namespace equipoise::formats {

/// Reads a decimal number at `first`, an optional leading '+' included, and returns the position
/// behind it, or nullptr where there is none or it is not finite ("nan", "inf", out of range).
/// Correctly rounded, no locale; short numbers take one multiplication or division (Clinger 1990),
/// others std::from_chars.
[[nodiscard]] const char* parse_number(const char* first, const char* last, double& value);

/// Reads an integer with an optional sign. nullptr where there is none or it leaves 64 bits.
[[nodiscard]] const char* parse_integer(const char* first, const char* last, std::int64_t& value);

}  // namespace equipoise::formats
