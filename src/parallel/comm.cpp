#include <equipoise/parallel/comm.hpp>

namespace equipoise::parallel {
namespace {

template <class T>
T reduce(T value, MPI_Datatype type, MPI_Op op, MPI_Comm comm) {
  MPI_Allreduce(MPI_IN_PLACE, &value, 1, type, op, comm);
  return value;
}

}  // namespace

Comm::Comm() : state_(std::make_shared<State>()) {}

Comm::Comm(MPI_Comm owned) : state_(std::make_shared<State>()) {
  state_->comm = owned;
  MPI_Comm_rank(owned, &state_->rank);
  MPI_Comm_size(owned, &state_->size);
}

Comm Comm::duplicate(MPI_Comm parent) {
  MPI_Comm copy = MPI_COMM_NULL;
  MPI_Comm_dup(parent, &copy);
  return Comm(copy);
}

Comm Comm::split(int color, int key) const {
  MPI_Comm part = MPI_COMM_NULL;
  MPI_Comm_split(handle(), color, key, &part);
  return Comm(part);
}

void Comm::close() {
  if (state_->comm != MPI_COMM_SELF && state_->comm != MPI_COMM_NULL) MPI_Comm_free(&state_->comm);
}

double Comm::max(double value) const { return reduce(value, MPI_DOUBLE, MPI_MAX, handle()); }
std::int64_t Comm::max(std::int64_t value) const {
  return reduce(value, MPI_INT64_T, MPI_MAX, handle());
}
std::int64_t Comm::min(std::int64_t value) const {
  return reduce(value, MPI_INT64_T, MPI_MIN, handle());
}
std::int64_t Comm::sum(std::int64_t value) const {
  return reduce(value, MPI_INT64_T, MPI_SUM, handle());
}
bool Comm::any(bool value) const { return max(static_cast<std::int64_t>(value)) != 0; }

void Comm::broadcast(std::span<double> values, int root) const {
  MPI_Bcast(values.data(), static_cast<int>(values.size()), MPI_DOUBLE, root, handle());
}
void Comm::broadcast(std::span<std::int64_t> values, int root) const {
  MPI_Bcast(values.data(), static_cast<int>(values.size()), MPI_INT64_T, root, handle());
}
std::string Comm::broadcast(std::string text, int root) const {
  auto size = static_cast<std::int64_t>(text.size());
  MPI_Bcast(&size, 1, MPI_INT64_T, root, handle());
  text.resize(static_cast<std::size_t>(size));
  MPI_Bcast(text.data(), static_cast<int>(size), MPI_CHAR, root, handle());
  return text;
}
void Comm::max(std::span<double> values) const {
  MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_DOUBLE, MPI_MAX,
                handle());
}
void Comm::barrier() const { MPI_Barrier(handle()); }

}  // namespace equipoise::parallel
