#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/state/fields.hpp>

#include <map>
#include <string>
#include <vector>

namespace test {

/// Keeps the fields of a method in memory, as a checkpoint would on disk: `save` then `load`.
class FieldMemory final : public equipoise::state::FieldVisitor {
 public:
  using Partition = equipoise::partition::Partition;
  explicit FieldMemory(const equipoise::parallel::Comm&) {}
  FieldMemory& save() {
    reading_ = false;
    return *this;
  }
  FieldMemory& load() {
    reading_ = true;
    return *this;
  }
  void scalar(std::string_view n, double& v) override { move(doubles_, n, v); }
  void scalar(std::string_view n, std::int64_t& v) override { move(integers_, n, v); }
  void replicated(std::string_view n, std::vector<double>& v) override { move(vectors_, n, v); }
  void replicated(std::string_view n, std::vector<std::int64_t>& v) override {
    move(integer_vectors_, n, v);
  }
  void partitioned(std::string_view n, const Partition&, int, std::int64_t,
                   std::vector<double>& v) override {
    move(vectors_, n, v);
  }
  void partitioned(std::string_view n, const Partition&, int, std::int64_t,
                   std::vector<std::int64_t>& v) override {
    move(integer_vectors_, n, v);
  }
  void ragged(std::string_view n, const Partition&, int,
              std::vector<std::vector<double>>& v) override {
    move(lists_, n, v);
  }
  void ragged(std::string_view n, const Partition&, int,
              std::vector<std::vector<std::int64_t>>& v) override {
    move(integer_lists_, n, v);
  }

 public:
  friend bool operator==(const FieldMemory& a, const FieldMemory& b) {
    return a.doubles_ == b.doubles_ && a.integers_ == b.integers_ && a.vectors_ == b.vectors_ &&
           a.integer_vectors_ == b.integer_vectors_ && a.lists_ == b.lists_;
  }

 private:
  template <class Map, class Value>
  void move(Map& map, std::string_view name, Value& value) {
    if (reading_) {
      value = map.at(std::string(name));
    } else {
      map[std::string(name)] = value;
    }
  }
  bool reading_ = false;
  std::map<std::string, double> doubles_;
  std::map<std::string, std::int64_t> integers_;
  std::map<std::string, std::vector<double>> vectors_;
  std::map<std::string, std::vector<std::int64_t>> integer_vectors_;
  std::map<std::string, std::vector<std::vector<double>>> lists_;
  std::map<std::string, std::vector<std::vector<std::int64_t>>> integer_lists_;
};

}  // namespace test
