#include <equipoise/bilevel/method.hpp>
#include <equipoise/bilevel/sampler.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace equipoise::bilevel {

MethodBase::MethodBase(const Setup& setup, const compress::MeanSetting& exchange,
                       std::string_view name, std::span<const std::string_view> calls)
    : blocks_((setup.oracle.need(name, calls), setup.comm), setup.oracle, setup.classes),
      oracle_(setup.oracle),
      exchange_(blocks_, setup.oracle.dim_outer(), exchange),
      seed_(setup.seed),
      x_(static_cast<std::size_t>(setup.oracle.dim_outer())),
      y_(blocks_.zeros()) {
  setup.oracle.start(x_);
  setup.oracle.proj_x(x_);
  for (std::int64_t i = blocks_.owned().begin; i < blocks_.owned().end; ++i) {
    setup.oracle.start_inner(i, blocks_.of(y_, i));
  }
}

void MethodBase::solution(state::FieldVisitor& visit) {
  visit.replicated("x", x_);
  auto y = inner();
  block_field(visit, "y", y);
}

void MethodBase::block_field(state::FieldVisitor& visit, std::string_view name,
                             std::vector<double>& data) {
  visit.partitioned(name, blocks_.entries(), blocks_.comm().rank(), 1, data);
}

void MethodBase::row_field(state::FieldVisitor& visit, std::string_view name, std::int64_t width,
                           std::vector<double>& data) {
  visit.partitioned(name, blocks_.over_ranks(), blocks_.comm().rank(), width, data);
}

void MethodBase::base_fields(state::FieldVisitor& visit) {
  visit.scalar("iteration", iteration_);
  visit.replicated("x", x_);
  block_field(visit, "y", y_);
  visit.scalar("report/residual", report_.residual);
  visit.scalar("report/objective", report_.objective);
  exchange_.channel().fields(visit);
  if (!evaluator_) return;
  auto& engine = *evaluator_;
  block_field(visit, "evaluation/y", engine.y);
  block_field(visit, "evaluation/q", engine.q);
  row_field(visit, "evaluation/constants", Implicit::width, engine.implicit.constants());
  if (engine.implicit.kept_width() > 0)
    row_field(visit, "evaluation/kept", engine.implicit.kept_width(), engine.implicit.kept());
}

void MethodBase::evaluates(std::int64_t every) {
  const OracleView& view = oracle_.view();
  std::vector<double> p(x_.size());
  double value = 0.0;
  if (every == 0 || !view.has("hvp_yy_g") || !view.has("jvp_xy_g") || view.exact(x_, p, value))
    return;
  evaluator_ = std::make_unique<Evaluator>(blocks_, view, y_);
}

void MethodBase::evaluate() {
  report_.fresh = true;
  std::vector<double> p(x_.size());
  double value = 0.0;
  if (oracle_.view().exact(x_, p, value)) {
    report_.residual = norm(p);
    report_.objective = value;
    return;
  }
  if (!evaluator_) return;
  auto& engine = *evaluator_;
  // One of many local minima is the one that the method is near to.
  const bool convex = oracle_.view().lower_convex();
  if (!convex) engine.y = inner();
  const auto result = engine.implicit.gradient(x_, engine.y, engine.q, convex ? 1e-9 : 1e-5,
                                               convex ? 1e-10 : 1e-6, p);
  report_.residual = result.norm;
  report_.objective = result.value;
}

void MethodBase::require_batches(std::int64_t batch) const {
  for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i) {
    const auto most = std::max(oracle_.view().num_samples(i, Level::lower),
                               oracle_.view().num_samples(i, Level::upper));
    if (batch > most) {
      throw ConfigurationError("method.batch = {}: block {} has only {} samples", batch, i, most);
    }
  }
}

void MethodBase::draw_batch(std::int64_t i, Level level, std::int64_t batch, std::int64_t round,
                            std::vector<std::int64_t>& out) const {
  out.clear();
  const auto n = oracle_.view().num_samples(i, level);
  if (batch == 0 || batch >= n) return;
  const parallel::Draw draw(seed_, parallel::Purpose::batch, iteration_,
                            2 * i + (level == Level::upper ? 1 : 0));
  sample_without_replacement(n, batch, draw, static_cast<std::uint64_t>(round * batch), out);
}

bool MethodBase::failed_block(std::int64_t block) {
  const std::int64_t none = std::numeric_limits<std::int64_t>::max();
  const std::int64_t first = blocks_.comm().min(block < 0 ? none : block);
  if (first == none) return false;
  report_.failed = true;
  report_.message = fmt::format(
      "block {}: its directions left the finite numbers at iteration {}; take smaller steps, or "
      "look at the data "
      "of this block",
      first, iteration_);
  return true;
}

void ExchangeOptions::describe(state::OptionVisitor& visit) {
  visit.option("codec", codec, "compressor of the hypergradient (classes of blocks to owners)");
  visit.option("server_codec", server_codec, "compressor of the mean (owners to all)");
  visit.option("error_feedback", error_feedback,
               "keep what the codec drops and add it to the next message");
}

compress::MeanSetting ExchangeOptions::setting(std::uint64_t seed) const {
  compress::MeanSetting setting;
  setting.codec = codec;
  setting.server_codec = server_codec;
  setting.error_feedback = error_feedback;
  setting.seed = seed;
  return setting;
}

}  // namespace equipoise::bilevel
