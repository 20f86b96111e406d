#include <equipoise/formats/text_file.hpp>
#include <equipoise/parallel/error.hpp>

#include <bzlib.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

namespace equipoise::formats {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

File open_file(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    throw InputError("{}: is a directory, expected a file", path);
  }
  File file(std::fopen(path.c_str(), "rb"));
  if (!file) {
    throw InputError("{}: cannot be opened ({}); check the path and its permissions", path,
                     std::strerror(errno));
  }
  return file;
}

Compression sniff(std::FILE* file) {
  std::array<unsigned char, 3> magic{};
  const std::size_t got = std::fread(magic.data(), 1, magic.size(), file);
  std::rewind(file);
  if (got >= 2 && magic[0] == 0x1f && magic[1] == 0x8b) return Compression::gzip;
  if (got == 3 && magic[0] == 'B' && magic[1] == 'Z' && magic[2] == 'h') return Compression::bzip2;
  return Compression::none;
}

}  // namespace

Compression detect_compression(const std::string& path) { return sniff(open_file(path).get()); }

std::int64_t file_size(const std::string& path) {
  open_file(path);
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error)
    throw InputError("{}: has no size ({}); expected a regular file", path, error.message());
  return static_cast<std::int64_t>(size);
}

/// One decoder per packed stream; a file may hold several, one behind the other.
struct TextStream::State {
  std::string path;
  File file;
  Compression compression = Compression::none;
  std::array<char, 1 << 16> packed;
  std::size_t packed_begin = 0, packed_end = 0;
  std::int64_t consumed = 0, produced = 0;
  z_stream gzip{};
  bz_stream bzip{};
  bool decoding = false;

  ~State() { end_stream(); }

  void end_stream() {
    if (!decoding) return;
    if (compression == Compression::gzip) inflateEnd(&gzip);
    if (compression == Compression::bzip2) BZ2_bzDecompressEnd(&bzip);
    decoding = false;
  }

  void begin_stream() {
    gzip = {};
    bzip = {};
    const bool good = compression == Compression::gzip ? inflateInit2(&gzip, 15 + 16) == Z_OK
                                                       : BZ2_bzDecompressInit(&bzip, 0, 0) == BZ_OK;
    if (!good) throw std::bad_alloc();
    decoding = true;
  }

  std::size_t read_plain(char* out, std::size_t size) {
    const std::size_t got = std::fread(out, 1, size, file.get());
    if (std::ferror(file.get())) {
      throw InputError("{}: reading stopped ({})", path, std::strerror(errno));
    }
    return got;
  }

  bool refill() {
    if (packed_begin != packed_end) return true;
    packed_begin = 0;
    packed_end = read_plain(packed.data(), packed.size());
    consumed += static_cast<std::int64_t>(packed_end);
    return packed_end != 0;
  }

  /// Decodes what it can; returns the bytes written and whether the packed stream ended.
  std::pair<std::size_t, bool> decode(char* out, std::size_t size) {
    const auto in_size = static_cast<unsigned>(packed_end - packed_begin);
    const auto out_size = static_cast<unsigned>(size);
    unsigned in_left = 0, out_left = 0;
    bool ended = false, good = false;
    if (compression == Compression::gzip) {
      gzip.next_in = reinterpret_cast<Bytef*>(packed.data() + packed_begin);
      gzip.avail_in = in_size;
      gzip.next_out = reinterpret_cast<Bytef*>(out);
      gzip.avail_out = out_size;
      const int code = inflate(&gzip, Z_NO_FLUSH);
      ended = code == Z_STREAM_END;
      good = ended || code == Z_OK || code == Z_BUF_ERROR;
      in_left = gzip.avail_in;
      out_left = gzip.avail_out;
    } else {
      bzip.next_in = packed.data() + packed_begin;
      bzip.avail_in = in_size;
      bzip.next_out = out;
      bzip.avail_out = out_size;
      const int code = BZ2_bzDecompress(&bzip);
      ended = code == BZ_STREAM_END;
      good = ended || code == BZ_OK;
      in_left = bzip.avail_in;
      out_left = bzip.avail_out;
    }
    if (!good) {
      throw InputError("{}: the packed data are damaged near byte {}; fetch the file again", path,
                       consumed - static_cast<std::int64_t>(in_left));
    }
    packed_begin = packed_end - in_left;
    return {out_size - out_left, ended};
  }

