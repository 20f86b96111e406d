#pragma once

#include <equipoise/solve/instance.hpp>

namespace equipoise::solve {

/// What an Instance may add: measuring what the methods rely on (derivatives against differences,
/// symmetry), for `equipoise check`.
class Checked {
 public:
  virtual ~Checked() = default;
  /// Property and finding, which begins with "FAILED" where the property does not hold.
  /// **Collective.**
  virtual Facts check() = 0;
};

}  // namespace equipoise::solve
