#include "checkpoint_file.hpp"
#include "field_io.hpp"

#include <equipoise/state/inspect.hpp>

#include <filesystem>

namespace equipoise::state {
namespace {

H5T_class_t attribute_class(hid_t object, const std::string& name) {
  const hdf5::Handle attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose, name);
  const hdf5::Handle type(H5Aget_type(attribute.get()), H5Tclose, name);
  return H5Tget_class(type.get());
}

std::string attribute_text(hid_t object, const std::string& name) {
  switch (attribute_class(object, name)) {
    case H5T_STRING:
      return hdf5::read_text_attribute(object, name);
    case H5T_FLOAT:
      return fmt::format("{}", hdf5::read_number_attribute(object, name));
    case H5T_INTEGER:
      return fmt::format("{}", hdf5::read_bits_attribute(object, name));
    default:
      return "(of another type)";
  }
}

void list_attributes(hid_t object, const std::string& indent, std::string& out) {
  for (const auto& name : hdf5::attribute_names(object)) {
    out += fmt::format("{}@{} = {}\n", indent, name, attribute_text(object, name));
  }
}

bool is_text(hid_t dataset) {
  const hdf5::Handle type(H5Dget_type(dataset), H5Tclose, "a type");
  return H5Tget_class(type.get()) == H5T_STRING;
}

/// The lines of a text, indented.
std::string indented(const std::string& text, const std::string& indent) {
  std::string out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    out += indent + text.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
  return out;
}

/// One dataset: its single value, its text, or its type and shape. Checksums are left out.
void list_dataset(hid_t group, const std::string& name, const std::string& indent,
                  std::string& out) {
  const hdf5::Handle dataset = hdf5::open_dataset(group, name);
  if (is_text(dataset.get())) {
    out += fmt::format("{}{}:\n{}", indent, name,
                       indented(hdf5::read_text(group, name), indent + "  | "));
    return;
  }
  const hdf5::Shape shape = hdf5::shape_of(dataset.get(), name);
  if (!shape.extents.empty()) {
    out += fmt::format("{}{}: {}\n", indent, name, hdf5::describe(shape));
  } else if (shape.integer) {
    std::int64_t value = 0;
    hdf5::read_rows(dataset.get(), shape, {0, 1}, &value);
    out += fmt::format("{}{} = {}\n", indent, name, value);
  } else {
    double value = 0;
    hdf5::read_rows(dataset.get(), shape, {0, 1}, &value);
    out += fmt::format("{}{} = {}\n", indent, name, value);
  }
}

void list_group(hid_t group, const std::string& indent, std::string& out) {
  list_attributes(group, indent, out);
  for (const auto& name : hdf5::member_names(group)) {
    H5O_info_t info;
    hdf5::require(H5Oget_info_by_name2(group, name.c_str(), &info, H5O_INFO_BASIC, H5P_DEFAULT),
                  name);
    if (info.type == H5O_TYPE_GROUP) {
      out += fmt::format("{}{}/\n", indent, name);
      list_group(hdf5::open_group(group, name).get(), indent + "  ", out);
    } else if (info.type == H5O_TYPE_DATASET) {
      list_dataset(group, name, indent, out);
    }
  }
}

}  // namespace

std::string describe_file(const parallel::Comm& comm, const std::string& path) {
  const hdf5::Quiet quiet;
  std::int64_t number = 0;
  const bool checkpoint =
      is_checkpoint_name(std::filesystem::path(path).filename().string(), number);
  if (!checkpoint && !has_seal(comm, path)) {
    throw CheckpointError("{}: it is neither a run file nor a checkpoint of equipoise", path);
  }
  const std::string problem = checkpoint ? damage(comm, path) : seal_damage(comm, path);
  if (!problem.empty()) return fmt::format("NOT valid: {}\n", problem);
  std::string listing = "valid: the content matches its digest\n";
  agreed(comm, [&] {
    if (comm.rank() != 0) return;
    const hdf5::Handle file = hdf5::open_file(path, false);
    list_group(hdf5::open_group(file.get(), "/").get(), "", listing);
  });
  return broadcast_text(comm, std::move(listing));
}

}  // namespace equipoise::state
