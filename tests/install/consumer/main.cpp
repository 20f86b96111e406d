// A project of its own: a problem the library has never seen, through installed headers and libraries alone.
#include <equipoise/vi/problem.hpp>

#include <cstdint>
#include <span>

namespace {
struct Shifted {
  std::int64_t dimension() const { return 3; }
  std::int64_t agents() const { return 5; }
  void apply(std::int64_t agent, std::span<const double> z, std::span<double> out) const {
    for (std::size_t i = 0; i < z.size(); ++i) out[i] = z[i] - static_cast<double>(agent);
  }
};
static_assert(equipoise::vi::AgentProblem<Shifted>);
}  // namespace

int main() {
  const Shifted problem;
  const equipoise::vi::ProblemView view(problem);
  return view.dimension() == 3 ? 0 : 1;
}