  std::size_t read_packed(char* out, std::size_t size) {
    for (;;) {
      const bool more = refill();
      if (!decoding) {
        if (!more) return 0;
        begin_stream();
      }
      const auto [got, ended] = decode(out, size);
      if (ended) {
        end_stream();
      } else if (!more && got == 0) {
        throw InputError("{}: ends in the middle of the packed data; fetch the file again", path);
      }
      produced += static_cast<std::int64_t>(got);
      if (produced > largest_growth * consumed + (16 << 20)) {
        throw InputError(
            "{}: unpacks to more than {} times its size, which no data file does; "
            "unpack it yourself if it is meant so",
            path, largest_growth);
      }
      if (got > 0) return got;
    }
  }
};

TextStream::TextStream(const std::string& path) : state_(std::make_unique<State>()) {
  state_->path = path;
  state_->file = open_file(path);
  state_->compression = sniff(state_->file.get());
}
TextStream::~TextStream() = default;
TextStream::TextStream(TextStream&&) noexcept = default;
TextStream& TextStream::operator=(TextStream&&) noexcept = default;

Compression TextStream::compression() const { return state_->compression; }

std::size_t TextStream::read(std::span<char> buffer) {
  if (buffer.empty()) return 0;
  const std::size_t size = std::min<std::size_t>(buffer.size(), 1U << 30U);
  return state_->compression == Compression::none ? state_->read_plain(buffer.data(), size)
                                                  : state_->read_packed(buffer.data(), size);
}

std::string open_text(const std::string& path) {
  TextStream stream(path);
  std::string text;
  const auto size = static_cast<std::size_t>(file_size(path));
  std::size_t filled = 0;
  for (;;) {
    // One byte beyond a plain file shows its end without growing.
    if (filled == text.size())
      text.resize(std::max({size + 1, filled + filled / 2, std::size_t{4096}}));
    const std::size_t got = stream.read(std::span(text).subspan(filled));
    if (got == 0) break;
    filled += got;
  }
  text.resize(filled);
  return text;
}

std::string read_lines(const std::string& path, std::int64_t begin, std::int64_t end) {
  if (begin >= end) return {};
  const File file = open_file(path);
  // The byte before the range tells whether a line begins at its first byte.
  const std::int64_t from = begin == 0 ? 0 : begin - 1;
  if (fseeko(file.get(), static_cast<off_t>(from), SEEK_SET) != 0) {
    throw InputError("{}: cannot be read from byte {} ({})", path, from, std::strerror(errno));
  }
  std::string text(static_cast<std::size_t>(end - from), '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  std::array<char, 1 << 14> more;
  while (!text.empty() && text.back() != '\n') {
    const std::size_t got = std::fread(more.data(), 1, more.size(), file.get());
    if (got == 0) break;
    const auto* const stop = static_cast<const char*>(std::memchr(more.data(), '\n', got));
    text.append(more.data(), stop ? static_cast<std::size_t>(stop + 1 - more.data()) : got);
  }
  if (std::ferror(file.get()))
    throw InputError("{}: reading stopped ({})", path, std::strerror(errno));
  if (begin > 0) {
    const std::size_t stop = text.find('\n');
    const bool none =
        stop == std::string::npos || static_cast<std::int64_t>(stop) >= end - from - 1;
    text.erase(0, none ? std::string::npos : stop + 1);
  }
  return text;
}

bool LineScanner::next() {
  if (rest_.empty()) return false;
  const std::size_t stop = rest_.find('\n');
  line_ = rest_.substr(0, stop);
  rest_.remove_prefix(stop == std::string_view::npos ? rest_.size() : stop + 1);
  if (line_.ends_with('\r')) line_.remove_suffix(1);
  ++number_;
  return true;
}

}  // namespace equipoise::formats
