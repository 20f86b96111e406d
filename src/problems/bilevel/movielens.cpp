// Users, items and features of the ranking problem from MovieLens files.
#include <equipoise/formats/number.hpp>
#include <equipoise/formats/text_file.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/bilevel/ranking.hpp>
#include <equipoise/problems/bilevel/rows.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace equipoise::problems {
namespace {

struct Rating {
  std::int64_t movie = 0;
  double stars = 0.0;
};

[[noreturn]] void refuse(const std::string& path, std::int64_t line, std::string_view what) {
  throw InputError("{}:{}: {}", path, line, what);
}

/// userId,movieId,rating,timestamp -> ratings by user.
std::map<std::int64_t, std::vector<Rating>> read_ratings(const std::string& path) {
  const std::string text = formats::open_text(path);
  formats::LineScanner lines(text);
  std::map<std::int64_t, std::vector<Rating>> out;
  if (!lines.next() || !lines.line().starts_with("userId,movieId,rating"))
    refuse(path, 1, "the first line must be userId,movieId,rating,...");
  while (lines.next()) {
    const auto line = lines.line();
    if (line.empty()) continue;
    const char* const end = line.data() + line.size();
    std::int64_t user = 0;
    Rating rating;
    const char* at = formats::parse_integer(line.data(), end, user);
    if (!at || at == end || *at != ',') refuse(path, lines.number(), "no user number");
    at = formats::parse_integer(at + 1, end, rating.movie);
    if (!at || at == end || *at != ',') refuse(path, lines.number(), "no movie number");
    at = formats::parse_number(at + 1, end, rating.stars);
    if (!at || !(rating.stars >= 0.0 && rating.stars <= 5.0))
      refuse(path, lines.number(), "no rating between 0 and 5");
    out[user].push_back(rating);
  }
  return out;
}

/// movieId,title,genre|genre: the text behind the last comma (titles may hold quoted commas).
std::map<std::int64_t, std::vector<std::string>> read_genres(const std::string& path) {
  const std::string text = formats::open_text(path);
  formats::LineScanner lines(text);
  std::map<std::int64_t, std::vector<std::string>> out;
  if (!lines.next() || !lines.line().starts_with("movieId,"))
    refuse(path, 1, "the first line must be movieId,title,genres");
  while (lines.next()) {
    const auto line = lines.line();
    if (line.empty()) continue;
    std::int64_t movie = 0;
    if (!formats::parse_integer(line.data(), line.data() + line.size(), movie))
      refuse(path, lines.number(), "no movie number");
    auto rest = line.substr(line.rfind(',') + 1);
    auto& genres = out[movie];
    while (!rest.empty()) {
      const auto bar = rest.find('|');
      genres.emplace_back(rest.substr(0, bar));
      rest = bar == std::string_view::npos ? std::string_view{} : rest.substr(bar + 1);
    }
  }
  return out;
}

/// How often and how well others rated a movie.
struct Crowd {
  double count = 0.0, sum = 0.0;
};

/// Mean 0 and variance 1 of every feature over all rows; constant ones become 0.
void standardise(RankingData& data) {
  const auto d = static_cast<std::size_t>(data.features);
  std::vector<double> mean(d), square(d);
  double rows = 0.0;
  for (const auto& user : data.users) rows += static_cast<double>(user.gains.size());
  const auto visit = [&](auto work) {
    for (auto& user : data.users) {
      for (std::size_t e = 0; e < user.features.size(); ++e) work(user.features[e], e % d);
    }
  };
  visit([&](double& entry, std::size_t k) { mean[k] += entry / rows; });
  visit([&](double& entry, std::size_t k) {
    square[k] += (entry - mean[k]) * (entry - mean[k]) / rows;
  });
  visit([&](double& entry, std::size_t k) {
    entry = square[k] > 1e-12 ? (entry - mean[k]) / std::sqrt(square[k]) : 0.0;
  });
}

}  // namespace

RankingData read_movielens(const RankingOptions& options) {
  const std::string ratings_path = data_path(options.ratings);
  const auto ratings = read_ratings(ratings_path);
  const auto genres = read_genres(data_path(options.movies));
  std::set<std::string> names;
  for (const auto& [movie, list] : genres) names.insert(list.begin(), list.end());
  std::map<std::int64_t, Crowd> crowd;
  std::vector<std::pair<std::int64_t, std::int64_t>> order;  // fewer ratings last, then by number
  for (const auto& [user, list] : ratings) {
    order.emplace_back(-std::ssize(list), user);
    for (const auto& rating : list) {
      crowd[rating.movie].count += 1.0;
      crowd[rating.movie].sum += rating.stars;
    }
  }
  if (std::ssize(order) < options.users) {
    throw ConfigurationError("problem.users = {}: {} holds {} users", options.users, ratings_path,
                             order.size());
  }
  std::sort(order.begin(), order.end());
  RankingData data;
  data.features = static_cast<std::int64_t>(names.size()) + 3;
  const std::vector<std::string> none;
  for (std::int64_t u = 0; u < options.users; ++u) {
    auto list = ratings.at(order[static_cast<std::size_t>(u)].second);
    std::map<std::string, Crowd> taste;
    const auto genres_of = [&](std::int64_t movie) -> const std::vector<std::string>& {
      const auto found = genres.find(movie);
      return found == genres.end() ? none : found->second;
    };
    double stars = 0.0;
    for (const auto& rating : list) {
      stars += rating.stars / static_cast<double>(list.size());
      for (const auto& genre : genres_of(rating.movie)) {
        taste[genre].count += 1.0;
        taste[genre].sum += rating.stars;
      }
    }
    // Every so many-th of the user's ratings, in the file's order.
    const auto whole = std::ssize(list), kept = std::min(whole, options.items);
    RatedItems one;
    for (std::int64_t k = 0; k < kept; ++k) {
      const Rating& rating = list[static_cast<std::size_t>(k * whole / kept)];
      const auto& own = genres_of(rating.movie);
      double liking = 0.0;
      for (const auto& name : names) {
        const bool has = std::find(own.begin(), own.end(), name) != own.end();
        one.features.push_back(has ? 1.0 : 0.0);
        // The user's mean rating of the genre without this one.
        const Crowd& t = taste[name];
        if (has) {
          liking += t.count > 1.0 ? (t.sum - rating.stars) / (t.count - 1.0) - stars : 0.0;
        }
      }
      one.features.push_back(own.empty() ? 0.0 : liking / static_cast<double>(own.size()));
      const Crowd& others = crowd[rating.movie];
      const double count = others.count - 1.0;
      one.features.push_back(std::log1p(count));
      // A mean over others, drawn to 3.5 by five ratings of nobody.
      one.features.push_back((others.sum - rating.stars + 5.0 * 3.5) / (count + 5.0));
      one.gains.push_back(std::exp2(rating.stars) - 1.0);
    }
    data.users.push_back(std::move(one));
  }
  standardise(data);
  return data;
}

}  // namespace equipoise::problems
