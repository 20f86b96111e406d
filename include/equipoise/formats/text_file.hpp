#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace equipoise::formats {

enum class Compression { none, gzip, bzip2 };

/// How a file is packed, by its first bytes and never by its name.
/// Throws InputError for a file that is missing, unreadable, or a directory.
[[nodiscard]] Compression detect_compression(const std::string& path);

/// The size in bytes of a file as it is stored. Throws InputError as `detect_compression` does.
[[nodiscard]] std::int64_t file_size(const std::string& path);

/// A stream of the text of a plain, gzip or bzip2 file (also several packed streams in one file).
///
/// Memory is one small buffer. A packed file that grows beyond `largest_growth` times its size
/// (plus 16 MiB) is refused while it is read, so that a few bytes cannot fill the memory.
class TextStream {
 public:
  static constexpr std::int64_t largest_growth = 200;

  /// Throws InputError for a file that cannot be opened.
  explicit TextStream(const std::string& path);
  ~TextStream();
  TextStream(TextStream&&) noexcept;
  TextStream& operator=(TextStream&&) noexcept;

  /// Fills the front of `buffer` and returns the number of bytes; 0 at the end.
  /// Throws InputError for a damaged or cut file, naming the path.
  std::size_t read(std::span<char> buffer);
  [[nodiscard]] Compression compression() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The whole text of a plain, gzip or bzip2 file. Errors as TextStream; cost: one copy of the text.
[[nodiscard]] std::string open_text(const std::string& path);

/// The lines of a plain file that begin in its bytes [begin, end): the text from the first such
/// line to the end of the last. Ranges that tile the file give texts that tile it.
[[nodiscard]] std::string read_lines(const std::string& path, std::int64_t begin, std::int64_t end);

/// One line of a text, without its line end ("\n" or "\r\n"), and its number counted from 1.
class LineScanner {
 public:
  explicit LineScanner(std::string_view text, std::int64_t first_line = 1)
      : rest_(text), number_(first_line - 1) {}
  /// Moves to the next line; false at the end of the text.
  bool next();
  [[nodiscard]] std::string_view line() const { return line_; }
  [[nodiscard]] std::int64_t number() const { return number_; }

 private:
  std::string_view rest_, line_;
  std::int64_t number_;
};

}  // namespace equipoise::formats
