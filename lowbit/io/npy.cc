#include "lowbit/io/npy.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"
#include "lowbit/io/byte_cursor.h"

namespace lowbit {
namespace {

// What follows `'key':` in the header's dictionary, blanks skipped.
std::string_view ValueOf(std::string_view header, std::string_view key, const std::string& name) {
  const std::string quoted = "'" + std::string(key) + "'";
  size_t at = header.find(quoted);
  if (at != std::string_view::npos) at = header.find(':', at + quoted.size());
  if (at == std::string_view::npos) Fail("{}: its NumPy header has no {}", name, quoted);
  at = header.find_first_not_of(' ', at + 1);
  if (at == std::string_view::npos) Fail("{}: its NumPy header ends after {}", name, quoted);
  return header.substr(at);
}

template <typename T>
T Load(const NpyArray& array, int64_t i) {
  T value;
  std::memcpy(&value, array.data.data() + static_cast<size_t>(i) * sizeof(T), sizeof(T));
  return value;
}

}  // namespace

int64_t NpyArray::entries() const {
  int64_t n = 1;
  for (const int64_t size : shape) n *= size;
  return n;
}

NpyArray ParseNpy(std::span<const std::byte> bytes, const std::string& name) {
  ByteCursor cursor(bytes, name);
  if (cursor.ReadText(6, "the NumPy signature") != "\x93NUMPY") Fail("{}: is no NumPy file", name);
  const auto major = cursor.Read<uint8_t>("the version");
  cursor.Read<uint8_t>("the version");
  if (major < 1 || major > 3) Fail("{}: NumPy format {}; 1 to 3 are read", name, major);
  const uint64_t size =
      major == 1 ? cursor.Read<uint16_t>("the header's size") : cursor.Read<uint32_t>("the header's size");
  const std::string header = cursor.ReadText(size, "the NumPy header");

  NpyArray array;
  const std::string_view descr = ValueOf(header, "descr", name);
  if (descr.size() < 5 || descr[0] != '\'' || descr[4] != '\'')
    Fail("{}: entries of a structured or unknown type; floats or integers are read", name);
  array.type = std::string(descr.substr(2, 2));
  const char order = descr[1], width = descr[3];
  if (order == '>') Fail("{}: big-endian entries; save it little-endian", name);
  if ((width != '1' && width != '2' && width != '4' && width != '8') || (order != '<' && order != '|'))
    Fail("{}: entries of type {}; floats or integers are read", name, descr.substr(1, 3));
  if (!ValueOf(header, "fortran_order", name).starts_with("False"))
    Fail("{}: is in Fortran order; save it with numpy.ascontiguousarray", name);
  std::string_view shape = ValueOf(header, "shape", name);
  if (shape[0] != '(') Fail("{}: its NumPy header states no shape", name);
  int64_t value = -1, entries = 1;
  for (const char c : shape.substr(1)) {
    if (c >= '0' && c <= '9') {
      value = (value < 0 ? 0 : value) * 10 + (c - '0');
      if (value > int64_t{1} << 40) Fail("{}: a dimension of its shape is too large", name);
      continue;
    }
    if (value >= 0) {
      if (value != 0 && entries > (int64_t{1} << 46) / value) Fail("{}: its shape is too large", name);
      entries *= value;
      array.shape.push_back(value);
      value = -1;
    }
    if (c == ')') break;
  }
  array.data = cursor.Take(static_cast<uint64_t>(entries * array.entry_bytes()), "the array");
  if (cursor.left() != 0) Fail("{}: {} bytes follow the array", name, cursor.left());
  return array;
}

void ReadNpyFloats(const NpyArray& array, int64_t first, std::span<float> to, const std::string& name) {
  const auto n = static_cast<int64_t>(to.size());
  if (first < 0 || first + n > array.entries())
    Fail("{}: entries {} to {} of {}", name, first, first + n, array.entries());
  const auto fill = [&](auto read) {
    for (int64_t i = 0; i < n; ++i) to[static_cast<size_t>(i)] = read(first + i);
  };
  if (array.type == "f4") return fill([&](int64_t i) { return Load<float>(array, i); });
  if (array.type == "f2") return fill([&](int64_t i) { return F16ToFloat(Load<uint16_t>(array, i)); });
  if (array.type == "f8") return fill([&](int64_t i) { return static_cast<float>(Load<double>(array, i)); });
  if (array.type == "u1") return fill([&](int64_t i) { return static_cast<float>(Load<uint8_t>(array, i)); });
  if (array.type == "i1") return fill([&](int64_t i) { return static_cast<float>(Load<int8_t>(array, i)); });
  Fail("{}: entries of type {}; vectors are f2, f4, f8, u1 or i1", name, array.type);
}

std::vector<int64_t> ReadNpyIntegers(const NpyArray& array, const std::string& name) {
  std::vector<int64_t> values(static_cast<size_t>(array.entries()));
  const auto fill = [&](auto read) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = read(static_cast<int64_t>(i));
  };
  if (array.type == "i8" || array.type == "u8") {
    fill([&](int64_t i) { return Load<int64_t>(array, i); });
  } else if (array.type == "i4") {
    fill([&](int64_t i) { return Load<int32_t>(array, i); });
  } else if (array.type == "u4") {
    fill([&](int64_t i) { return Load<uint32_t>(array, i); });
  } else {
    Fail("{}: entries of type {}; ids are i4, u4 or i8", name, array.type);
  }
  return values;
}

std::string NpyHeader(const std::string& type, const std::vector<int64_t>& shape) {
  std::string sizes;
  for (const int64_t size : shape) sizes += fmt::format("{},", size);
  std::string header =
      fmt::format("{{'descr': '<{}', 'fortran_order': False, 'shape': ({}), }}", type, sizes);
  constexpr size_t kBefore = 10;  // signature, version, size
  while ((kBefore + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string text = "\x93NUMPY";
  text += {'\x01', '\x00', static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  return text + header;
}

}  // namespace lowbit
