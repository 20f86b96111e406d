#include <equipoise/parallel/virtual_ranks.hpp>

namespace equipoise::parallel {
namespace {

int keyval() {
  static const int key = [] {
    int made = MPI_KEYVAL_INVALID;
    MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, MPI_COMM_NULL_DELETE_FN, &made, nullptr);
    return made;
  }();
  return key;
}

}  // namespace

VirtualRanks::VirtualRanks(const Comm& comm, int ranks)
    : comm_(comm.handle()), traffic_(static_cast<std::size_t>(ranks)) {
  MPI_Comm_set_attr(comm_, keyval(), this);
}

VirtualRanks::~VirtualRanks() { MPI_Comm_delete_attr(comm_, keyval()); }

VirtualRanks* VirtualRanks::on(const Comm& comm) {
  VirtualRanks* found = nullptr;
  int there = 0;
  MPI_Comm_get_attr(comm.handle(), keyval(), static_cast<void*>(&found), &there);
  if (there == 0 || found->paused_) return nullptr;
  found->in_use_ = true;
  return found;
}

VirtualRanks::Pause::Pause(const Comm& comm) : paused_(on(comm)) {
  if (paused_) paused_->paused_ = true;
}

VirtualRanks::Pause::~Pause() {
  if (paused_) paused_->paused_ = false;
}

std::vector<Traffic> VirtualRanks::total(const Comm& comm) const {
  std::vector<std::int64_t> numbers;
  for (Traffic t : traffic_) {
    t += everyone_;
    numbers.insert(numbers.end(), {t.sent, t.received, t.header_sent, t.header_received});
  }
  MPI_Allreduce(MPI_IN_PLACE, numbers.data(), static_cast<int>(numbers.size()), MPI_INT64_T,
                MPI_SUM, comm.handle());
  std::vector<Traffic> all(traffic_.size());
  auto from = numbers.begin();
  for (Traffic& t : all) {
    for (std::int64_t* to : {&t.sent, &t.received, &t.header_sent, &t.header_received}) {
      *to = *from++;
    }
  }
  return all;
}

}  // namespace equipoise::parallel
