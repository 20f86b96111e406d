#pragma once

#include <equipoise/solve/method.hpp>
#include <equipoise/state/field_map.hpp>
#include <equipoise/state/fields.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace equipoise::problems {

/// Copies the fields of one method into another of the same layout.
class CopyFields : public state::FieldVisitor {
 public:
  explicit CopyFields(const state::FieldMap& from) : from_(from) {}
  void scalar(std::string_view name, double& value) override { value = from_.number(name); }
  void scalar(std::string_view name, std::int64_t& value) override {
    value = from_.integers(name)[0];
  }
  void replicated(std::string_view name, std::vector<double>& data) override { take(name, data); }
  void replicated(std::string_view name, std::vector<std::int64_t>& data) override {
    take(name, data);
  }
  void partitioned(std::string_view name, const partition::Partition&, int, std::int64_t,
                   std::vector<double>& data) override {
    take(name, data);
  }
  void partitioned(std::string_view name, const partition::Partition&, int, std::int64_t,
                   std::vector<std::int64_t>& data) override {
    take(name, data);
  }
  void ragged(std::string_view, const partition::Partition&, int,
              std::vector<std::vector<double>>&) override {}
  void ragged(std::string_view, const partition::Partition&, int,
              std::vector<std::vector<std::int64_t>>&) override {}

 private:
  void take(std::string_view name, std::vector<double>& data) {
    const auto values = from_.doubles(name);
    data.assign(values.begin(), values.end());
  }
  void take(std::string_view name, std::vector<std::int64_t>& data) {
    const auto values = from_.integers(name);
    data.assign(values.begin(), values.end());
  }
  const state::FieldMap& from_;
};

/// `second` gets the fields of `through`; after `steps` more of both all fields must be equal.
inline void expect_same_continuation(solve::Method& through, solve::Method& second, int steps) {
  state::FieldMap half;
  through.fields(half);
  CopyFields copy(half);
  second.fields(copy);
  for (int k = 0; k < steps; ++k) {
    through.step();
    second.step();
  }
  state::FieldMap a, b;
  through.fields(a);
  second.fields(b);
  for (const auto& [name, field] : a.fields()) {
    EXPECT_EQ(field.doubles, b.at(name).doubles) << name;
    EXPECT_EQ(field.integers, b.at(name).integers) << name;
  }
}

}  // namespace equipoise::problems
