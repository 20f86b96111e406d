#include "hdf5.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace equipoise::state::hdf5 {
namespace {

/// The innermost message on the error stack of HDF5, or what the system said there.
std::string reason() {
  std::string text;
  const auto first = [](unsigned level, const H5E_error2_t* error, void* out) -> herr_t {
    if (level == 0 && error->desc != nullptr) *static_cast<std::string*>(out) = error->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first, &text);
  constexpr std::string_view system = "error message = '";
  if (const auto at = text.find(system); at != std::string::npos) {
    text = text.substr(at + system.size());
    text = text.substr(0, text.find('\''));
  }
  return text.empty() ? "unknown reason" : text;
}

Handle scalar_space() { return {H5Screate(H5S_SCALAR), H5Sclose, "a scalar"}; }

Handle text_type() {
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose, "a text type");
  require(H5Tset_size(type.get(), H5T_VARIABLE), "a text type");
  require(H5Tset_cset(type.get(), H5T_CSET_UTF8), "a text type");
  return type;
}

void write_scalar_attribute(hid_t object, const std::string& name, hid_t stored, hid_t memory,
                            const void* value) {
  const Handle space = scalar_space();
  const Handle attribute =
      H5Aexists(object, name.c_str()) > 0
          ? Handle(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose, name)
          : Handle(H5Acreate2(object, name.c_str(), stored, space.get(), H5P_DEFAULT, H5P_DEFAULT),
                   H5Aclose, name);
  require(H5Awrite(attribute.get(), memory, value), name);
}

/// Checks that an object holds one value of class `expected`, then copies it.
template <class Read>
void read_scalar(hid_t object, hid_t (*type_of)(hid_t), hid_t (*space_of)(hid_t),
                 H5T_class_t expected, const std::string& name, const Read& read) {
  const Handle type(type_of(object), H5Tclose, name);
  const Handle space(space_of(object), H5Sclose, name);
  if (H5Tget_class(type.get()) != expected || H5Sget_simple_extent_npoints(space.get()) != 1) {
    throw CheckpointError("`{}` has an unexpected type", name);
  }
  read(type.get());
}

template <class T>
T read_number(hid_t object, const std::string& name, H5T_class_t expected, hid_t memory) {
  const Handle attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose, name);
  T value{};
  read_scalar(attribute.get(), H5Aget_type, H5Aget_space, expected, name,
              [&](hid_t) { require(H5Aread(attribute.get(), memory, &value), name); });
  return value;
}

/// Reads a text of fixed or variable length with `read(memory type, buffer)`.
template <class Read>
std::string read_string(hid_t type, const std::string& name, const Read& read) {
  if (H5Tis_variable_str(type) <= 0) {
    std::string text(H5Tget_size(type), '\0');
    require(read(type, text.data()), name);
    return text.substr(0, text.find('\0'));
  }
  char* chars = nullptr;
  const Handle memory(H5Tcopy(type), H5Tclose, name);
  require(read(memory.get(), &chars), name);
  std::string text = chars == nullptr ? "" : chars;
  H5free_memory(chars);
  return text;
}

Handle serial_access() {
  Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "file access");
  require(H5Pset_file_locking(access.get(), false, true), "file access");
  return access;
}

/// Properties to create an object with. The same state is the same file, whenever it is written:
/// HDF5 would put the time of the clock into every object.
Handle without_times(hid_t kind, std::string_view what) {
  Handle creation(H5Pcreate(kind), H5Pclose, what);
  require(H5Pset_obj_track_times(creation.get(), false), what);
  return creation;
}

/// Puts memory in the place of a file that this rank alone has open, and flushes: a failed flush
/// leaves HDF5 1.10 in a state in which the next one fails too, and the one after it does not.
void write_into_nothing(hid_t file) {
  void* descriptor = nullptr;
  if (H5Fget_vfd_handle(file, H5P_DEFAULT, &descriptor) < 0 || descriptor == nullptr) return;
  const int memory = memfd_create("abandoned", MFD_CLOEXEC);
  if (memory < 0) return;
  dup2(memory, *static_cast<int*>(descriptor));
  close(memory);
  for (int attempt = 0; attempt < 3 && H5Fflush(file, H5F_SCOPE_GLOBAL) < 0; ++attempt) {
  }
}

constexpr std::int64_t largest_transfer = (std::int64_t{1} << 30) / 8;  // numbers of 8 bytes

