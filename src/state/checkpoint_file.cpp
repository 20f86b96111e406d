#include "checkpoint_file.hpp"

#include "field_io.hpp"

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace equipoise::state {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::int64_t segment_bytes = std::int64_t{8} << 20;
constexpr std::string_view seal_start = "equipoise run file";
constexpr std::string_view name_start = "checkpoint-";
constexpr std::string_view name_end = ".h5";

std::string hexadecimal(const void* data, std::size_t bytes) {
  const XXH128_hash_t hash = XXH3_128bits(data, bytes);
  return fmt::format("xxh3-128:{:016x}{:016x}", hash.high64, hash.low64);
}

/// Closes a file descriptor.
struct Descriptor {
  int id;
  ~Descriptor() {
    if (id >= 0) ::close(id);
  }
};

void read_exactly(int file, const std::string& path, std::int64_t offset, std::vector<char>& out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const auto got =
        pread(file, out.data() + done, out.size() - done, offset + static_cast<std::int64_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      throw CheckpointError("{}: {}", path, got < 0 ? std::strerror(errno) : "it ends early");
    }
    done += static_cast<std::size_t>(got);
  }
}

std::int64_t segments_of(std::int64_t bytes) { return (bytes + segment_bytes - 1) / segment_bytes; }
std::size_t parts_of(std::int64_t bytes) {
  return static_cast<std::size_t>(2 * segments_of(bytes));
}

/// Digests every `stride`-th segment from `first` on, two words each, into their places in `parts`.
void digest_segments(const std::string& path, std::int64_t skipped, std::int64_t bytes,
                     std::int64_t first, std::int64_t stride, std::vector<std::uint64_t>& parts) {
  if (first >= segments_of(bytes)) return;
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.id < 0) throw CheckpointError("{}: {}", path, std::strerror(errno));
  std::vector<char> buffer;
  for (std::int64_t i = first; i < segments_of(bytes); i += stride) {
    const std::int64_t begin = i * segment_bytes;
    buffer.resize(static_cast<std::size_t>(std::min(segment_bytes, bytes - begin)));
    read_exactly(file.id, path, skipped + begin, buffer);
    const XXH128_hash_t hash = XXH3_128bits(buffer.data(), buffer.size());
    parts[static_cast<std::size_t>(2 * i)] = hash.low64;
    parts[static_cast<std::size_t>(2 * i + 1)] = hash.high64;
  }
}

/// The text before the HDF5 part of a run file, filled up with zeros.
std::string seal_text(const Digest& digest) {
  std::string text = fmt::format("{}: HDF5 begins at byte {}\nbytes {}\ndigest {}\n", seal_start,
                                 seal_bytes, digest.bytes, digest.value);
  text.resize(static_cast<std::size_t>(seal_bytes), '\0');
  return text;
}

std::string first_bytes(const std::string& path) {
  std::string text(static_cast<std::size_t>(seal_bytes), '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(text.data(), seal_bytes);
  return file ? text : "";
}

std::int64_t file_bytes(const std::string& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) throw CheckpointError("{}: {}", path, error.message());
  return static_cast<std::int64_t>(size);
}

}  // namespace

Digest digest_file(const std::string& path) {
  Digest digest{file_bytes(path), ""};
  std::vector<std::uint64_t> parts(parts_of(digest.bytes), 0);
  digest_segments(path, 0, digest.bytes, 0, 1, parts);
  digest.value = hexadecimal(parts.data(), 8 * parts.size());
  return digest;
}

Digest digest_file(const parallel::Comm& comm, const std::string& path, std::int64_t skipped) {
  Digest digest;
  agreed(comm, [&] {
    digest.bytes = comm.rank() == 0 ? std::max<std::int64_t>(0, file_bytes(path) - skipped) : 0;
  });
  comm.broadcast(std::span(&digest.bytes, 1));
  std::vector<std::uint64_t> parts(parts_of(digest.bytes), 0);
  agreed(comm,
         [&] { digest_segments(path, skipped, digest.bytes, comm.rank(), comm.size(), parts); });
  MPI_Allreduce(MPI_IN_PLACE, parts.data(), static_cast<int>(parts.size()), MPI_UINT64_T, MPI_BOR,
                comm.handle());
  digest.value = hexadecimal(parts.data(), 8 * parts.size());
  return digest;
}

