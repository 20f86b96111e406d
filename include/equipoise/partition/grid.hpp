#pragma once

#include <equipoise/partition/partition.hpp>

#include <cstdint>

namespace equipoise::partition {

/// A grid of n0 x n1 (x n2) points, numbered with the last index fastest, cut into slabs of the
/// first index: a chunk is one value of the first index (a row, or a plane in three dimensions) and
/// is never cut; ranks get consecutive chunks, as many each as possible. A 5 x 3 grid over two
/// ranks:
///
///      0  1  2    chunk 0 |
///      3  4  5    chunk 1 | rank 0
///      6  7  8    chunk 2 |
///      9 10 11    chunk 3 . rank 1
///     12 13 14    chunk 4 .
///
/// Throws a ConfigurationError unless n0, n1, n2 and ranks are positive.
[[nodiscard]] Layout grid(std::int64_t n0, std::int64_t n1, int ranks);
[[nodiscard]] Layout grid(std::int64_t n0, std::int64_t n1, std::int64_t n2, int ranks);

}  // namespace equipoise::partition