/// Calls `transfer(memory space, file space, offset in memory)` for pieces of whole rows, or of
/// parts of one row where a row alone is too long.
template <class Transfer>
void for_pieces(hid_t dataset, const Shape& shape, partition::Range rows,
                const Transfer& transfer) {
  const std::int64_t width = shape.width();
  if (rows.size() <= 0 || width == 0) return;
  const Handle file(H5Dget_space(dataset), H5Sclose, "a data space");
  const std::int64_t columns_at_once = std::min(width, largest_transfer);
  const std::int64_t rows_at_once = std::max<std::int64_t>(1, largest_transfer / width);
  for (std::int64_t row = rows.begin; row < rows.end; row += rows_at_once) {
    for (std::int64_t column = 0; column < width; column += columns_at_once) {
      const std::int64_t height = std::min(rows_at_once, rows.end - row);
      const std::int64_t length = std::min(columns_at_once, width - column);
      const hsize_t start[2] = {static_cast<hsize_t>(row), static_cast<hsize_t>(column)};
      const hsize_t count[2] = {static_cast<hsize_t>(height), static_cast<hsize_t>(length)};
      if (!shape.extents.empty()) {
        require(H5Sselect_hyperslab(file.get(), H5S_SELECT_SET, start, nullptr, count, nullptr),
                "a selection");
      }
      const hsize_t numbers = count[0] * count[1];
      const Handle memory(H5Screate_simple(1, &numbers, nullptr), H5Sclose, "a data space");
      transfer(memory.get(), file.get(), (row - rows.begin) * width + column);
    }
  }
}

hid_t memory_type(const Shape& shape) {
  return shape.integer ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE;
}

}  // namespace

Quiet::Quiet() {
  H5Eget_auto2(H5E_DEFAULT, &handler_, &data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}
Quiet::~Quiet() { H5Eset_auto2(H5E_DEFAULT, handler_, data_); }

Handle::Handle(hid_t id, Close closer, std::string_view what) : id_(id), close_(closer) {
  if (id_ < 0) throw CheckpointError("{}: {}", what, reason());
}

bool Handle::close() {
  const hid_t id = std::exchange(id_, -1);
  return id < 0 || close_(id) >= 0;
}

void require(herr_t status, std::string_view what) {
  if (status < 0) throw CheckpointError("{}: {}", what, reason());
}

Handle create_file(const std::string& path, std::int64_t user_bytes) {
  const Handle access = serial_access();
  const Handle creation = without_times(H5P_FILE_CREATE, path);
  require(H5Pset_attr_creation_order(creation.get(), H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED),
          path);
  require(H5Pset_userblock(creation.get(), static_cast<hsize_t>(user_bytes)), path);
  return {H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose, path};
}

Handle open_file(const std::string& path, bool writable) {
  const Handle access = serial_access();
  return {H5Fopen(path.c_str(), writable ? H5F_ACC_RDWR : H5F_ACC_RDONLY, access.get()), H5Fclose,
          path};
}

void write_and_close(Handle file, const std::string& path, const std::function<void(hid_t)>& work) {
  try {
    work(file.get());
    require(H5Fflush(file.get(), H5F_SCOPE_GLOBAL), path);
  } catch (...) {
    write_into_nothing(file.get());
    throw;
  }
  if (!file.close()) throw CheckpointError("{}: it cannot be closed", path);
}

hid_t open_shared(const parallel::Comm& comm, const std::string& path, bool writable) {
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_fapl_mpio(access, comm.handle(), MPI_INFO_NULL);
  const hid_t file = H5Fopen(path.c_str(), writable ? H5F_ACC_RDWR : H5F_ACC_RDONLY, access);
  H5Pclose(access);
  return file;
}

Handle create_group(hid_t parent, const std::string& name) {
  const Handle creation = without_times(H5P_GROUP_CREATE, name);
  const unsigned ordered = H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED;
  require(H5Pset_attr_creation_order(creation.get(), ordered), name);
  require(H5Pset_link_creation_order(creation.get(), ordered), name);
  return {H5Gcreate2(parent, name.c_str(), H5P_DEFAULT, creation.get(), H5P_DEFAULT), H5Gclose,
          name};
}

Handle open_group(hid_t parent, const std::string& name) {
  return {H5Gopen2(parent, name.c_str(), H5P_DEFAULT), H5Gclose, name};
}

bool has_link(hid_t parent, const std::string& path) {
  for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    if (H5Lexists(parent, path.substr(0, slash).c_str(), H5P_DEFAULT) <= 0) return false;
  }
  return H5Lexists(parent, path.c_str(), H5P_DEFAULT) > 0;
}

void write_attribute(hid_t object, const std::string& name, const std::string& value) {
  const char* chars = value.c_str();
  const Handle type = text_type();
  write_scalar_attribute(object, name, type.get(), type.get(), &chars);
}
void write_attribute(hid_t object, const std::string& name, double value) {
  write_scalar_attribute(object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}
void write_attribute(hid_t object, const std::string& name, std::int64_t value) {
  write_scalar_attribute(object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}
void write_attribute(hid_t object, const std::string& name, std::uint64_t value) {
  write_scalar_attribute(object, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, &value);
}

std::string read_text_attribute(hid_t object, const std::string& name) {
  const Handle attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose, name);
  std::string text;
  read_scalar(attribute.get(), H5Aget_type, H5Aget_space, H5T_STRING, name, [&](hid_t type) {
    text = read_string(type, name, [&](hid_t memory, void* buffer) {
      return H5Aread(attribute.get(), memory, buffer);
    });
  });
  return text;
}
double read_number_attribute(hid_t object, const std::string& name) {
  return read_number<double>(object, name, H5T_FLOAT, H5T_NATIVE_DOUBLE);
}
std::uint64_t read_bits_attribute(hid_t object, const std::string& name) {
  return read_number<std::uint64_t>(object, name, H5T_INTEGER, H5T_NATIVE_UINT64);
}

std::vector<std::string> attribute_names(hid_t object) {
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  if (H5Aiterate2(object, H5_INDEX_CRT_ORDER, H5_ITER_INC, nullptr, add, &names) < 0) {
    names.clear();
    require(H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &names), "attributes");
  }
  return names;
}

