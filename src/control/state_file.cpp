#include <equipoise/control/state_file.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/error.hpp>

#include <hdf5.h>
#include <unistd.h>

#include <array>
#include <cstdio>

namespace equipoise::control {

StateFile::StateFile(const parallel::Comm& comm, const std::string& directory, std::int64_t count,
                     std::int64_t size)
    : comm_(comm), count_(count), size_(size) {
  path_ = fmt::format("{}/equipoise-states-{}-{}.h5", directory, getpid(), comm.rank());
  static int number = 0;
  path_.insert(path_.size() - 3, fmt::format("-{}", number++));
  parallel::agree(comm_, [&] {
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    file_ = H5Fcreate(path_.c_str(), H5F_ACC_EXCL, H5P_DEFAULT, H5P_DEFAULT);
    if (file_ < 0) {
      throw InputError("cannot make `{}` for states of the adjoint; is there such a directory?",
                       path_);
    }
    const std::array<hsize_t, 2> shape = {static_cast<hsize_t>(count_),
                                          static_cast<hsize_t>(size_)};
    const hid_t space = H5Screate_simple(2, shape.data(), nullptr);
    data_ = H5Dcreate2(file_, "states", H5T_NATIVE_DOUBLE, space, H5P_DEFAULT, H5P_DEFAULT,
                       H5P_DEFAULT);
    H5Sclose(space);
    if (data_ < 0) throw InputError("cannot make room for {} states in `{}`", count_, path_);
  });
}

StateFile::~StateFile() {  // communication-free: the file belongs to this rank alone
  if (data_ >= 0) H5Dclose(data_);
  if (file_ >= 0) {
    H5Fclose(file_);
    std::remove(path_.c_str());
  }
}

void StateFile::transfer(std::int64_t number, const double* from, double* to) {
  parallel::agree(comm_, [&] {
    if (size_ == 0) return;
    const std::array<hsize_t, 2> start = {static_cast<hsize_t>(number), 0};
    const std::array<hsize_t, 2> shape = {1, static_cast<hsize_t>(size_)};
    const hid_t row = H5Screate_simple(2, shape.data(), nullptr);
    const hid_t place = H5Dget_space(data_);
    H5Sselect_hyperslab(place, H5S_SELECT_SET, start.data(), nullptr, shape.data(), nullptr);
    const herr_t status = from != nullptr
                              ? H5Dwrite(data_, H5T_NATIVE_DOUBLE, row, place, H5P_DEFAULT, from)
                              : H5Dread(data_, H5T_NATIVE_DOUBLE, row, place, H5P_DEFAULT, to);
    H5Sclose(place);
    H5Sclose(row);
    if (status < 0) {
      throw InputError("cannot {} state {} in `{}`; is the disk full?",
                       from != nullptr ? "write" : "read", number, path_);
    }
  });
}

void StateFile::save(std::int64_t number, std::span<const double> state) {
  transfer(number, state.data(), nullptr);
}

void StateFile::load(std::int64_t number, std::span<double> state) {
  transfer(number, nullptr, state.data());
}

}  // namespace equipoise::control
