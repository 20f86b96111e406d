#include "codec_support.hpp"

#include <charconv>
#include <functional>
#include <numeric>

namespace equipoise::compress {
namespace {

using detail::Amount;
using detail::CodecPointer;

/// One codec: how it is written, what it does, and how it is made from the text after the colon.
struct Entry {
  std::string name, form, help;
  std::function<CodecPointer(std::string_view argument, const CodecSetting&)> make;
};

template <class Number>
std::optional<Number> parse(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Amount amount(std::string_view name, std::string_view text) {
  if (const auto count = parse<std::int64_t>(text); count && *count >= 1) return {0.0, *count};
  if (const auto fraction = parse<double>(text); fraction && *fraction > 0.0 && *fraction < 1.0)
    return {*fraction, 0};
  throw ConfigurationError(
      "codec '{0}:{1}': '{1}' is not an amount; write a fraction of the dimension between 0 and 1 "
      "({0}:0.05) or "
      "a count of at least 1 ({0}:5)",
      name, text);
}

int integer(std::string_view name, std::string_view text, int smallest, int largest) {
  if (const auto value = parse<int>(text); value && *value >= smallest && *value <= largest)
    return *value;
  throw ConfigurationError(
      "codec '{0}:{1}': '{1}' is not an integer from {2} to {3}, as in {0}:{4}", name, text,
      smallest, largest, std::clamp(8, smallest, largest));
}

/// A codec that takes no argument.
Entry plain(std::string name, std::string help,
            std::function<CodecPointer(const CodecSetting&)> make) {
  auto checked = [name, make = std::move(make)](std::string_view argument,
                                                const CodecSetting& setting) {
    if (!argument.empty())
      throw ConfigurationError("codec '{0}:{1}': {0} takes no argument; write {0}", name, argument);
    return make(setting);
  };
  return {name, name, std::move(help), std::move(checked)};
}

Entry by_amount(const std::string& name, std::string help,
                std::function<CodecPointer(Amount)> make) {
  return {name, name + ":k", std::move(help),
          [name, make = std::move(make)](std::string_view argument, const CodecSetting&) {
            return make(amount(name, argument));
          }};
}

Entry cast(const std::string& type, bool stochastic, std::string help) {
  return plain(
      type + (stochastic ? "s" : ""), std::move(help),
      [type, stochastic](const CodecSetting&) { return detail::make_cast(type, stochastic); });
}

const std::vector<Entry>& entries() {
  static const std::vector<Entry> all = {
      plain("identity", "all values in full, 8 bytes each: exact",
            [](const CodecSetting&) { return detail::make_identity(); }),
      cast("fp32", false, "values rounded to 4 bytes"),
      cast("fp32", true, "values rounded to 4 bytes at random: unbiased"),
      cast("fp16", false, "values rounded to 2 bytes (11 significand bits), one scale per 512"),
      cast("fp16", true, "values rounded to 2 bytes at random, one scale per 512: unbiased"),
      cast("bf16", false, "values rounded to 2 bytes (8 significand bits)"),
      cast("bf16", true, "values rounded to 2 bytes at random (8 significand bits): unbiased"),
      by_amount("randk",
                "k random values of each agent, scaled by d/k: unbiased, q = d/k; no index bytes",
                [](Amount k) { return detail::make_randk(k, false); }),
      by_amount("randk-shared",
                "k random values, the same coordinates for all agents, scaled by d/k: unbiased",
                [](Amount k) { return detail::make_randk(k, true); }),
      {"permk", "permk[:full]",
       "the agents share the coordinates out at random and scale by their number: unbiased, exact "
       "for equal "
       "inputs; rotating blocks, or a full permutation",
       [](std::string_view argument, const CodecSetting& setting) {
         if (!argument.empty() && argument != "full")
           throw ConfigurationError("codec 'permk:{}': write permk (rotating blocks) or permk:full",
                                    argument);
         return detail::make_permk(setting.agents, argument == "full");
       }},
      by_amount("topk", "the k largest magnitudes: contractive, alpha = k/d; needs error feedback",
                [](Amount k) { return detail::make_topk(k); }),
      plain("natural", "values rounded to powers of two at random, 12 bits each: unbiased, q = 9/8",
            [](const CodecSetting&) { return detail::make_natural(); }),
      {"qsgd", "qsgd:S", "S levels of the norm of a chunk, rounded at random: unbiased",
       [](std::string_view argument, const CodecSetting& setting) {
         return detail::make_qsgd(integer("qsgd", argument, 1, 32767), setting);
       }},
  };
  return all;
}

/// Levenshtein distance: single letters changed, added or left out.
std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

const Entry& find(std::string_view name, std::string_view text) {
  const auto& all = entries();
  for (const Entry& entry : all)
    if (entry.name == name) return entry;
  const auto nearest = std::min_element(
      all.begin(), all.end(),
      [&](const Entry& a, const Entry& b) { return edits(name, a.name) < edits(name, b.name); });
  std::string forms;
  for (const Entry& entry : all) forms += (forms.empty() ? "" : ", ") + entry.form;
  throw ConfigurationError("unknown codec '{}': did you mean '{}'? There are {}", text,
                           nearest->form, forms);
}

}  // namespace

std::shared_ptr<const Codec> make_codec(std::string_view text, const CodecSetting& setting) {
  const std::size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  const std::string_view argument = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  const Entry& entry = find(name, text);
  if (colon == std::string_view::npos && entry.form.find("[:") == std::string::npos &&
      entry.form != entry.name)
    throw ConfigurationError("codec '{}' needs a number: {} ({})", text, entry.form, entry.help);
  return entry.make(argument, setting);
}

std::vector<CodecInfo> list_codecs() {
  std::vector<CodecInfo> list;
  for (const Entry& entry : entries()) list.push_back({entry.form, entry.help});
  return list;
}

}  // namespace equipoise::compress
