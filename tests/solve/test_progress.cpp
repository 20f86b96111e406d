#include <equipoise/solve/progress.hpp>

#include <gtest/gtest.h>

namespace equipoise::solve {
namespace {

TEST(Progress, BytesForPeople) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1000), "1 kB");
  EXPECT_EQ(human_bytes(1234567), "1.23 MB");
  EXPECT_EQ(human_bytes(999600), "1 MB");
  EXPECT_EQ(human_bytes(5e15), "5e+03 TB");
}

TEST(Progress, SecondsForPeople) {
  EXPECT_EQ(human_seconds(0.85), "850 ms");
  EXPECT_EQ(human_seconds(12.34), "12.3 s");
  EXPECT_EQ(human_seconds(245), "4 min 05 s");
  EXPECT_EQ(human_seconds(7384), "2 h 03 min");
}

}  // namespace
}  // namespace equipoise::solve
