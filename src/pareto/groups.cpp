#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/groups.hpp>

namespace equipoise::pareto {
namespace {

constexpr int request_tag = 21;
constexpr int task_tag = 22;
constexpr std::int64_t no_more = -1;

/// The tasks not yet handed out, kept by the leader of the first group.
class Queue {
 public:
  Queue(const parallel::Comm& leaders, std::int64_t total) : leaders_(leaders), total_(total) {}

  std::int64_t take() { return next_ < total_ ? next_++ : no_more; }
  /// Answers the requests that are there; with `wait`, until every other group has been told the
  /// end.
  void serve(bool wait) {
    while (ended_ < leaders_.size() - 1) {
      int there = 0;
      MPI_Status status;
      if (wait) {
        MPI_Probe(MPI_ANY_SOURCE, request_tag, leaders_.handle(), &status);
      } else {
        MPI_Iprobe(MPI_ANY_SOURCE, request_tag, leaders_.handle(), &there, &status);
        if (there == 0) return;
      }
      MPI_Recv(nullptr, 0, MPI_INT64_T, status.MPI_SOURCE, request_tag, leaders_.handle(),
               MPI_STATUS_IGNORE);
      const std::int64_t task = take();
      if (task == no_more) ++ended_;
      MPI_Send(&task, 1, MPI_INT64_T, status.MPI_SOURCE, task_tag, leaders_.handle());
    }
  }

 private:
  const parallel::Comm& leaders_;
  std::int64_t total_;
  std::int64_t next_ = 0;
  int ended_ = 0;
};

}  // namespace

Groups Groups::split(const parallel::Comm& world, std::int64_t ranks_per_group) {
  const int size = world.size();
  if (ranks_per_group < 1 || size % ranks_per_group != 0) {
    throw ConfigurationError(
        "problem.group_ranks = {}: groups of equal size are needed, and it does not divide the {} "
        "ranks of this run",
        ranks_per_group, size);
  }
  const int each = static_cast<int>(ranks_per_group);
  Groups groups;
  groups.world = world;
  groups.count = size / each;
  groups.index = world.rank() / each;
  if (each == 1) {
    groups.column = world;
  } else if (groups.count == 1) {
    groups.group = world;
  } else {
    groups.group = world.split(groups.index);
    groups.column = world.split(world.rank() % each);
  }
  return groups;
}

void Groups::close() {
  if (count == 1 || group.size() == 1) return;
  group.close();
  column.close();
}

std::int64_t Groups::share(std::int64_t total,
                           const std::function<void(std::int64_t)>& work) const {
  const bool leader = group.rank() == 0;
  const bool first = column.rank() == 0;
  Queue queue(column, total);
  const auto request = [&] { MPI_Send(nullptr, 0, MPI_INT64_T, 0, request_tag, column.handle()); };
  const auto receive = [&] {
    std::int64_t task = no_more;
    MPI_Recv(&task, 1, MPI_INT64_T, 0, task_tag, column.handle(), MPI_STATUS_IGNORE);
    return task;
  };
  if (leader && !first) request();
  for (std::int64_t calls = 0;; ++calls) {
    std::int64_t task = no_more;
    if (leader) {
      if (first) queue.serve(false);
      task = first ? queue.take() : receive();
      if (!first && task != no_more) request();
    }
    group.broadcast({&task, 1});
    if (task == no_more) {
      if (leader && first) queue.serve(true);
      return calls;
    }
    work(task);
  }
}

}  // namespace equipoise::pareto
