#include <equipoise/vi/problem.hpp>

#include <algorithm>

namespace equipoise::vi {

void ProblemView::start(partition::Range owned, std::span<double> z) const {
  if (table_->start) {
    table_->start(self_, owned, z);
  } else {
    std::fill(z.begin(), z.end(), 0.0);
  }
}

}  // namespace equipoise::vi
