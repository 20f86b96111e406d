#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/state/fields.hpp>

#include <map>
#include <string>
#include <vector>

namespace test {

/// Keeps the fields of a method in memory, as a checkpoint would on disk: `save` gathers them in
/// global order over the ranks of `comm`, `load` gives a rank of any other run its part. Collective
/// while saving.
class FieldMemory final : public equipoise::state::FieldVisitor {
 public:
  using Partition = equipoise::partition::Partition;
  explicit FieldMemory(const equipoise::parallel::Comm& comm) : comm_(comm) {}
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
  void partitioned(std::string_view n, const Partition& rows, int part, std::int64_t width,
                   std::vector<double>& v) override {
    rows_of(vectors_, n, rows, part, width, v);
  }
  void partitioned(std::string_view n, const Partition& rows, int part, std::int64_t width,
                   std::vector<std::int64_t>& v) override {
    rows_of(integer_vectors_, n, rows, part, width, v);
  }
  void ragged(std::string_view n, const Partition& items, int part,
              std::vector<std::vector<double>>& v) override {
    lists_of(lists_, n, items, part, v);
  }
  void ragged(std::string_view n, const Partition& items, int part,
              std::vector<std::vector<std::int64_t>>& v) override {
    lists_of(integer_lists_, n, items, part, v);
  }

  friend bool operator==(const FieldMemory& a, const FieldMemory& b) {
    return a.doubles_ == b.doubles_ && a.integers_ == b.integers_ && a.vectors_ == b.vectors_ &&
           a.integer_vectors_ == b.integer_vectors_ && a.lists_ == b.lists_ &&
           a.integer_lists_ == b.integer_lists_;
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
  /// The parts of all ranks, one after the other (eight-byte values).
  template <class Value>
  [[nodiscard]] std::vector<Value> gathered(const std::vector<Value>& mine) const {
    const int size = static_cast<int>(mine.size()) * 8;
    std::vector<int> sizes(static_cast<std::size_t>(comm_.size())), places(sizes.size());
    MPI_Allgather(&size, 1, MPI_INT, sizes.data(), 1, MPI_INT, comm_.handle());
    int sum = 0;
    for (std::size_t r = 0; r < sizes.size(); sum += sizes[r], ++r) places[r] = sum;
    std::vector<Value> all(static_cast<std::size_t>(sum) / 8);
    MPI_Allgatherv(mine.data(), size, MPI_BYTE, all.data(), sizes.data(), places.data(), MPI_BYTE,
                   comm_.handle());
    return all;
  }
  template <class Map, class Value>
  void rows_of(Map& map, std::string_view name, const Partition& rows, int part, std::int64_t width,
               std::vector<Value>& v) {
    if (reading_) {
      const auto& all = map.at(std::string(name));
      const auto range = rows.range(part);
      v.assign(all.begin() + range.begin * width, all.begin() + range.end * width);
    } else {
      map[std::string(name)] = gathered(v);
    }
  }
  template <class Map, class Value>
  void lists_of(Map& map, std::string_view name, const Partition& items, int part,
                std::vector<std::vector<Value>>& v) {
    if (reading_) {
      const auto& all = map.at(std::string(name));
      const auto range = items.range(part);
      v.assign(all.begin() + range.begin, all.begin() + range.end);
      return;
    }
    std::vector<std::int64_t> lengths;
    std::vector<Value> flat;
    for (const auto& list : v) {
      lengths.push_back(std::ssize(list));
      flat.insert(flat.end(), list.begin(), list.end());
    }
    flat = gathered(flat);
    auto& out = map[std::string(name)];
    out.clear();
    auto from = flat.begin();
    for (const auto length : gathered(lengths)) {
      out.emplace_back(from, from + length);
      from += length;
    }
  }

  equipoise::parallel::Comm comm_;
  bool reading_ = false;
  std::map<std::string, double> doubles_;
  std::map<std::string, std::int64_t> integers_;
  std::map<std::string, std::vector<double>> vectors_;
  std::map<std::string, std::vector<std::int64_t>> integer_vectors_;
  std::map<std::string, std::vector<std::vector<double>>> lists_;
  std::map<std::string, std::vector<std::vector<std::int64_t>>> integer_lists_;
};

}  // namespace test
