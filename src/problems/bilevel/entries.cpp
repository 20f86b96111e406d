#include <equipoise/parallel/agree.hpp>
#include <equipoise/problems/bilevel/cleaning.hpp>
#include <equipoise/problems/bilevel/coupled.hpp>
#include <equipoise/problems/bilevel/denoising.hpp>
#include <equipoise/problems/bilevel/entries.hpp>
#include <equipoise/problems/bilevel/instance.hpp>
#include <equipoise/problems/bilevel/multinomial.hpp>
#include <equipoise/problems/bilevel/network.hpp>
#include <equipoise/problems/bilevel/quadratic.hpp>
#include <equipoise/problems/bilevel/ranking.hpp>
#include <equipoise/problems/bilevel/selection.hpp>
#include <equipoise/problems/bilevel/svm.hpp>
#include <equipoise/problems/bilevel/temperature.hpp>

namespace equipoise::problems {
namespace {

/// Makes the entry of a problem: `build(options, owned, seed)` makes the oracle with the data of
/// the owned blocks, and `blocks(options)` says how many there are.
template <class Options, class Blocks, class Build>
solve::ProblemEntry entry(std::string name, std::string help, Blocks blocks, Build build) {
  solve::ProblemEntry out{"bilevel", std::move(name), std::move(help), {}, {}};
  out.describe = [](state::OptionVisitor& visit) { Options().describe(visit); };
  out.make = [blocks, build](const parallel::Comm& comm,
                             state::Config& config) -> std::unique_ptr<solve::Instance> {
    Options options;
    BilevelRun run;
    config.read("problem", options);
    config.read("run", run);
    const auto owned =
        bilevel::Blocks::layout(blocks(options), run.classes, comm.size()).owned(comm.rank());
    auto oracle = parallel::agree(
        comm, [&] { return build(options, owned, static_cast<std::uint64_t>(run.seed)); });
    using Problem = typename decltype(oracle)::element_type;
    const bilevel::OracleView view(static_cast<const Problem&>(*oracle));
    return std::make_unique<BilevelInstance>(comm, view, std::move(oracle), run);
  };
  return out;
}

}  // namespace

std::vector<solve::ProblemEntry> bilevel_problems() {
  std::vector<solve::ProblemEntry> out;
  out.push_back(entry<QuadraticOptions>(
      "quadratic", "many quadratic lower problems with a closed form",
      [](const auto& o) { return o.blocks; },
      [](const QuadraticOptions& o, partition::Range owned, std::uint64_t) {
        return std::make_shared<const MultiBlockQuadratic>(o, owned);
      }));
  out.push_back(entry<SelectionOptions>(
      "selection",
      "one regularisation weight per feature of a logistic regression, chosen by validation",
      [](const auto&) { return std::int64_t{1}; },
      [](const SelectionOptions& o, partition::Range, std::uint64_t) {
        return std::make_shared<const RegularisationSelection>(
            read_rows(data_path(o.train), false), read_rows(data_path(o.validation), false), o);
      }));
  out.push_back(entry<TemperatureOptions>(
      "temperature", "weights of training rows shared by logistic regressions at many temperatures",
      [](const auto& o) { return o.blocks; },
      [](const TemperatureOptions& o, partition::Range, std::uint64_t) {
        return std::make_shared<const TemperatureReweighting>(read_rows(data_path(o.data), true),
                                                              o);
      }));
  out.push_back(entry<CoupledOptions>(
      "coupled", "a constraint that couples x and y in the lower problem, with a closed form",
      [](const auto&) { return std::int64_t{1}; },
      [](const CoupledOptions& o, partition::Range, std::uint64_t) {
        return std::make_shared<const CoupledToy>(o);
      }));
  out.push_back(entry<CleaningOptions>(
      "cleaning", "weights that find the wrong labels among training digits",
      [](const auto&) { return std::int64_t{1}; },
      [](const CleaningOptions& o, partition::Range, std::uint64_t seed) {
        return std::make_shared<const DataCleaning>(read_cleaning(o, seed));
      }));
  out.push_back(entry<NetworkOptions>(
      "network", "weights that find the wrong labels among training digits, a network below",
      [](const auto&) { return std::int64_t{1}; },
      [](const NetworkOptions& o, partition::Range, std::uint64_t seed) {
        return std::make_shared<const DeepCleaning>(NetworkCleaning(read_digits(o), o, seed));
      }));
  out.push_back(entry<MultinomialOptions>(
      "multinomial",
      "one regularisation weight per feature and class of digits, chosen by validation",
      [](const auto&) { return std::int64_t{1}; },
      [](const MultinomialOptions& o, partition::Range, std::uint64_t) {
        return std::make_shared<const MultinomialSelection>(read_digits(o), o);
      }));
  out.push_back(entry<DenoisingOptions>(
      "denoising", "the parameters of total variation, learnt from clean and noisy images",
      [](const auto& o) { return o.count(); },
      [](const DenoisingOptions& o, partition::Range owned, std::uint64_t seed) {
        return std::make_shared<const Denoising>(
            TotalVariation(noisy_images(o, owned, seed), o, owned));
      }));
  out.push_back(entry<RankingOptions>(
      "ranking", "a scoring model for the top K of every user, thresholds below (MovieLens)",
      [](const auto& o) { return o.users; },
      [](const RankingOptions& o, partition::Range, std::uint64_t) {
        return std::make_shared<const Ranking>(read_movielens(o), o);
      }));
  out.push_back(entry<SvmOptions>(
      "svm", "penalties of a support-vector machine with its constraints, chosen by validation",
      [](const auto&) { return std::int64_t{1}; },
      [](const SvmOptions& o, partition::Range, std::uint64_t) {
        return std::make_shared<const SupportVector>(read_rows(data_path(o.data), true), o);
      }));
  return out;
}

std::vector<solve::MethodEntry> bilevel_methods() { return bilevel::methods(); }

}  // namespace equipoise::problems
