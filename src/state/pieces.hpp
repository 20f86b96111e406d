#pragma once

#include "hdf5.hpp"

#include <equipoise/state/fields.hpp>

#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace equipoise::state {

/// Rows of one dataset that this rank holds.
struct Piece {
  std::string name;
  hdf5::Shape shape;
  bool partitioned = false;
  partition::Range rows;  ///< all of them where the dataset is not partitioned
  const void* data = nullptr;
};

/// Order-independent checksum of numbers and their places: the sum, modulo 2^64, over the flat
/// index i of mix(bits_i + (i + 1) * 0x9e3779b97f4a7c15), where mix is the finaliser of SplitMix64
/// (Steele, Lea and Flood, 2014), a bijection: one changed number always changes the sum. Equal for
/// any partition.
inline std::uint64_t checksum(std::int64_t first, std::int64_t count, const void* data) {
  std::uint64_t sum = 0;
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint64_t x = 0;
    std::memcpy(&x, bytes + 8 * i, 8);
    x += static_cast<std::uint64_t>(first + i + 1) * 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
    sum += x ^ (x >> 31U);
  }
  return sum;
}

inline std::uint64_t checksum(const Piece& piece) {
  const std::int64_t width = piece.shape.width();
  return checksum(piece.rows.begin * width, piece.rows.size() * width, piece.data);
}

/// Where the values of a ragged field lie: how many are here, before this rank, and in all.
struct RaggedPlace {
  std::int64_t here = 0;
  std::int64_t before = 0;
  std::int64_t total = 0;
};

/// Turns every field into pieces of datasets: a ragged field "x" into "x/offsets" [items + 1] and
/// "x/data". Without communication. A first visit counts the ragged values; `places` of that visit,
/// completed over the ranks, go into the next ones.
class PieceVisitor : public FieldVisitor {
 public:
  PieceVisitor(const parallel::Comm& comm, std::vector<RaggedPlace> places)
      : size_(comm.size()), rank_(comm.rank()), places_(std::move(places)) {}
  [[nodiscard]] const std::vector<RaggedPlace>& places() const { return places_; }

  void scalar(std::string_view name, double& value) override {
    piece({std::string(name), {false, {}}, false, {0, 1}, &value});
  }
  void scalar(std::string_view name, std::int64_t& value) override {
    piece({std::string(name), {true, {}}, false, {0, 1}, &value});
  }
  void replicated(std::string_view name, std::vector<double>& data) override { list(name, data); }
  void replicated(std::string_view name, std::vector<std::int64_t>& data) override {
    list(name, data);
  }
  void partitioned(std::string_view name, const partition::Partition& rows, int part,
                   std::int64_t width, std::vector<double>& data) override {
    rectangle(name, rows, part, width, data);
  }
  void partitioned(std::string_view name, const partition::Partition& rows, int part,
                   std::int64_t width, std::vector<std::int64_t>& data) override {
    rectangle(name, rows, part, width, data);
  }
  void ragged(std::string_view name, const partition::Partition& items, int part,
              std::vector<std::vector<double>>& lists) override {
    flatten(name, items, part, lists);
  }
  void ragged(std::string_view name, const partition::Partition& items, int part,
              std::vector<std::vector<std::int64_t>>& lists) override {
    flatten(name, items, part, lists);
  }

 protected:
  virtual void piece(const Piece& piece) = 0;

 private:
  void check(std::string_view name, const partition::Partition& rows, int part) const {
    if (rows.parts() != size_ || part != rank_) {
      throw Error(Exit::defect, fmt::format("field `{}`: part {} of {} was named by rank {} of {}",
                                            name, part, rows.parts(), rank_, size_));
    }
  }
  static void check_size(std::string_view name, std::size_t actual, std::int64_t expected) {
    if (static_cast<std::int64_t>(actual) != expected) {
      throw Error(Exit::defect,
                  fmt::format("field `{}` holds {} entries where its partition gives {}", name,
                              actual, expected));
    }
  }
  template <class T>
  void list(std::string_view name, const std::vector<T>& data) {
    const auto length = static_cast<std::int64_t>(data.size());
    piece({std::string(name), {std::is_integral_v<T>, {length}}, false, {0, length}, data.data()});
  }
  template <class T>
  void rectangle(std::string_view name, const partition::Partition& rows, int part,
                 std::int64_t width, const std::vector<T>& data) {
    check(name, rows, part);
    check_size(name, data.size(), rows.range(part).size() * width);
    hdf5::Shape shape{std::is_integral_v<T>, {rows.size()}};
    if (width != 1) shape.extents.push_back(width);
    piece({std::string(name), std::move(shape), true, rows.range(part), data.data()});
  }
  template <class T>
  void flatten(std::string_view name, const partition::Partition& items, int part,
               const std::vector<std::vector<T>>& lists) {
    check(name, items, part);
    const auto range = items.range(part);
    check_size(name, lists.size(), range.size());
    if (next_ == places_.size()) {
      places_.emplace_back();
      for (const auto& one : lists) places_.back().here += static_cast<std::int64_t>(one.size());
    }
    const RaggedPlace place = places_[next_++];
    std::vector<std::int64_t> offsets;
    std::vector<T> data;
    for (const auto& one : lists) {
      offsets.push_back(place.before + static_cast<std::int64_t>(data.size()));
      data.insert(data.end(), one.begin(), one.end());
    }
    const bool last = part + 1 == items.parts();
    if (last) offsets.push_back(place.total);
    piece({fmt::format("{}/offsets", name),
           {true, {items.size() + 1}},
           true,
           {range.begin, range.end + (last ? 1 : 0)},
           offsets.data()});
    piece({fmt::format("{}/data", name),
           {std::is_integral_v<T>, {place.total}},
           true,
           {place.before, place.before + place.here},
           data.data()});
  }

  int size_;
  int rank_;
  std::vector<RaggedPlace> places_;
  std::size_t next_ = 0;
};

}  // namespace equipoise::state
