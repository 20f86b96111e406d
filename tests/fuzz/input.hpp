#pragma once

#include <equipoise/parallel/error.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

/// What the fuzz targets share. A target hands the bytes to a reader; the reader may refuse them
/// with an `equipoise::Error` that has a message, and nothing else may happen: no crash, leak,
/// other exception or runaway memory.
namespace equipoise::fuzz {

inline std::string_view text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// A file in memory, for readers that take a path.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content) : id_(memfd_create("input", MFD_CLOEXEC)) {
    if (write(id_, content.data(), content.size()) != static_cast<ssize_t>(content.size())) {
      __builtin_trap();
    }
  }
  ~MemoryFile() { close(id_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(id_); }

 private:
  int id_;
};

/// Runs `read`; a refusal must explain itself.
template <class Read>
int expect_value_or_refusal(const Read& read) {
  try {
    read();
  } catch (const Error& error) {
    if (std::string_view(error.what()).empty()) __builtin_trap();
  }
  return 0;
}

}  // namespace equipoise::fuzz
