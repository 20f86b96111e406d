#include "field_io.hpp"

#include "pieces.hpp"

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>

namespace equipoise::state {
namespace {

using nlohmann::json;

/// Counts ragged values on the first visit; on the second sums bytes and checksums.
class Survey : public PieceVisitor {
 public:
  Survey(const parallel::Comm& comm, std::vector<RaggedPlace> places)
      : PieceVisitor(comm, std::move(places)), counts_replicated_(comm.rank() == 0) {}
  std::vector<std::uint64_t> checksums;
  std::int64_t bytes = 0;
  bool partitioned = false;

 private:
  void piece(const Piece& piece) override {
    checksums.push_back(piece.partitioned || counts_replicated_ ? checksum(piece) : 0);
    bytes += 2048 + 8 * piece.shape.rows() * piece.shape.width();
    partitioned = partitioned || piece.partitioned;
  }
  bool counts_replicated_;
};

/// Makes the datasets, and writes what is not partitioned. Rank 0 alone.
class Creator : public PieceVisitor {
 public:
  Creator(const parallel::Comm& comm, const Survey& survey, hid_t group)
      : PieceVisitor(comm, survey.places()), checksums_(survey.checksums), group_(group) {}

 private:
  void piece(const Piece& piece) override {
    const hdf5::Handle dataset = hdf5::create_dataset(group_, piece.name, piece.shape);
    hdf5::write_attribute(dataset.get(), "partitioned", std::int64_t{piece.partitioned ? 1 : 0});
    hdf5::write_attribute(dataset.get(), "checksum", checksums_[next_++]);
    if (!piece.partitioned) hdf5::write_rows(dataset.get(), piece.shape, piece.rows, piece.data);
  }
  const std::vector<std::uint64_t>& checksums_;
  hid_t group_;
  std::size_t next_ = 0;
};

/// Writes the rows of this rank into the datasets that the creator made.
class Writer : public PieceVisitor {
 public:
  Writer(const parallel::Comm& comm, const Survey& survey, hid_t file, std::string group)
      : PieceVisitor(comm, survey.places()), file_(file), group_(std::move(group)) {}

