#include "field_io.hpp"
#include "pieces.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <map>

namespace equipoise::state {
namespace {

using nlohmann::json;

/// What rank 0 found in a group: for each dataset its shape and checksum, and the values if not
/// partitioned.
json catalogue(hid_t group, const std::string& prefix) {
  json found = json::object();
  for (const auto& name : hdf5::member_names(group)) {
    const std::string full = prefix + name;
    H5O_info_t info;
    hdf5::require(H5Oget_info_by_name2(group, name.c_str(), &info, H5O_INFO_BASIC, H5P_DEFAULT),
                  full);
    if (info.type == H5O_TYPE_GROUP) {
      found.update(catalogue(hdf5::open_group(group, name).get(), full + "/"));
      continue;
    }
    const hdf5::Handle dataset = hdf5::open_dataset(group, name);
    const hdf5::Shape shape = hdf5::shape_of(dataset.get(), full);
    json entry = {{"integer", shape.integer}, {"extents", shape.extents}};
    entry["checksum"] = hdf5::read_bits_attribute(dataset.get(), "checksum");
    if (hdf5::read_bits_attribute(dataset.get(), "partitioned") == 0) {
      std::vector<std::uint8_t> bytes(static_cast<std::size_t>(8 * shape.rows() * shape.width()));
      hdf5::read_rows(dataset.get(), shape, {0, shape.rows()}, bytes.data());
      entry["bytes"] = json::binary(std::move(bytes));
    }
    found[full] = std::move(entry);
  }
  return found;
}

/// Fills fields from the catalogue and from the file that all ranks opened. Without communication.
class FieldReader : public FieldVisitor {
 public:
  struct Entry {
    hdf5::Shape shape;
    std::uint64_t checksum = 0;
    const json::binary_t* bytes = nullptr;  ///< null where partitioned
    std::uint64_t sum = 0;
    bool visited = false;
  };

  FieldReader(const parallel::Comm& comm, const json& found, std::string group)
      : rank_(comm.rank()), group_(std::move(group)) {
    for (const auto& [name, item] : found.items()) {
      const bool whole = item.contains("bytes");
      shared_ = shared_ || !whole;
      entries_[name] = {
          {item["integer"].get<bool>(), item["extents"].get<std::vector<std::int64_t>>()},
          item["checksum"].get<std::uint64_t>(),
          whole ? &item["bytes"].get_binary() : nullptr};
    }
  }
  [[nodiscard]] bool needs_file() const { return shared_; }
  void use(hid_t file) { file_ = file; }
  std::map<std::string, Entry>& entries() { return entries_; }

  void scalar(std::string_view name, double& value) override { whole(name, {false, {}}, &value); }
  void scalar(std::string_view name, std::int64_t& value) override {
    whole(name, {true, {}}, &value);
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
    nested(name, items, part, lists);
  }
  void ragged(std::string_view name, const partition::Partition& items, int part,
              std::vector<std::vector<std::int64_t>>& lists) override {
    nested(name, items, part, lists);
  }

