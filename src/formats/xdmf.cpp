#include "../state/hdf5.hpp"

#include <equipoise/formats/xdmf.hpp>
#include <equipoise/parallel/agree.hpp>

#include <algorithm>
#include <fstream>

namespace equipoise::formats {
namespace {

using state::hdf5::Handle;
using state::hdf5::Shape;
using Rows = partition::Range;

/// Nodes of a cell by the name of its topology.
std::int64_t corners(const std::string& cell) {
  if (cell == "Triangle") return 3;
  if (cell == "Triangle_6") return 6;
  return cell == "Tetrahedron" ? 4 : 10;
}

/// The rows of a function over the whole box that hold the owned interior nodes, line by line.
void write_lines(hid_t dataset, const Shape& shape, const XdmfPiece& piece,
                 const std::vector<double>& values) {
  const auto inner = static_cast<std::int64_t>(piece.axes.size()) - 2, whole = inner + 2;
  for (std::size_t at = 0; at < values.size();) {
    const std::int64_t node = piece.first_node + static_cast<std::int64_t>(at);
    const auto run = std::min(static_cast<std::int64_t>(values.size() - at), inner - node % inner);
    std::int64_t row = 0, stride = 1, rest = node;
    for (int d = 0; d < piece.dimension; ++d, stride *= whole, rest /= inner)
      row += stride * (rest % inner + 1);
    state::hdf5::write_rows(dataset, shape, {row, row + run}, values.data() + at);
    at += static_cast<std::size_t>(run);
  }
}

/// Sizes that all ranks know.
struct Sizes {
  std::int64_t nodes = 0, cells = 0, first_cell = 0;
};

void make_datasets(const std::string& path, const XdmfPiece& piece, const Sizes& sizes) {
  state::hdf5::write_and_close(state::hdf5::create_file(path), path, [&](hid_t file) {
    if (piece.axes.empty()) {
      state::hdf5::create_dataset(file, "points", {false, {sizes.nodes, 3}});
      state::hdf5::create_dataset(file, "cells", {true, {sizes.cells, corners(piece.cell)}});
    } else {
      const auto count = static_cast<std::int64_t>(piece.axes.size());
      const Shape shape{false, {count}};
      const Handle axis = state::hdf5::create_dataset(file, "axis", shape);
      state::hdf5::write_rows(axis.get(), shape, {0, count}, piece.axes.data());
    }
    for (const auto& field : piece.fields) {
      const Shape shape{false, {sizes.nodes}};
      const Handle data = state::hdf5::create_dataset(file, field.name, shape);
      const std::vector<double> zero(static_cast<std::size_t>(sizes.nodes));
      state::hdf5::write_rows(data.get(), shape, {0, sizes.nodes}, zero.data());
    }
  });
}

void write_part(const std::string& path, const XdmfPiece& piece, const Sizes& sizes) {
  state::hdf5::write_and_close(state::hdf5::open_file(path, true), path, [&](hid_t file) {
    const auto owned = piece.fields.empty()
                           ? std::int64_t{0}
                           : static_cast<std::int64_t>(piece.fields[0].values.size());
    const Rows rows{piece.first_node, piece.first_node + owned};
    const auto write = [&](const std::string& name, const Shape& shape, Rows range,
                           const void* data) {
      const Handle dataset = state::hdf5::open_dataset(file, name);
      state::hdf5::write_rows(dataset.get(), shape, range, data);
    };
    if (piece.axes.empty()) {
      const auto width = corners(piece.cell);
      const auto cells = static_cast<std::int64_t>(piece.cells.size()) / width;
      write("points", {false, {sizes.nodes, 3}}, rows, piece.points.data());
      write("cells", {true, {sizes.cells, width}}, {sizes.first_cell, sizes.first_cell + cells},
            piece.cells.data());
    }
    for (const auto& field : piece.fields) {
      const Shape shape{false, {sizes.nodes}};
      if (piece.axes.empty()) {
        write(field.name, shape, rows, field.values.data());
      } else {
        const Handle dataset = state::hdf5::open_dataset(file, field.name);
        write_lines(dataset.get(), shape, piece, field.values);
      }
    }
  });
}

std::string item(const std::string& dimensions, const std::string& type, const std::string& name) {
  return fmt::format(
      "<DataItem Dimensions=\"{}\" NumberType=\"{}\" Precision=\"8\" "
      "Format=\"HDF\">solution.h5:/{}</DataItem>",
      dimensions, type, name);
}

struct Place {
  std::string geometry;    ///< topology and geometry of a grid
  std::string node_count;  ///< dimensions of a function
};

Place place_of(const XdmfPiece& piece, const Sizes& sizes) {
  Place place;
  if (piece.axes.empty()) {
    place.node_count = std::to_string(sizes.nodes);
    place.geometry = fmt::format(
        "   <Topology TopologyType=\"{}\" NumberOfElements=\"{}\">{}</Topology>\n"
        "   <Geometry GeometryType=\"XYZ\">{}</Geometry>\n",
        piece.cell, sizes.cells,
        item(fmt::format("{} {}", sizes.cells, corners(piece.cell)), "Int", "cells"),
        item(place.node_count + " 3", "Float", "points"));
    return place;
  }
  // A box of less than three dimensions has one node in the others.
  const std::string count = std::to_string(piece.axes.size());
  std::string axes;
  for (int d = 2; d >= 0; --d)
    place.node_count += (d < piece.dimension ? count : "1") + std::string(d > 0 ? " " : "");
  for (int d = 0; d < 3; ++d) {
    axes += "\n    " +
            (d < piece.dimension
                 ? item(count, "Float", "axis")
                 : std::string("<DataItem Dimensions=\"1\" NumberType=\"Float\" Precision=\"8\" "
                               "Format=\"XML\">0</DataItem>"));
  }
  place.geometry = fmt::format(
      "   <Topology TopologyType=\"3DRectMesh\" Dimensions=\"{}\"/>\n"
      "   <Geometry GeometryType=\"VXVYVZ\">{}\n   </Geometry>\n",
      place.node_count, axes);
  return place;
}

std::string description(const XdmfPiece& piece, const Sizes& sizes) {
  const Place place = place_of(piece, sizes);
  const auto attribute = [&](const NodalField& field) {
    return fmt::format(
        "   <Attribute Name=\"{}\" AttributeType=\"Scalar\" Center=\"Node\">{}</Attribute>\n",
        field.series.empty() ? field.name : field.series,
        item(place.node_count, "Float", field.name));
  };
  std::string text = "<?xml version=\"1.0\" ?>\n<Xdmf Version=\"3.0\">\n <Domain>\n";
  const bool series = !piece.fields.empty() && !piece.fields[0].series.empty();
  if (!series) {
    text += "  <Grid Name=\"solution\" GridType=\"Uniform\">\n" + place.geometry;
    for (const auto& field : piece.fields) text += attribute(field);
    return text + "  </Grid>\n </Domain>\n</Xdmf>\n";
  }
  text += "  <Grid Name=\"solution\" GridType=\"Collection\" CollectionType=\"Temporal\">\n";
  for (std::size_t k = 0; k < piece.fields.size();) {
    const double time = piece.fields[k].time;
    text +=
        fmt::format("  <Grid Name=\"solution\" GridType=\"Uniform\">\n   <Time Value=\"{}\"/>\n",
                    time) +
        place.geometry;
    for (; k < piece.fields.size() && piece.fields[k].time == time; ++k)
      text += attribute(piece.fields[k]);
    text += "  </Grid>\n";
  }
  return text + "  </Grid>\n </Domain>\n</Xdmf>\n";
}

}  // namespace

std::vector<std::string> write_xdmf(const parallel::Comm& comm, const std::string& directory,
                                    const XdmfPiece& piece) {
  const std::string path = directory + "/solution.h5", xml = directory + "/solution.xdmf";
  Sizes sizes;
  if (piece.axes.empty()) {
    sizes.nodes = piece.nodes;
    const auto here = static_cast<std::int64_t>(piece.cells.size()) / corners(piece.cell);
    std::int64_t before = 0;
    MPI_Exscan(&here, &before, 1, MPI_INT64_T, MPI_SUM, comm.handle());
    sizes.first_cell = comm.rank() == 0 ? 0 : before;
    sizes.cells = comm.sum(here);
  } else {
    sizes.nodes = 1;
    for (int d = 0; d < piece.dimension; ++d)
      sizes.nodes *= static_cast<std::int64_t>(piece.axes.size());
  }
  const state::hdf5::Quiet quiet;
  parallel::agree(comm, [&] {
    if (comm.rank() != 0) return;
    make_datasets(path, piece, sizes);
    std::ofstream file(xml);
    file << description(piece, sizes);
    if (!file.flush())
      throw CheckpointError("cannot write `{}`; is there such a directory, with room?", xml);
  });
  for (int turn = 0; turn < comm.size(); ++turn) {
    parallel::agree(comm, [&] {
      if (comm.rank() == turn) write_part(path, piece, sizes);
    });
  }
  return {xml, path};
}

}  // namespace equipoise::formats
