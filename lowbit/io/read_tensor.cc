#include "lowbit/io/read_tensor.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/io/ggml_type.h"

namespace lowbit {
namespace {

template <typename T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

// 1 sign, 4 exponent (bias 7), 3 mantissa bits; the all-ones pattern is NaN and there is no infinity.
float F8E4M3ToFloat(uint8_t bits) {
  const int exponent = (bits >> 3) & 15, mantissa = bits & 7;
  float value = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                              : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  if ((bits & 0x7f) == 0x7f) value = std::numeric_limits<float>::quiet_NaN();
  return (bits & 0x80) != 0 ? -value : value;
}

template <typename Stored, typename Convert>
void ConvertAll(const std::byte* from, std::span<float> out, Convert convert) {
  for (size_t i = 0; i < out.size(); ++i) out[i] = convert(Load<Stored>(from + i * sizeof(Stored)));
}

template <typename Stored>
void CastAll(const std::byte* from, std::span<float> out) {
  ConvertAll<Stored>(from, out, [](Stored value) { return static_cast<float>(value); });
}

template <typename Stored>
std::vector<int64_t> Widen(std::span<const std::byte> bytes) {
  std::vector<int64_t> out(bytes.size() / sizeof(Stored));
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<int64_t>(Load<Stored>(bytes.data() + i * sizeof(Stored)));
  return out;
}

void CheckPlain(const TensorSource& source, const std::string& name, const TensorView& view) {
  if (!std::holds_alternative<DType>(view.type)) {
    Fail("{}: tensor {} has the blocked type {}, a plain type is needed", source.Where(), name,
         NameOf(view.type));
  }
}

}  // namespace

void ReadFloats(const TensorView& view, int64_t first, std::span<float> out) {
  const auto* type = std::get_if<DType>(&view.type);
  if (type == nullptr) Fail("a tensor of blocked type {} is not read as plain values", NameOf(view.type));
  const int64_t available = static_cast<int64_t>(view.bytes.size() / SizeOf(*type));
  if (first < 0 || first > available || static_cast<int64_t>(out.size()) > available - first) {
    Fail("elements {} to {} of a tensor of {} asked for", first, first + static_cast<int64_t>(out.size()),
         available);
  }
  const std::byte* from = view.bytes.data() + static_cast<size_t>(first) * SizeOf(*type);
  switch (*type) {
    case DType::kF64:
      return CastAll<double>(from, out);
    case DType::kF32:
      if (!out.empty()) std::memcpy(out.data(), from, out.size_bytes());
      return;
    case DType::kF16:
      return ConvertAll<uint16_t>(from, out, F16ToFloat);
    case DType::kBF16:
      return ConvertAll<uint16_t>(from, out, BF16ToFloat);
    case DType::kF8E4M3:
      return ConvertAll<uint8_t>(from, out, F8E4M3ToFloat);
    case DType::kF8E5M2:  // the upper half of an f16
      return ConvertAll<uint8_t>(from, out,
                                 [](uint8_t b) { return F16ToFloat(static_cast<uint16_t>(b << 8)); });
    case DType::kI64:
      return CastAll<int64_t>(from, out);
    case DType::kI32:
      return CastAll<int32_t>(from, out);
    case DType::kI16:
      return CastAll<int16_t>(from, out);
    case DType::kI8:
      return CastAll<int8_t>(from, out);
    case DType::kU64:
      return CastAll<uint64_t>(from, out);
    case DType::kU32:
      return CastAll<uint32_t>(from, out);
    case DType::kU16:
      return CastAll<uint16_t>(from, out);
    case DType::kU8:
    case DType::kBool:
      return CastAll<uint8_t>(from, out);
  }
}

std::vector<float> ReadFloats(const TensorSource& source, const std::string& name) {
  const TensorView view = source.Get(name);
  CheckPlain(source, name, view);
  std::vector<float> out(static_cast<size_t>(view.elements()));
  ReadFloats(view, 0, out);
  return out;
}

std::vector<float> ReadFloatRows(const TensorSource& source, const std::string& name, int64_t first,
                                 int64_t count) {
  const TensorView view = source.Get(name);
  CheckPlain(source, name, view);
  const int64_t rows = view.shape.empty() ? 1 : view.shape.front();
  if (first < 0 || count < 0 || first > rows || count > rows - first) {
    Fail("{}: tensor {} has {} rows, rows {} to {} asked for", source.Where(), name, rows, first,
         first + count);
  }
  if (count == 0) return {};
  const int64_t row = view.elements() / rows;
  std::vector<float> out(static_cast<size_t>(count * row));
  ReadFloats(view, first * row, out);
  return out;
}

std::vector<int64_t> ReadIntegers(const TensorSource& source, const std::string& name) {
  const TensorView view = source.Get(name);
  CheckPlain(source, name, view);
  switch (std::get<DType>(view.type)) {
    case DType::kI64:
      return Widen<int64_t>(view.bytes);
    case DType::kI32:
      return Widen<int32_t>(view.bytes);
    case DType::kI16:
      return Widen<int16_t>(view.bytes);
    case DType::kI8:
      return Widen<int8_t>(view.bytes);
    case DType::kU32:
      return Widen<uint32_t>(view.bytes);
    case DType::kU16:
      return Widen<uint16_t>(view.bytes);
    case DType::kU8:
    case DType::kBool:
      return Widen<uint8_t>(view.bytes);
    case DType::kU64: {
      std::vector<int64_t> out = Widen<uint64_t>(view.bytes);
      for (int64_t value : out) {
        if (value < 0) Fail("{}: tensor {} has a value past 2^63 - 1", source.Where(), name);
      }
      return out;
    }
    default:
      Fail("{}: tensor {} has type {}, integers are needed", source.Where(), name, NameOf(view.type));
  }
}

}  // namespace lowbit
