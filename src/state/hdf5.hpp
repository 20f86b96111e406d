#pragma once

#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/comm.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/partition/partition.hpp>

#include <hdf5.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace equipoise::state::hdf5 {

/// Stops HDF5 from printing its error stack while it lives; the messages go into our exceptions.
class Quiet {
 public:
  Quiet();
  ~Quiet();
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

 private:
  H5E_auto2_t handler_ = nullptr;
  void* data_ = nullptr;
};

/// Owns one HDF5 identifier. Closing a file that was opened by several ranks is collective: such a
/// handle is closed explicitly, before any exception can leave.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle() = default;
  /// Takes `id`; throws CheckpointError "<what>: <reason of HDF5>" where it is no identifier.
  Handle(hid_t id, Close closer, std::string_view what);
  Handle(Handle&& other) noexcept
      : id_(std::exchange(other.id_, -1)), close_(std::exchange(other.close_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() { static_cast<void>(close()); }
  /// True if the identifier was closed without an error (or there was none).
  bool close();
  [[nodiscard]] hid_t get() const { return id_; }

 private:
  hid_t id_ = -1;
  Close close_ = nullptr;
};

/// Throws CheckpointError "<what>: <reason of HDF5>" for a negative status.
void require(herr_t status, std::string_view what);

/// A file opened by this rank alone, without locks (not every shared file system has them).
/// The first `user_bytes` (0, or a power of two from 512) are left to us; HDF5 begins after them.
Handle create_file(const std::string& path, std::int64_t user_bytes = 0);
Handle open_file(const std::string& path, bool writable);
/// `work(file)`, then everything on disk and the file closed; throws CheckpointError where any of
/// it fails. HDF5 1.10 keeps a file whose closing failed and crashes over it when the program ends,
/// so after a failure what is still to be written goes into memory that nobody reads.
void write_and_close(Handle file, const std::string& path, const std::function<void(hid_t)>& work);
/// A file opened by all ranks through MPI-IO; no exception, look at `get()`. **Collective**, as is
/// its closing.
hid_t open_shared(const parallel::Comm& comm, const std::string& path, bool writable);

/// A new group (which keeps the order of its members), and an existing one.
Handle create_group(hid_t parent, const std::string& name);
Handle open_group(hid_t parent, const std::string& name);
[[nodiscard]] bool has_link(hid_t parent, const std::string& path);

void write_attribute(hid_t object, const std::string& name, const std::string& value);
void write_attribute(hid_t object, const std::string& name, double value);
void write_attribute(hid_t object, const std::string& name, std::int64_t value);
void write_attribute(hid_t object, const std::string& name, std::uint64_t value);
std::string read_text_attribute(hid_t object, const std::string& name);
double read_number_attribute(hid_t object, const std::string& name);
std::uint64_t read_bits_attribute(hid_t object, const std::string& name);
/// Names of the attributes of an object and of the members of a group, in the order of their
/// making.
std::vector<std::string> attribute_names(hid_t object);
std::vector<std::string> member_names(hid_t group);

/// A text as a scalar dataset.
void write_text(hid_t parent, const std::string& name, const std::string& text);
std::string read_text(hid_t parent, const std::string& name);

/// Type and extents of a dataset of 64-bit numbers.
struct Shape {
  bool integer = false;
  std::vector<std::int64_t> extents;  ///< none for a scalar
  [[nodiscard]] std::int64_t rows() const { return extents.empty() ? 1 : extents[0]; }
  [[nodiscard]] std::int64_t width() const { return extents.size() < 2 ? 1 : extents[1]; }
  friend bool operator==(const Shape&, const Shape&) = default;
};
/// "doubles [100, 3]".
std::string describe(const Shape& shape);
/// A contiguous dataset whose space in the file is fixed at once; groups in its name are made.
Handle create_dataset(hid_t parent, const std::string& name, const Shape& shape);
Handle open_dataset(hid_t parent, const std::string& name);
/// Throws CheckpointError for anything but 64-bit integers or doubles of at most two dimensions.
Shape shape_of(hid_t dataset, const std::string& name);

/// Transfers of whole rows by this rank alone, in pieces of at most 1 GiB. `data` holds rows.size()
/// * width numbers.
void write_rows(hid_t dataset, const Shape& shape, partition::Range rows, const void* data);
void read_rows(hid_t dataset, const Shape& shape, partition::Range rows, void* data);

}  // namespace equipoise::state::hdf5