 private:
  void piece(const Piece& piece) override {
    if (!piece.partitioned || piece.rows.size() == 0) return;
    hdf5::Handle dataset = hdf5::open_dataset(file_, group_ + "/" + piece.name);
    hdf5::write_rows(dataset.get(), piece.shape, piece.rows, piece.data);
    if (!dataset.close()) throw CheckpointError("field `{}` cannot be written", piece.name);
  }
  hid_t file_;
  std::string group_;
};

Survey survey_fields(const parallel::Comm& comm, Stateful& object) {
  Survey counts(comm, {});
  agreed(comm, [&] { object.fields(counts); });
  std::vector<RaggedPlace> places = counts.places();
  const auto known = static_cast<std::int64_t>(counts.checksums.size());
  if (comm.max(known) != comm.min(known)) {
    throw Error(Exit::defect, "the ranks name different numbers of fields");
  }
  std::vector<std::int64_t> here;
  for (const auto& place : places) here.push_back(place.here);
  std::vector<std::int64_t> before(here.size());
  std::vector<std::int64_t> total(here.size());
  if (!here.empty()) {
    const int length = static_cast<int>(here.size());
    MPI_Exscan(here.data(), before.data(), length, MPI_INT64_T, MPI_SUM, comm.handle());
    MPI_Allreduce(here.data(), total.data(), length, MPI_INT64_T, MPI_SUM, comm.handle());
    if (comm.rank() == 0) std::fill(before.begin(), before.end(), 0);
  }
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = {here[i], before[i], total[i]};
  Survey survey(comm, std::move(places));
  agreed(comm, [&] { object.fields(survey); });
  MPI_Allreduce(MPI_IN_PLACE, survey.checksums.data(), static_cast<int>(survey.checksums.size()),
                MPI_UINT64_T, MPI_SUM, comm.handle());
  return survey;
}

void require_room(const std::string& directory, std::int64_t bytes) {
  struct statvfs disk {};
  if (statvfs(directory.c_str(), &disk) != 0) {
    throw CheckpointError("{}: {}", directory, std::strerror(errno));
  }
  const auto room = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  if (room < static_cast<double>(bytes)) {
    throw CheckpointError(
        "{}: {:.0f} bytes are free and {} are needed; free space or choose another directory",
        directory, room, bytes);
  }
}

/// Reserves the space of a whole file, so that no later write finds the disk full.
void reserve(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (file < 0) throw CheckpointError("{}: {}", path, std::strerror(errno));
  struct stat status {};
  const bool failed = fstat(file, &status) != 0 ||
                      (status.st_size > 0 && fallocate(file, 0, 0, status.st_size) != 0 &&
                       errno != EOPNOTSUPP && errno != ENOSYS);
  const int error = errno;
  close(file);
  if (failed) {
    throw CheckpointError("{}: {}; free space or choose another directory", path,
                          std::strerror(error));
  }
}

void write_shared(const parallel::Comm& comm, const std::string& partial, const std::string& group,
                  Stateful& object, const Survey& survey) {
  hid_t file = hdf5::open_shared(comm, partial, true);
  bool failed = comm.any(file < 0);
  std::string message = "it cannot be opened on all ranks";
  if (!failed) {
    try {
      parallel::agree(comm, [&] {
        Writer writer(comm, survey, file, group);
        object.fields(writer);
      });
    } catch (const Error& error) {
      failed = true;
      message = error.what();
    }
    failed = comm.any(H5Fflush(file, H5F_SCOPE_GLOBAL) < 0) || failed;
  }
  failed = comm.any(file >= 0 && H5Fclose(file) < 0) || failed;
  if (failed) throw CheckpointError("{}: {}", partial, message);
}

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
    std::memcpy(out, entry.bytes->data(), entry.bytes->size());
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

void agreed(const parallel::Comm& comm, const std::function<void()>& work) {
  try {
    parallel::agree(comm, work);
  } catch (const parallel::CollectiveError& error) {
    if (error.code() == Exit::checkpoint) throw CheckpointError("{}", error.what());
    if (error.code() == Exit::configuration) throw ConfigurationError("{}", error.what());
    throw;
  }
}

std::string broadcast_text(const parallel::Comm& comm, std::string text) {
  std::int64_t size = static_cast<std::int64_t>(text.size());
  comm.broadcast(std::span(&size, 1));
  agreed(comm, [&] { text.resize(static_cast<std::size_t>(size)); });
  constexpr std::int64_t at_once = std::int64_t{1} << 30;
  for (std::int64_t begin = 0; begin < size; begin += at_once) {
    MPI_Bcast(text.data() + begin, static_cast<int>(std::min(at_once, size - begin)), MPI_CHAR, 0,
              comm.handle());
  }
  return text;
}

void write_partial(const parallel::Comm& comm, const std::string& path, const std::string& group,
                   Stateful& object, const std::function<void(hid_t)>& head) {
  const hdf5::Quiet quiet;
  const Survey survey = survey_fields(comm, object);
  const std::string partial = path + ".partial";
  try {
    agreed(comm, [&] {
      if (comm.rank() != 0) return;
      require_room(directory_of(path), survey.bytes + 65536);
      hdf5::Handle file = hdf5::create_file(partial);
      head(file.get());
      hdf5::write_attribute(file.get(), "complete", std::int64_t{0});
      const hdf5::Handle fields = hdf5::create_group(file.get(), group);
      Creator creator(comm, survey, fields.get());
      object.fields(creator);
      hdf5::require(H5Fflush(file.get(), H5F_SCOPE_GLOBAL), partial);
      reserve(partial);
    });
    if (survey.partitioned) write_shared(comm, partial, group, object, survey);
    agreed(comm, [&] {
      if (comm.rank() != 0) return;
      hdf5::Handle file = hdf5::open_file(partial, true);
      hdf5::write_attribute(file.get(), "complete", std::int64_t{1});
      if (!file.close()) throw CheckpointError("{}: it cannot be closed", partial);
      flush_to_disk(partial);
    });
  } catch (const Error&) {
    if (comm.rank() == 0) unlink(partial.c_str());
    comm.barrier();
    throw;
  }
}

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

void flush_to_disk(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool failed = file < 0 || (fsync(file) != 0 && errno != EINVAL);
  const int error = errno;
  if (file >= 0) close(file);
  if (failed) throw CheckpointError("{}: {}", path, std::strerror(error));
}

void rename_on_disk(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    throw CheckpointError("{} cannot be renamed to {}: {}", from, to, std::strerror(errno));
  }
  flush_to_disk(directory_of(to));
}

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace equipoise::state
