#pragma once

#include <equipoise/partition/partition.hpp>

#include <cstdint>
#include <string_view>
#include <vector>

namespace equipoise::state {

/// Visits every piece of an object's state once, by name. Checkpoints, resume, state tests,
/// `/solution` of run files and `inspect` all go through this one interface.
///
/// A type with state has a member `void fields(FieldVisitor& visit)` that calls these in a fixed
/// order on every rank. Names are unique within the object and may hold '/' to group. A visitor
/// that reads may resize the vectors.
class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;

  /// A number, equal on every rank.
  virtual void scalar(std::string_view name, double& value) = 0;
  virtual void scalar(std::string_view name, std::int64_t& value) = 0;
  /// An array, equal on every rank, of any length.
  virtual void replicated(std::string_view name, std::vector<double>& data) = 0;
  virtual void replicated(std::string_view name, std::vector<std::int64_t>& data) = 0;
  /// Rows in global order: this rank holds the rows `rows.range(part)`, `width` values each, row by
  /// row. By agent: rows = agents over ranks. By coordinate: rows = layout.coordinates(), width 1.
  virtual void partitioned(std::string_view name, const partition::Partition& rows, int part,
                           std::int64_t width, std::vector<double>& data) = 0;
  virtual void partitioned(std::string_view name, const partition::Partition& rows, int part,
                           std::int64_t width, std::vector<std::int64_t>& data) = 0;
  /// One list of any length per item; this rank holds the items `items.range(part)`.
  virtual void ragged(std::string_view name, const partition::Partition& items, int part,
                      std::vector<std::vector<double>>& lists) = 0;
  virtual void ragged(std::string_view name, const partition::Partition& items, int part,
                      std::vector<std::vector<std::int64_t>>& lists) = 0;
};

/// Anything with state.
class Stateful {
 public:
  virtual ~Stateful() = default;
  virtual void fields(FieldVisitor& visit) = 0;
};

}  // namespace equipoise::state
