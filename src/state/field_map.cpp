#include <equipoise/parallel/error.hpp>
#include <equipoise/state/field_map.hpp>

#include <map>
#include <utility>
#include <variant>

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

namespace {

using Value =
    std::variant<double, std::int64_t, std::vector<double>, std::vector<std::int64_t>,
                 std::vector<std::vector<double>>, std::vector<std::vector<std::int64_t>>>;
using Values = std::map<std::string, Value, std::less<>>;

/// Takes fields out of one object (`giving`) or puts them into another.
class Mover final : public FieldVisitor {
 public:
  Mover(Values& values, bool giving) : values_(values), giving_(giving) {}
  using Rows = partition::Partition;
  void scalar(std::string_view name, double& value) override { pass(name, value); }
  void scalar(std::string_view name, std::int64_t& value) override { pass(name, value); }
  void replicated(std::string_view name, std::vector<double>& data) override { pass(name, data); }
  void replicated(std::string_view name, std::vector<std::int64_t>& data) override {
    pass(name, data);
  }
  void partitioned(std::string_view name, const Rows&, int, std::int64_t,
                   std::vector<double>& data) override {
    pass(name, data);
  }
  void partitioned(std::string_view name, const Rows&, int, std::int64_t,
                   std::vector<std::int64_t>& data) override {
    pass(name, data);
  }
  void ragged(std::string_view name, const Rows&, int,
              std::vector<std::vector<double>>& lists) override {
    pass(name, lists);
  }
  void ragged(std::string_view name, const Rows&, int,
              std::vector<std::vector<std::int64_t>>& lists) override {
    pass(name, lists);
  }

 private:
  template <class T>
  void pass(std::string_view name, T& data) {
    if (giving_) {
      values_.insert_or_assign(std::string(name), Value(std::move(data)));
      return;
    }
    const auto found = values_.find(name);
    T* value = found == values_.end() ? nullptr : std::get_if<T>(&found->second);
    if (value == nullptr) throw InputError("the solution has no field `{}` of this kind", name);
    data = std::move(*value);
  }
  Values& values_;
  bool giving_;
};

}  // namespace

void move_fields(Stateful& from, Stateful& to) {
  Values values;
  Mover take(values, true);
  from.fields(take);
  Mover put(values, false);
  to.fields(put);
}

}  // namespace equipoise::state