void seal(const parallel::Comm& comm, const std::string& path) {
  const std::string text = seal_text(digest_file(comm, path, seal_bytes));
  agreed(comm, [&] {
    if (comm.rank() != 0) return;
    const Descriptor file{open(path.c_str(), O_RDWR | O_CLOEXEC)};
    if (file.id < 0 || pwrite(file.id, text.data(), text.size(), 0) != seal_bytes ||
        fsync(file.id) != 0) {
      throw CheckpointError("{}: {}", path, std::strerror(errno));
    }
  });
}

bool has_seal(const parallel::Comm& comm, const std::string& path) {
  return comm.any(comm.rank() == 0 && first_bytes(path).starts_with(seal_start));
}

std::string seal_damage(const parallel::Comm& comm, const std::string& path) {
  try {
    const Digest digest = digest_file(comm, path, seal_bytes);
    const bool intact = comm.rank() == 0 && first_bytes(path) == seal_text(digest);
    return comm.any(intact) ? ""
                            : "its content does not match its digest: it was damaged or changed";
  } catch (const Error& error) {
    return error.what();
  }
}

std::string manifest_text(const std::string& file_name, const Digest& digest) {
  json manifest = {{"schema", 1},
                   {"file", file_name},
                   {"bytes", digest.bytes},
                   {"segment_bytes", segment_bytes},
                   {"digest", digest.value}};
  const std::string body = manifest.dump();
  manifest["manifest_digest"] = hexadecimal(body.data(), body.size());
  return manifest.dump(2) + "\n";
}

std::string manifest_path(const std::string& checkpoint) {
  return checkpoint.substr(0, checkpoint.size() - name_end.size()) + ".json";
}

std::string damage(const parallel::Comm& comm, const std::string& checkpoint) {
  std::string problem;
  Digest expected;
  if (comm.rank() == 0) {
    std::ifstream file(manifest_path(checkpoint), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const json manifest = json::parse(text, nullptr, false);
    std::error_code error;
    if (!file) {
      problem = "its manifest is missing";
    } else if (!manifest.is_object() || !manifest.value("bytes", json()).is_number_integer() ||
               !manifest.value("digest", json()).is_string()) {
      problem = "its manifest is damaged";
    } else {
      expected = {manifest["bytes"].get<std::int64_t>(), manifest["digest"].get<std::string>()};
      if (manifest_text(fs::path(checkpoint).filename().string(), expected) != text) {
        problem = "its manifest is damaged";
      } else if (fs::file_size(checkpoint, error) != static_cast<std::uintmax_t>(expected.bytes)) {
        problem = fmt::format("it should hold {} bytes and does not", expected.bytes);
      }
    }
  }
  problem = comm.broadcast(std::move(problem));
  if (!problem.empty()) return problem;
  try {
    const Digest actual = digest_file(comm, checkpoint);
    problem =
        comm.rank() == 0 && !(actual == expected) ? "its content does not match its digest" : "";
  } catch (const Error& error) {
    return error.what();
  }
  return comm.broadcast(std::move(problem));
}

bool is_checkpoint_name(const std::string& name, std::int64_t& number) {
  if (!name.starts_with(name_start) || !name.ends_with(name_end)) return false;
  const char* first = name.data() + name_start.size();
  const char* last = name.data() + name.size() - name_end.size();
  const auto [end, error] = std::from_chars(first, last, number);
  return last - first >= 6 && error == std::errc() && end == last && number >= 0;
}

std::vector<std::int64_t> checkpoint_numbers(const std::string& directory) {
  std::vector<std::int64_t> numbers;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    std::int64_t number = 0;
    if (is_checkpoint_name(it->path().filename().string(), number)) numbers.push_back(number);
  }
  if (error) throw CheckpointError("{}: {}", directory, error.message());
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::string checkpoint_path(const std::string& directory, std::int64_t number) {
  return fmt::format("{}/{}{:06d}{}", directory, name_start, number, name_end);
}

}  // namespace equipoise::state
