#pragma once

#include <equipoise/state/fields.hpp>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace equipoise::state {

/// Copies of the local data of an object's fields, by name: for certificates and exports that know
/// a solution by its names alone. Visit with `object.fields(map)`. Without communication; memory as
/// the fields.
class FieldMap : public FieldVisitor {
 public:
  /// One field. Ragged fields hold their values one list after the other, with `offsets` [lists +
  /// 1].
  struct Field {
    bool integer = false;
    bool partitioned = false;
    partition::Range rows;   ///< global rows that lie here
    std::int64_t total = 1;  ///< global number of rows
    std::int64_t width = 1;
    std::vector<double> doubles;         ///< [rows, width], where not `integer`
    std::vector<std::int64_t> integers;  ///< [rows, width], where `integer`
    std::vector<std::int64_t> offsets;   ///< of ragged fields alone
  };

  [[nodiscard]] bool has(std::string_view name) const {
    return fields_.find(name) != fields_.end();
  }
  /// Throws InputError naming the fields there are, where `name` is none.
  [[nodiscard]] const Field& at(std::string_view name) const;
  /// The local doubles or integers of a field; throws InputError for a missing name or another
  /// type.
  [[nodiscard]] std::span<const double> doubles(std::string_view name) const;
  [[nodiscard]] std::span<const std::int64_t> integers(std::string_view name) const;
  /// The single value of a field (an integer becomes a double); throws InputError for an array.
  [[nodiscard]] double number(std::string_view name) const;
  [[nodiscard]] const std::map<std::string, Field, std::less<>>& fields() const { return fields_; }

  void scalar(std::string_view name, double& value) override;
  void scalar(std::string_view name, std::int64_t& value) override;
  void replicated(std::string_view name, std::vector<double>& data) override;
  void replicated(std::string_view name, std::vector<std::int64_t>& data) override;
  void partitioned(std::string_view name, const partition::Partition& rows, int part,
                   std::int64_t width, std::vector<double>& data) override;
  void partitioned(std::string_view name, const partition::Partition& rows, int part,
                   std::int64_t width, std::vector<std::int64_t>& data) override;
  void ragged(std::string_view name, const partition::Partition& items, int part,
              std::vector<std::vector<double>>& lists) override;
  void ragged(std::string_view name, const partition::Partition& items, int part,
              std::vector<std::vector<std::int64_t>>& lists) override;

 private:
  std::map<std::string, Field, std::less<>> fields_;
};

/// Moves the vectors of `from`'s fields into the fields of `to` of the same names, and copies the
/// scalars; `from` is left with empty vectors. Throws InputError for a field of `to` that `from`
/// lacks. Without communication or copies.
void move_fields(Stateful& from, Stateful& to);

}  // namespace equipoise::state
