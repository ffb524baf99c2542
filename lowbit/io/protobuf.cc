#include "lowbit/io/protobuf.h"

#include <bit>

#include "lowbit/base/error.h"

namespace lowbit {

bool ProtobufReader::Next() {
  if (rest_.empty()) return false;
  const uint64_t tag = Varint();
  field_ = tag >> 3;
  type_ = static_cast<WireType>(tag & 7);
  number_ = 0;
  bytes_ = {};
  switch (type_) {
    case WireType::kVarint:
      number_ = Varint();
      return true;
    case WireType::kFixed64:
      number_ = Fixed(8);
      return true;
    case WireType::kBytes:
      bytes_ = Take(Varint());
      return true;
    case WireType::kFixed32:
      number_ = Fixed(4);
      return true;
  }
  Fail("{}: not a protocol buffer, or one with groups: field {} has wire type {}", where_, field_, tag & 7);
}

float ProtobufReader::AsFloat() const {
  return std::bit_cast<float>(static_cast<uint32_t>(number_));
}

uint64_t ProtobufReader::Varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const auto byte = static_cast<uint8_t>(Take(1)[0]);
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  Fail("{}: not a protocol buffer: a number of more than 64 bits", where_);
}

uint64_t ProtobufReader::Fixed(size_t size) {
  uint64_t value = 0;
  int shift = 0;
  for (const char c : Take(size)) {
    value |= static_cast<uint64_t>(static_cast<uint8_t>(c)) << shift;
    shift += 8;
  }
  return value;
}

std::string_view ProtobufReader::Take(uint64_t size) {
  if (size > rest_.size())
    Fail("{}: the file is cut: {} bytes of a field are missing", where_, size - rest_.size());
  const std::string_view part = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return part;
}

}  // namespace lowbit
