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

Entry by_levels(const std::string& name, std::string help, int largest,
                std::function<CodecPointer(int, const CodecSetting&)> make) {
  return {name, name + ":S", std::move(help),
          [name, largest, make = std::move(make)](std::string_view argument,
                                                  const CodecSetting& setting) {
            return make(integer(name, argument, 1, largest), setting);
          }};
}

/// A real number, positive and within [smallest, largest].
Entry by_number(const std::string& name, const std::string& letter, std::string help,
                double smallest, double largest, std::function<CodecPointer(double)> make) {
  return {name, name + ":" + letter, std::move(help),
          [=, make = std::move(make)](std::string_view argument, const CodecSetting&) {
            if (const auto x = parse<double>(argument);
                x && *x > 0.0 && *x >= smallest && *x <= largest)
              return make(*x);
            throw ConfigurationError(
                "codec '{0}:{1}': '{1}' is no positive number from {2} to {3}, as in {0}:8", name,
                argument, smallest, largest);
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
      cast("fp8-e4m3", false, "values rounded to 1 byte (4 significand bits), one scale per 512"),
      cast("fp8-e4m3", true, "values rounded to 1 byte at random, one scale per 512: unbiased"),
      cast("fp8-e5m2", false, "values rounded to 1 byte (3 significand bits), one scale per 512"),
      cast("fp8-e5m2", true, "values rounded to 1 byte at random, one scale per 512: unbiased"),
      cast("bf16", false, "values rounded to 2 bytes (8 significand bits)"),
      cast("bf16", true, "values rounded to 2 bytes at random (8 significand bits): unbiased"),
      by_amount("randk",
                "k random values of each agent, scaled by d/k: unbiased, q = d/k; no index bytes",
                [](Amount k) { return detail::make_randk(k, detail::Mask::independent); }),
      by_amount("randk-shared",
                "k random values, the same coordinates for all agents, scaled by d/k: unbiased",
                [](Amount k) { return detail::make_randk(k, detail::Mask::shared); }),
      {"permk", "permk[:full]",
       "the agents share the coordinates out at random and scale by their number: unbiased, exact "
       "for equal "
       "inputs; rotating blocks, or a full permutation",
       [](std::string_view argument, const CodecSetting& setting) {
         if (!argument.empty() && argument != "full")
           throw ConfigurationError("codec 'permk:{}': write permk (rotating blocks) or permk:full",
                                    argument);
         return detail::make_permk(setting.agents, argument == "full", false);
       }},
      by_amount("randk-unscaled",
                "k random values as they are: contractive, alpha = k/d; needs error feedback",
                [](Amount k) { return detail::make_randk(k, detail::Mask::unscaled); }),
      by_amount("topk", "the k largest magnitudes: contractive, alpha = k/d; needs error feedback",
                [](Amount k) { return detail::make_topk(k); }),
      plain("natural", "values rounded to powers of two at random, 12 bits each: unbiased, q = 9/8",
            [](const CodecSetting&) { return detail::make_natural(); }),
      by_amount("block-topk",
                "the k blocks of 64 with the largest norms: contractive; needs error feedback",
                [](Amount k) { return detail::make_block_topk(k); }),
      by_number("threshold", "t",
                "all values above t in magnitude: contractive; needs error feedback", 0.0,
                std::numeric_limits<double>::max(),
                [](double t) { return detail::make_threshold(t); }),
      plain("nonzero", "the values that are not zero, with their indices: exact",
            [](const CodecSetting&) { return detail::make_nonzero(); }),
      by_levels("qsgd", "S levels of the norm of a chunk, rounded at random: unbiased", 32767,
                detail::make_qsgd),
      by_levels("max-norm",
                "S levels of the largest of 512 (127: one byte each), rounded at random: unbiased",
                32767, detail::make_max_norm),
      by_levels("natural-dithering",
                "S levels 1, 1/2, 1/4, ... of the norm of a chunk, rounded at random: unbiased",
                1000, detail::make_natural_dithering),
      plain("ternary",
            "0 or plus or minus the largest of a chunk, at random, 1.6 bits each: unbiased",
            detail::make_ternary),
      plain("sign", "signs, times the mean magnitude of a chunk: contractive; needs error feedback",
            detail::make_sign),
      by_number("zfp-rate", "R", "zfp, R bits a value: biased; needs error feedback", 1.0, 64.0,
                [](double bits) { return detail::make_zfp_rate(bits); }),
      by_number("zfp-accuracy", "tol",
                "zfp, error at most tol a value: absolute; needs error feedback", 0.0,
                std::numeric_limits<double>::max(),
                [](double tol) { return detail::make_zfp_accuracy(tol); }),
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

namespace {

/// One name with its argument, no composition.
CodecPointer single(std::string_view text, const CodecSetting& setting) {
  const std::size_t colon = text.find(':');
  const std::string_view argument = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  const Entry& entry = find(text.substr(0, colon), text);
  if (colon == std::string_view::npos && entry.form.find("[:") == std::string::npos &&
      entry.form != entry.name)
    throw ConfigurationError("codec '{}' needs a number: {} ({})", text, entry.form, entry.help);
  return entry.make(argument, setting);
}

/// The two sides of a plus sign.
std::pair<std::string_view, std::string_view> two_parts(std::string_view whole,
                                                        std::string_view text) {
  const std::size_t plus = text.find('+');
  if (plus == std::string_view::npos || text.find('+', plus + 1) != std::string_view::npos)
    throw ConfigurationError("codec '{}': write two codecs with one + between them", whole);
  return {text.substr(0, plus), text.substr(plus + 1)};
}

CodecPointer composition(std::string_view text, const CodecSetting& setting) {
  const auto [left, right] = two_parts(text, text);
  CodecPointer outer = single(right, setting);
  if (right.starts_with("permk"))
    outer = detail::make_permk(setting.agents, right == "permk:full", true);
  auto sparsifier = std::dynamic_pointer_cast<const detail::Sparsifier>(outer);
  if (!sparsifier)
    throw ConfigurationError(
        "codec '{}': '{}' keeps every value, so there is nothing to compose; write the sparsifier "
        "on the right, as in "
        "natural+randk:0.1",
        text, right);
  CodecSetting whole = setting;
  whole.chunks = 1;  // a list of kept values has no chunks of its own
  return detail::make_composition(single(left, whole), std::move(sparsifier), setting);
}

CodecPointer induced(std::string_view text, std::string_view parts, const CodecSetting& setting) {
  const auto [left, right] = two_parts(text, parts);
  auto contraction = std::dynamic_pointer_cast<const detail::Sparsifier>(single(left, setting));
  if (!contraction || !(left.starts_with("topk:") || left.starts_with("block-topk:")))
    throw ConfigurationError(
        "codec '{}': '{}' must be topk or block-topk, whose residual is known exactly, as in "
        "induced:topk:0.01+randk:0.01",
        text, left);
  CodecPointer unbiased = single(right, setting);
  if (unbiased->describe(setting.dimension, setting.agents).kind != Descriptor::Kind::unbiased)
    throw ConfigurationError(
        "codec '{}': '{}' is not unbiased, so neither is the sum; use randk, natural or qsgd", text,
        right);
  return detail::make_induced(std::move(contraction), std::move(unbiased));
}

}  // namespace

std::shared_ptr<const Codec> make_codec(std::string_view text, const CodecSetting& setting) {
  constexpr std::string_view entropy = "|zstd", induce = "induced:";
  if (text.ends_with(entropy))
    return detail::make_zstd(make_codec(text.substr(0, text.size() - entropy.size()), setting));
  if (text.starts_with(induce)) return induced(text, text.substr(induce.size()), setting);
  return text.find('+') == std::string_view::npos ? single(text, setting)
                                                  : composition(text, setting);
}

std::vector<CodecInfo> list_codecs() {
  std::vector<CodecInfo> list;
  for (const Entry& entry : entries()) list.push_back({entry.form, entry.help});
  list.push_back(
      {"A+B", "a quantizer A packs the values that a sparsifier B keeps: natural+randk:0.1"});
  list.push_back(
      {"induced:C+Q",
       "C(v) + Q(v - C(v)), C topk or block-topk, Q unbiased: unbiased, omega (1 - alpha)"});
  list.push_back({"powersgd:r",
                  "rank r of the vectors seen as square matrices, both ways at once: contractive; "
                  "needs error feedback; a method.codec alone"});
  list.push_back({"auto",
                  "measured at the start of a run, both directions; what was taken is stored (a "
                  "method.codec of family vi)"});
  list.push_back({"A|zstd", "the pieces of any codec A behind the zstd entropy coder"});
  return list;
}

}  // namespace equipoise::compress
