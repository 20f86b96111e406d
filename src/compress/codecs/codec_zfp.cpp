#include "codec_support.hpp"

#include <zfp.h>

// zfp, one stream per chunk. Lindstrom, Fixed-rate compressed floating-point arrays (2014).
namespace equipoise::compress::detail {
namespace {

/// Owns the three handles of one zfp job over n values in `buffer`.
class Job {
 public:
  Job(double* values, std::int64_t n, std::vector<std::uint64_t>& buffer)
      : field_(zfp_field_1d(values, zfp_type_double, static_cast<std::size_t>(n))),
        stream_(zfp_stream_open(nullptr)),
        buffer_(buffer) {}
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  ~Job() {
    if (bits_ != nullptr) stream_close(bits_);
    zfp_stream_close(stream_);
    zfp_field_free(field_);
  }
  [[nodiscard]] zfp_stream* stream() { return stream_; }
  [[nodiscard]] std::size_t room() { return zfp_stream_maximum_size(stream_, field_); }
  /// Points the stream at the buffer, grown to what this job may touch.
  void open() {
    buffer_.resize(std::max(buffer_.size(), room() / 8 + 1));
    bits_ = stream_open(buffer_.data(), 8 * buffer_.size());
    zfp_stream_set_bit_stream(stream_, bits_);
    zfp_stream_rewind(stream_);
  }
  std::size_t compress() { return zfp_compress(stream_, field_); }
  bool decompress() { return zfp_decompress(stream_, field_) != 0; }

 private:
  zfp_field* field_;
  zfp_stream* stream_;
  bitstream* bits_ = nullptr;
  std::vector<std::uint64_t>& buffer_;
};

/// Every chunk: its length as four bytes, then its stream; length 0 marks a chunk with a NaN or
/// Inf.
class Zfp final : public Codec {
 public:
  Zfp(bool fixed_rate, double parameter) : fixed_rate_(fixed_rate), parameter_(parameter) {}

  [[nodiscard]] std::string name() const override {
    return fmt::format("zfp-{}:{}", fixed_rate_ ? "rate" : "accuracy", parameter_);
  }

  [[nodiscard]] Descriptor describe(std::int64_t, std::int64_t) const override {
    Descriptor result;
    result.kind = fixed_rate_ ? Descriptor::Kind::contractive : Descriptor::Kind::absolute;
    result.q = result.omega = result.alpha = result.delta = Descriptor::unknown;
    result.collection_a = result.collection_b = Descriptor::unknown;
    result.beta = fixed_rate_ ? 64.0 / parameter_ : Descriptor::unknown;
    result.needs_error_feedback = true;
    return result;
  }

  void encode(std::span<const double> v, const Selection&, Range range,
              const partition::Partition& chunks, const parallel::Draw&,
              std::vector<std::byte>& out) const override {
    std::vector<std::uint64_t> buffer;
    std::vector<double> values;
    for_each_chunk(range, chunks, [&](Range chunk) {
      values.assign(v.begin() + chunk.begin, v.begin() + chunk.end);
      std::uint32_t size = 0;
      if (all_finite(values)) {
        Job job(values.data(), chunk.size(), buffer);
        configure(job);
        job.open();
        size = static_cast<std::uint32_t>(job.compress());
      }
      append(out, &size, 1);
      append(out, reinterpret_cast<const std::byte*>(buffer.data()), size);
    });
  }

  void decode_add(std::span<const std::byte> in, Range range, const partition::Partition& chunks,
                  const parallel::Draw&, std::int64_t, double weight,
                  std::span<double> out) const override {
    Reader reader{in};
    std::vector<std::uint64_t> buffer;
    std::vector<double> values;
    for_each_chunk(range, chunks, [&](Range chunk) {
      const auto size = load<std::uint32_t>(reader.take(4).data());
      const auto packed = reader.take(size);
      values.assign(static_cast<std::size_t>(chunk.size()),
                    std::numeric_limits<double>::quiet_NaN());
      if (size > 0) {
        Job job(values.data(), chunk.size(), buffer);
        configure(job);
        if (packed.size() > job.room())
          throw WireError("{} bytes are too many for a chunk", packed.size());
        // The decoder trusts its input: what it may read beyond a damaged stream must be ours, and
        // zero.
        buffer.assign(job.room() / 8 + 1, 0);
        std::memcpy(buffer.data(), packed.data(), packed.size());
        job.open();
        if (!job.decompress()) throw WireError("a chunk does not decode");
      }
      for (std::int64_t i = 0; i < chunk.size(); ++i)
        out[static_cast<std::size_t>(chunk.begin - range.begin + i)] +=
            weight * finite_or_nan(values[static_cast<std::size_t>(i)]);
    });
    require_length(reader.in, 0);
  }

  [[nodiscard]] std::optional<std::int64_t> bytes(Range, const partition::Partition&,
                                                  const parallel::Draw&,
                                                  std::int64_t) const override {
    return std::nullopt;
  }

 private:
  void configure(Job& job) const {
    if (fixed_rate_) {
      zfp_stream_set_rate(job.stream(), parameter_, zfp_type_double, 1, zfp_false);
    } else {
      zfp_stream_set_accuracy(job.stream(), parameter_);
    }
  }

  bool fixed_rate_;
  double parameter_;
};

}  // namespace

CodecPointer make_zfp_rate(double bits) { return std::make_shared<Zfp>(true, bits); }
CodecPointer make_zfp_accuracy(double tolerance) { return std::make_shared<Zfp>(false, tolerance); }

}  // namespace equipoise::compress::detail
