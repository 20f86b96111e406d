#pragma once

#include <equipoise/parallel/comm.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace equipoise::state {

/// A directory of its own for a test, shared by all ranks and removed at the end.
class Scratch {
 public:
  Scratch(parallel::Comm comm, const std::string& name) : comm_(std::move(comm)) {
    static int number = 0;
    path = comm_.broadcast(std::string(EQUIPOISE_BINARY_DIR) + "/scratch-state-" + name + "-" +
                           std::to_string(comm_.size()) + "-" + std::to_string(++number));
    if (comm_.rank() == 0) {
      std::filesystem::remove_all(path);
      std::filesystem::create_directories(path);
    }
    comm_.barrier();
  }
  ~Scratch() {
    comm_.barrier();
    if (comm_.rank() == 0) {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::string path;

 private:
  parallel::Comm comm_;
};

inline std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void replace(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace equipoise::state
