#include "similarity.hpp"

#include <equipoise/linalg/kernels.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace equipoise::vi {

Similarity estimate_similarity(Evaluation& f, std::span<const double> z) {
  Similarity s;
  std::vector<double> first(z.size());
  s.surrogate = power_iteration(
      f, z, 10, [&](std::span<const double> at, std::span<double> out) { f.surrogate(at, out); });
  const Constants known = f.problem().constants();
  if (known.similarity_max > 0.0 && known.similarity_rms > 0.0) {
    s.max = known.similarity_max;
    s.rms = known.similarity_rms;
    return s;
  }
  std::vector<double> by_agent(static_cast<std::size_t>(f.hosted().size()));
  for (std::size_t a = 0; a < by_agent.size(); ++a) {
    const std::int64_t agent = f.hosted().begin + static_cast<std::int64_t>(a);
    by_agent[a] = power_iteration(f, z, 10, [&](std::span<const double> at, std::span<double> out) {
      f.agent(agent, at, out);
      f.surrogate(at, first);
      linalg::add_scaled(out, -1.0, first, out);
    });
  }
  const std::vector<double> all = f.gather(by_agent);
  double sum = 0.0;
  for (std::size_t m = 0; m < all.size(); ++m) {
    s.max = std::max(s.max, all[m]);
    sum += f.problem().weight(static_cast<std::int64_t>(m)) * all[m] * all[m];
  }
  s.rms = std::sqrt(sum);
  return s;
}

void subtract_from_rows(std::span<const double> first, std::span<double> rows) {
  for (std::size_t begin = 0; begin < rows.size(); begin += first.size()) {
    const auto row = rows.subspan(begin, first.size());
    linalg::add_scaled(row, -1.0, first, row);
  }
}

std::string refuse_without_surrogate(const ProblemView& problem, const std::string& method) {
  if (problem.partitioned()) return refuse_partitioned(problem, method);
  if (!problem.has_surrogate()) {
    return method +
           " solves subproblems with a sample of the data that every rank holds, and this problem "
           "offers no surrogate(z, out); use masha1 or optimistic-masha";
  }
  return "";
}

Resolvent::Resolvent(Evaluation& f, double lipschitz)
    : f_(f),
      lipschitz_(lipschitz),
      anderson_(f.size(), f.size() > 20'000 ? 4 : 10),
      image_(f.size()),
      residual_(f.size()),
      best_(f.size()),
      other_(f.size()) {}

/// image = prox(z - tau H(z)), residual = image - z; returns norm(residual) / tau.
double Resolvent::forward_backward(std::span<const double> z, std::span<const double> first) {
  const std::size_t n = z.size();
  for (std::size_t i = 0; i < n; ++i) image_[i] = z[i] - tau_ * (z[i] - x_[i] + eta_ * first[i]);
  f_.prox(tau_ * eta_, image_);
  linalg::add_scaled(image_, -1.0, z, residual_);
  return std::sqrt(linalg::dot(residual_, residual_)) / tau_;
}

/// z := prox(z - tau H(image)), with a tau that the difference of H between z and its image allows.
void Resolvent::extragradient(std::span<double> z, std::span<double> first) {
  const std::size_t n = z.size();
  for (int attempt = 0; attempt < 60; ++attempt) {
    f_.surrogate(image_, other_);
    // H(image) - H(z) = residual + eta (F_1(image) - F_1(z)).
    const double changed = std::sqrt(linalg::detail::fixed_order_sum(n, [&](std::size_t i) {
      const double t = residual_[i] + eta_ * (other_[i] - first[i]);
      return t * t;
    }));
    const double moved = std::sqrt(linalg::dot(residual_, residual_));
    if (!(tau_ * changed > 0.9 * moved)) break;
    tau_ *= 0.5;
    forward_backward(z, first);
  }
  for (std::size_t i = 0; i < n; ++i) {
    z[i] -= tau_ * (image_[i] - x_[i] + eta_ * other_[i]);
  }
  f_.prox(tau_ * eta_, z);
}

void Resolvent::solve(double eta, std::span<const double> x, double tolerance, std::span<double> z,
                      std::span<double> first) {
  if (eta == eta_) {
    anderson_.shift();
  } else {
    anderson_.clear();
  }
  eta_ = eta;
  x_ = x;
  tau_ = 0.9 / (1.0 + eta * lipschitz_);
  double wanted = 0.0;
  double best = std::numeric_limits<double>::infinity();
  bool recycled = !anderson_.empty();
  int plain = 0;  // extragradient steps to take before the next extrapolation
  int plain_next = 10;
  for (int round = 0; round < 1000; ++round) {
    if (round > 0) f_.surrogate(z, first);
    const double size = forward_backward(z, first);
    if (round == 0) wanted = tolerance * size;
    if (size <= wanted || std::isnan(size)) return finish(z, first);
    if (size < best) {
      best = size;
      std::copy(z.begin(), z.end(), best_.begin());
    } else if (plain == 0 && size > 2.0 * best) {
      std::copy(best_.begin(), best_.end(), z.begin());
      f_.surrogate(z, first);
      forward_backward(z, first);
      anderson_.clear();
      if (!recycled) {
        plain = plain_next;
        plain_next *= 2;
      }
      recycled = false;
    }
    if (plain > 0) {
      --plain;
      extragradient(z, first);
    } else {
      anderson_.propose(z, residual_, z);
      f_.prox(0.0, z);
    }
  }
  std::copy(best_.begin(), best_.end(), z.begin());
  f_.surrogate(z, first);
}

/// Where there is a prox, its image is the better point: it lies on the faces that the prox finds.
void Resolvent::finish(std::span<double> z, std::span<double> first) {
  if (!f_.problem().constrained()) return;
  std::copy(image_.begin(), image_.end(), z.begin());
  f_.surrogate(z, first);
}

void Resolvent::fields(state::FieldVisitor& visit) {
  visit.scalar("resolvent/eta", eta_);
  anderson_.fields(visit, "resolvent");
}

}  // namespace equipoise::vi
