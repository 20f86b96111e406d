#include "support.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/descent.hpp>
#include <equipoise/problems/pareto/nonsmooth.hpp>
#include <equipoise/problems/pareto/zdt.hpp>

#include <gtest/gtest.h>

#include <cmath>

namespace equipoise::pareto {
namespace {

class Descents : public OnRanks {};

TEST_F(Descents, GebkenPeitzTotalsOfTheSpecification) {
  struct Row {
    const char* first;
    const char* second;
    double subgradients;
  };
  // Totals of an independent program; ties and the solver of the quadratic programs matter: +-25 %.
  for (const Row& row :
       {Row{"CB3", "DEM", 1455}, Row{"CB3", "QL", 2197}, Row{"CB3", "LQ", 2070},
        Row{"CB3", "Mifflin1", 13035}, Row{"QL", "LQ", 1983}, Row{"DEM", "LQ", 1595}}) {
    const problems::NonsmoothPair problem{row.first, row.second};
    DescentOptions options;
    options.start_from = -3.0;
    options.start_to = 3.0;
    Descent descent(comm, problem, "gebken-peitz", options, 1);
    // The run loop counts from before the first step.
    EXPECT_EQ(descent.counters().at(2).second, 0);
    for (int i = 0; i < 2000 && !descent.report().finished; ++i) descent.step();
    EXPECT_TRUE(descent.report().finished);
    const double found = static_cast<double>(comm.sum(descent.counters()[2].second));
    EXPECT_NEAR(found, row.subgradients, 0.25 * row.subgradients) << row.first << "/" << row.second;
  }
}

}  // namespace
}  // namespace equipoise::pareto
