#include "field_io.hpp"

#include "pieces.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace equipoise::state {
namespace {

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
  Survey survey = counts;
  if (!places.empty()) {
    survey = Survey(comm, std::move(places));
    agreed(comm, [&] { object.fields(survey); });
  }
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
  if (disk.f_blocks > 0 && room < static_cast<double>(bytes)) {
    throw CheckpointError(
        "{}: {:.0f} bytes are free and {} are needed; free space or choose another directory",
        directory, room, bytes);
  }
}

/// Reserves the space of a file, of `bytes` or of its present size, so that no later write finds
/// the disk full: after a failed write of MPI-IO, HDF5 may crash when the program ends.
void reserve(const std::string& path, std::int64_t bytes) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) throw CheckpointError("{}: {}", path, std::strerror(errno));
  struct stat status {};
  bool failed = fstat(file, &status) != 0;
  const off_t size = std::max<off_t>(status.st_size, bytes);
  failed = failed ||
           (size > 0 && fallocate(file, 0, 0, size) != 0 && errno != EOPNOTSUPP && errno != ENOSYS);
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
  }
  failed = comm.any(file >= 0 && H5Fclose(file) < 0) || failed;
  if (failed) throw CheckpointError("{}: {}", partial, message);
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
                   Stateful& object, const FileHead& head) {
  const hdf5::Quiet quiet;
  const Survey survey = survey_fields(comm, object);
  const std::string partial = path + ".partial";
  try {
    agreed(comm, [&] {
      if (comm.rank() != 0) return;
      require_room(directory_of(path), survey.bytes + head.bytes);
      hdf5::write_and_close(hdf5::create_file(partial, head.user_bytes), partial, [&](hid_t file) {
        reserve(partial, survey.bytes + head.bytes);
        head.write(file);
        hdf5::write_attribute(file, "complete", std::int64_t{0});
        const hdf5::Handle fields = hdf5::create_group(file, group);
        Creator creator(comm, survey, fields.get());
        object.fields(creator);
      });
      reserve(partial, 0);
    });
    if (survey.partitioned) write_shared(comm, partial, group, object, survey);
    agreed(comm, [&] {
      if (comm.rank() != 0) return;
      hdf5::write_and_close(hdf5::open_file(partial, true), partial, [](hid_t file) {
        hdf5::write_attribute(file, "complete", std::int64_t{1});
      });
    });
  } catch (const Error&) {
    if (comm.rank() == 0) unlink(partial.c_str());
    comm.barrier();
    throw;
  }
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
