// Protocol buffers, as far as reading a file needs them: one field of a message after the other, without a
// schema (https://protobuf.dev/programming-guides/encoding).
#pragma once

#include <cstdint>
#include <string_view>

namespace lowbit {

enum class WireType : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// Walks the fields of one message in the order of the file. A field that a later one repeats is handed out
// twice: for single values the last one counts, as everywhere with this format.
//
//   for (ProtobufReader reader(bytes, "tokenizer.model"); reader.Next();) {
//     if (reader.Is(2, WireType::kBytes)) ... reader.bytes() ...
//   }
class ProtobufReader {
 public:
  // `message` must outlive the reader; `where` names the file in messages and must too.
  ProtobufReader(std::string_view message, std::string_view where) : rest_(message), where_(where) {}

  // Moves to the next field; false at the end. Throws Error naming the file when a field is cut, has a number
  // of more than 64 bits, or is of a wire type that is not in use any more (groups).
  bool Next();

  bool Is(uint64_t field, WireType type) const { return field_ == field && type_ == type; }
  // Varint and fixed fields: the value, fixed32 in the lower half.
  uint64_t number() const { return number_; }
  float AsFloat() const;  // of a fixed32 field
  // Length-delimited fields: the bytes, a part of the message.
  std::string_view bytes() const { return bytes_; }
  // What comes after the field: says where in the message the field ends.
  std::string_view rest() const { return rest_; }

 private:
  uint64_t Varint();
  uint64_t Fixed(size_t size);
  std::string_view Take(uint64_t size);

  std::string_view rest_, where_, bytes_;
  uint64_t field_ = 0, number_ = 0;
  WireType type_ = WireType::kVarint;
};

}  // namespace lowbit
