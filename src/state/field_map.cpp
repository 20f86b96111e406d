#include <equipoise/parallel/error.hpp>
#include <equipoise/state/field_map.hpp>

namespace equipoise::state {
namespace {

using Field = FieldMap::Field;

void store(Field& field, const std::vector<double>& data) { field.doubles = data; }
void store(Field& field, const std::vector<std::int64_t>& data) { field.integers = data; }

template <class T>
Field rectangle(const partition::Partition& rows, int part, std::int64_t width,
                const std::vector<T>& data) {
  Field field{std::is_integral_v<T>, true, rows.range(part), rows.size(), width, {}, {}, {}};
  store(field, data);
  return field;
}

template <class T>
Field list(const std::vector<T>& data) {
  const auto length = static_cast<std::int64_t>(data.size());
  Field field{std::is_integral_v<T>, false, {0, length}, length, 1, {}, {}, {}};
  store(field, data);
  return field;
}

template <class T>
Field nested(const partition::Partition& items, int part,
             const std::vector<std::vector<T>>& lists) {
  std::vector<T> data;
  std::vector<std::int64_t> offsets = {0};
  for (const auto& one : lists) {
    data.insert(data.end(), one.begin(), one.end());
    offsets.push_back(static_cast<std::int64_t>(data.size()));
  }
  Field field = rectangle(items, part, 1, data);
  field.offsets = std::move(offsets);
  return field;
}

}  // namespace

const Field& FieldMap::at(std::string_view name) const {
  const auto found = fields_.find(name);
  if (found != fields_.end()) return found->second;
  std::string known;
  for (const auto& [key, field] : fields_) known += (known.empty() ? "" : ", ") + key;
  throw InputError("there is no field `{}`; there are: {}", name, known.empty() ? "none" : known);
}

std::span<const double> FieldMap::doubles(std::string_view name) const {
  const Field& field = at(name);
  if (field.integer) throw InputError("field `{}` holds integers, doubles are expected", name);
  return field.doubles;
}

std::span<const std::int64_t> FieldMap::integers(std::string_view name) const {
  const Field& field = at(name);
  if (!field.integer) throw InputError("field `{}` holds doubles, integers are expected", name);
  return field.integers;
}

double FieldMap::number(std::string_view name) const {
  const Field& field = at(name);
  if (field.integers.size() + field.doubles.size() != 1) {
    throw InputError("field `{}` is no single number", name);
  }
  return field.integer ? static_cast<double>(field.integers[0]) : field.doubles[0];
}

void FieldMap::scalar(std::string_view name, double& value) {
  fields_[std::string(name)] = list(std::vector<double>{value});
}
void FieldMap::scalar(std::string_view name, std::int64_t& value) {
  fields_[std::string(name)] = list(std::vector<std::int64_t>{value});
}
void FieldMap::replicated(std::string_view name, std::vector<double>& data) {
  fields_[std::string(name)] = list(data);
}
void FieldMap::replicated(std::string_view name, std::vector<std::int64_t>& data) {
  fields_[std::string(name)] = list(data);
}
void FieldMap::partitioned(std::string_view name, const partition::Partition& rows, int part,
                           std::int64_t width, std::vector<double>& data) {
  fields_[std::string(name)] = rectangle(rows, part, width, data);
}
void FieldMap::partitioned(std::string_view name, const partition::Partition& rows, int part,
                           std::int64_t width, std::vector<std::int64_t>& data) {
  fields_[std::string(name)] = rectangle(rows, part, width, data);
}
void FieldMap::ragged(std::string_view name, const partition::Partition& items, int part,
                      std::vector<std::vector<double>>& lists) {
  fields_[std::string(name)] = nested(items, part, lists);
}
void FieldMap::ragged(std::string_view name, const partition::Partition& items, int part,
                      std::vector<std::vector<std::int64_t>>& lists) {
  fields_[std::string(name)] = nested(items, part, lists);
}

}  // namespace equipoise::state