 private:
  Entry& find(const std::string& name) {
    const auto found = entries_.find(name);
    if (found == entries_.end()) {
      throw CheckpointError("the file holds no field `{}`; it was written by another kind of run",
                            name);
    }
    found->second.visited = true;
    return found->second;
  }
  static void match(const std::string& name, const Entry& entry, const hdf5::Shape& expected,
                    bool partitioned) {
    const bool stored = entry.bytes == nullptr;
    if (entry.shape == expected && stored == partitioned) return;
    throw CheckpointError("field `{}` is stored as {}{} where this run expects {}{}", name,
                          hdf5::describe(entry.shape), stored ? ", partitioned" : "",
                          hdf5::describe(expected), partitioned ? ", partitioned" : "");
  }
  void whole(std::string_view field, const hdf5::Shape& shape, void* out) {
    const std::string name(field);
    Entry& entry = find(name);
    match(name, entry, shape, false);
    if (!entry.bytes->empty()) std::memcpy(out, entry.bytes->data(), entry.bytes->size());
    if (rank_ == 0) entry.sum = checksum(0, shape.rows() * shape.width(), out);
  }
  template <class T>
  void list(std::string_view name, std::vector<T>& data) {
    const Entry& entry = find(std::string(name));
    data.resize(static_cast<std::size_t>(entry.shape.extents.empty() ? 0 : entry.shape.rows()));
    whole(name, {std::is_integral_v<T>, {static_cast<std::int64_t>(data.size())}}, data.data());
  }
  template <class T>
  void rows_of(const std::string& name, const hdf5::Shape& shape, partition::Range rows,
               partition::Range counted, std::vector<T>& data) {
    Entry& entry = find(name);
    match(name, entry, shape, true);
    const std::int64_t width = shape.width();
    if (rows.begin < 0 || rows.end < rows.begin || rows.end > shape.rows()) {
      throw CheckpointError("field `{}` has offsets out of range: the file is damaged", name);
    }
    data.resize(static_cast<std::size_t>(rows.size() * width));
    if (!data.empty()) {
      const hdf5::Handle dataset = hdf5::open_dataset(file_, group_ + "/" + name);
      hdf5::read_rows(dataset.get(), shape, rows, data.data());
    }
    entry.sum = checksum(counted.begin * width, counted.size() * width, data.data());
  }
  template <class T>
  void rectangle(std::string_view name, const partition::Partition& rows, int part,
                 std::int64_t width, std::vector<T>& data) {
    hdf5::Shape shape{std::is_integral_v<T>, {rows.size()}};
    if (width != 1) shape.extents.push_back(width);
    rows_of(std::string(name), shape, rows.range(part), rows.range(part), data);
  }
  template <class T>
  void nested(std::string_view field, const partition::Partition& items, int part,
              std::vector<std::vector<T>>& lists) {
    const std::string name(field);
    const auto range = items.range(part);
    const bool last = part + 1 == items.parts();
    std::vector<std::int64_t> offsets;
    rows_of(name + "/offsets", {true, {items.size() + 1}}, {range.begin, range.end + 1},
            {range.begin, range.end + (last ? 1 : 0)}, offsets);
    const hdf5::Shape shape{std::is_integral_v<T>, {find(name + "/data").shape.rows()}};
    std::vector<T> data;
    const partition::Range mine{offsets.front(), offsets.back()};
    rows_of(name + "/data", shape, mine, mine, data);
    if (!std::is_sorted(offsets.begin(), offsets.end())) {
      throw CheckpointError("field `{}` has offsets that descend: the file is damaged", name);
    }
    lists.resize(static_cast<std::size_t>(range.size()));
    for (std::size_t i = 0; i < lists.size(); ++i) {
      lists[i].assign(data.begin() + (offsets[i] - mine.begin),
                      data.begin() + (offsets[i + 1] - mine.begin));
    }
  }

  int rank_;
  std::string group_;
  std::map<std::string, Entry> entries_;
  bool shared_ = false;
  hid_t file_ = -1;
};

void check_sums(const parallel::Comm& comm, const std::string& path, FieldReader& reader,
                bool all) {
  std::vector<std::uint64_t> sums;
  for (const auto& [name, entry] : reader.entries()) sums.push_back(entry.sum);
  MPI_Allreduce(MPI_IN_PLACE, sums.data(), static_cast<int>(sums.size()), MPI_UINT64_T, MPI_SUM,
                comm.handle());
  std::size_t i = 0;
  for (const auto& [name, entry] : reader.entries()) {
    const std::uint64_t sum = sums[i++];
    if (entry.visited && sum != entry.checksum) {
      throw CheckpointError("{}: field `{}` does not match its checksum: the file is damaged", path,
                            name);
    }
    if (all && !entry.visited) {
      throw CheckpointError("{}: it holds the field `{}`, which this run does not know", path,
                            name);
    }
  }
}

}  // namespace

void read_fields(const parallel::Comm& comm, const std::string& path, const std::string& group,
                 Stateful& object, bool all) {
  const hdf5::Quiet quiet;
  std::string packed;
  agreed(comm, [&] {
    if (comm.rank() != 0) return;
    const hdf5::Handle file = hdf5::open_file(path, false);
    json::to_cbor(catalogue(hdf5::open_group(file.get(), group).get(), ""), packed);
  });
  const json found = json::from_cbor(broadcast_text(comm, std::move(packed)));
  FieldReader reader(comm, found, group);
  hid_t file = reader.needs_file() ? hdf5::open_shared(comm, path, false) : -1;
  std::string failure;
  if (reader.needs_file() && comm.any(file < 0)) {
    failure = "it cannot be opened on all ranks";
  } else {
    reader.use(file);
    try {
      parallel::agree(comm, [&] { object.fields(reader); });
    } catch (const Error& error) {
      failure = error.what();
    }
  }
  if (file >= 0) H5Fclose(file);
  if (!failure.empty()) throw CheckpointError("{}: {}", path, failure);
  check_sums(comm, path, reader, all);
}

}  // namespace equipoise::state
