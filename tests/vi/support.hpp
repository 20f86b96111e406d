#pragma once

#include <equipoise/problems/vi/game.hpp>
#include <equipoise/solve/run.hpp>
#include <equipoise/state/field_map.hpp>
#include <equipoise/vi/methods.hpp>

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace equipoise::vi {

using parallel::Comm;
using partition::Partition;
using problems::DenseGame;
using problems::GameOptions;
using Vector = std::vector<double>;
using MethodPointer = std::unique_ptr<solve::Method>;

inline state::Config config_of(const std::vector<const char*>& assignments) {
  state::Config config;
  for (const char* a : assignments) config.assign(a);
  return config;
}

inline Setting setting_of(const Comm& comm, const std::string& measure = "residual",
                          std::uint64_t seed = 0) {
  Setting setting;
  setting.comm = comm;
  setting.seed = seed;
  setting.measure = measure;
  return setting;
}

inline DenseGame game_of(const Comm& comm, const GameOptions& options) {
  return {options, Partition::uniform(options.agents, comm.size()).range(comm.rank())};
}

inline GameOptions small_game(std::int64_t d = 30, std::int64_t agents = 5) {
  GameOptions options;
  options.dimension = d;
  options.agents = agents;
  return options;
}

/// A vector of a method's state, by the name it has in checkpoints.
inline Vector field(state::Stateful& object, std::string_view name) {
  state::FieldMap map;
  object.fields(map);
  const auto values = map.doubles(name);
  return {values.begin(), values.end()};
}
inline double number(state::Stateful& object, std::string_view name) {
  state::FieldMap map;
  object.fields(map);
  return map.number(name);
}

inline bool same_bits(const Vector& a, const Vector& b) {
  return std::ranges::equal(std::as_bytes(std::span(a)), std::as_bytes(std::span(b)));
}

/// Calls work(comm) on communicators of 1, 2, ... ranks; ranks outside wait.
inline void on_every_size(const std::function<void(const Comm&)>& work) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  for (int size = 1; size <= world.size(); ++size) {
    Comm part = world.split(world.rank() < size ? 0 : 1);
    if (world.rank() < size) work(part);
    part.close();
    world.barrier();
  }
  world.close();
}

}  // namespace equipoise::vi