std::vector<std::string> member_names(hid_t group) {
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  if (H5Literate(group, H5_INDEX_CRT_ORDER, H5_ITER_INC, nullptr, add, &names) < 0) {
    names.clear();
    require(H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &names), "members");
  }
  return names;
}

void write_text(hid_t parent, const std::string& name, const std::string& text) {
  const Handle space = scalar_space();
  const Handle type = text_type();
  const Handle creation = without_times(H5P_DATASET_CREATE, name);
  const Handle dataset(H5Dcreate2(parent, name.c_str(), type.get(), space.get(), H5P_DEFAULT,
                                  creation.get(), H5P_DEFAULT),
                       H5Dclose, name);
  const char* chars = text.c_str();
  require(H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, &chars), name);
}

std::string read_text(hid_t parent, const std::string& name) {
  const Handle dataset = open_dataset(parent, name);
  std::string text;
  read_scalar(dataset.get(), H5Dget_type, H5Dget_space, H5T_STRING, name, [&](hid_t type) {
    text = read_string(type, name, [&](hid_t memory, void* buffer) {
      return H5Dread(dataset.get(), memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer);
    });
  });
  return text;
}

std::string describe(const Shape& shape) {
  std::string text = shape.integer ? "integers [" : "doubles [";
  for (const auto extent : shape.extents) {
    if (text.back() != '[') text += ", ";
    text += fmt::format("{}", extent);
  }
  return text + "]";
}

Handle create_dataset(hid_t parent, const std::string& name, const Shape& shape) {
  std::vector<hsize_t> extents(shape.extents.begin(), shape.extents.end());
  const Handle space(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr),
                     H5Sclose, name);
  const Handle creation = without_times(H5P_DATASET_CREATE, name);
  require(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY), name);
  require(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER), name);
  const Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose, name);
  require(H5Pset_create_intermediate_group(links.get(), 1), name);
  return {H5Dcreate2(parent, name.c_str(), shape.integer ? H5T_STD_I64LE : H5T_IEEE_F64LE,
                     space.get(), links.get(), creation.get(), H5P_DEFAULT),
          H5Dclose, name};
}

Handle open_dataset(hid_t parent, const std::string& name) {
  return {H5Dopen2(parent, name.c_str(), H5P_DEFAULT), H5Dclose, name};
}

Shape shape_of(hid_t dataset, const std::string& name) {
  const Handle type(H5Dget_type(dataset), H5Tclose, name);
  const Handle space(H5Dget_space(dataset), H5Sclose, name);
  const H5T_class_t kind = H5Tget_class(type.get());
  const int rank = H5Sget_simple_extent_ndims(space.get());
  if ((kind != H5T_INTEGER && kind != H5T_FLOAT) || H5Tget_size(type.get()) != 8 || rank < 0 ||
      rank > 2) {
    throw CheckpointError("`{}` holds no 64-bit numbers in at most two dimensions", name);
  }
  hsize_t extents[2] = {0, 0};
  H5Sget_simple_extent_dims(space.get(), extents, nullptr);
  Shape shape{kind == H5T_INTEGER, {extents, extents + rank}};
  const double numbers = static_cast<double>(shape.rows()) * static_cast<double>(shape.width());
  const Handle file(H5Iget_file_id(dataset), H5Fclose, name);
  hsize_t file_bytes = 0;
  require(H5Fget_filesize(file.get(), &file_bytes), name);
  if (static_cast<double>(H5Dget_storage_size(dataset)) != 8.0 * numbers ||
      8.0 * numbers > static_cast<double>(file_bytes)) {
    throw CheckpointError("`{}` does not hold what its extents say: the file is damaged", name);
  }
  return shape;
}

void write_rows(hid_t dataset, const Shape& shape, partition::Range rows, const void* data) {
  for_pieces(dataset, shape, rows, [&](hid_t memory, hid_t file, std::int64_t offset) {
    require(H5Dwrite(dataset, memory_type(shape), memory, file, H5P_DEFAULT,
                     static_cast<const std::int64_t*>(data) + offset),
            "writing");
  });
}

void read_rows(hid_t dataset, const Shape& shape, partition::Range rows, void* data) {
  for_pieces(dataset, shape, rows, [&](hid_t memory, hid_t file, std::int64_t offset) {
    require(H5Dread(dataset, memory_type(shape), memory, file, H5P_DEFAULT,
                    static_cast<std::int64_t*>(data) + offset),
            "reading");
  });
}

}  // namespace equipoise::state::hdf5
