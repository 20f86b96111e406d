#include "values.hpp"

#include <equipoise/state/config.hpp>

#include <algorithm>
#include <limits>
#include <numeric>

namespace equipoise::state {
namespace {

/// Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`. Cost a.size() *
/// b.size(). Source: optimal string alignment, Damerau (CACM 1964).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

class Lister : public OptionVisitor {
 public:
  std::vector<OptionInfo> options;

  void option(std::string_view key, double& value, std::string_view help, Limits limits) override {
    add(key, "number", format_value(value), help, describe_limits(limits));
  }
  void option(std::string_view key, std::int64_t& value, std::string_view help,
              Limits limits) override {
    add(key, "integer", format_value(value), help, describe_limits(limits));
  }
  void option(std::string_view key, bool& value, std::string_view help) override {
    add(key, "boolean", format_value(value), help, "true or false");
  }
  void option(std::string_view key, std::string& value, std::string_view help) override {
    add(key, "text", format_value(value), help, "");
  }
  void option(std::string_view key, std::vector<double>& value, std::string_view help,
              Limits limits) override {
    add(key, "numbers", format_value(value), help, describe_limits(limits));
  }
  void option(std::string_view key, std::vector<std::string>& value,
              std::string_view help) override {
    add(key, "texts", format_value(value), help, "");
  }
  void choice(std::string_view key, std::string& value, const std::vector<std::string>& choices,
              std::string_view help) override {
    add(key, "choice", format_value(value), help, describe_choices(choices));
  }

 private:
  void add(std::string_view key, std::string type, std::string fallback, std::string_view help,
           std::string range) {
    options.push_back({std::string(key), std::move(type), std::move(fallback), std::string(help),
                       std::move(range)});
  }
};

}  // namespace

std::string nearest(std::string_view name, std::span<const std::string> names) {
  const std::string* best = nullptr;
  std::size_t least = std::numeric_limits<std::size_t>::max();
  for (const auto& candidate : names) {
    const std::size_t distance = edit_distance(name, candidate);
    if (distance < least) {
      least = distance;
      best = &candidate;
    }
  }
  const std::size_t close = std::max<std::size_t>(1, std::min<std::size_t>(name.size() / 3, 4));
  return best != nullptr && least <= close && least < name.size() ? *best : std::string();
}

std::vector<OptionInfo> list_options(const std::function<void(OptionVisitor&)>& describe) {
  Lister lister;
  describe(lister);
  return std::move(lister.options);
}

}  // namespace equipoise::state
