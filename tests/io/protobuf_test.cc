#include "lowbit/io/protobuf.h"

#include <gtest/gtest.h>

#include <string>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

using namespace std::string_view_literals;

// Walks a message to its end.
size_t Fields(std::string_view message) {
  size_t fields = 0;
  for (ProtobufReader reader(message, "file"); reader.Next();) ++fields;
  return fields;
}

TEST(ProtobufReader, HandsOutEveryWireType) {
  // The encodings of protobuf's own documentation, and a nested message.
  ProtobufReader reader(
      "\x08\x96\x01"                                     // 1: 150
      "\x12\x07testing"                                  // 2: "testing"
      "\x1D\x00\x00\x80\xBF"                             // 3: -1.0f
      "\x21\x01\x00\x00\x00\x00\x00\x00\x80"             // 4: fixed64
      "\x10\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"sv,  // 2 again, as a varint: 2^64 - 1
      "file");
  ASSERT_TRUE(reader.Next());
  EXPECT_TRUE(reader.Is(1, WireType::kVarint));
  EXPECT_EQ(reader.number(), 150u);
  ASSERT_TRUE(reader.Next());
  EXPECT_TRUE(reader.Is(2, WireType::kBytes));
  EXPECT_EQ(reader.bytes(), "testing");
  EXPECT_EQ(reader.rest().substr(0, 1), "\x1D");
  ASSERT_TRUE(reader.Next());
  EXPECT_TRUE(reader.Is(3, WireType::kFixed32));
  EXPECT_EQ(reader.AsFloat(), -1.0f);
  ASSERT_TRUE(reader.Next());
  EXPECT_TRUE(reader.Is(4, WireType::kFixed64));
  EXPECT_EQ(reader.number(), 0x8000000000000001u);
  ASSERT_TRUE(reader.Next());
  EXPECT_TRUE(reader.Is(2, WireType::kVarint));
  EXPECT_FALSE(reader.Is(2, WireType::kBytes));
  EXPECT_EQ(reader.number(), ~uint64_t{0});
  EXPECT_FALSE(reader.Next());
}

TEST(ProtobufReader, RefusesWhatIsCutOrNoMessage) {
  EXPECT_EQ(Fields(""), 0u);
  EXPECT_THROW(Fields("\x08"), Error);                                          // a tag without its value
  EXPECT_THROW(Fields("\x08\x96"), Error);                                      // an endless varint
  EXPECT_THROW(Fields("\x12\x07test"), Error);                                  // fewer bytes than announced
  EXPECT_THROW(Fields("\x1D\x00\x00"sv), Error);                                // half a fixed32
  EXPECT_THROW(Fields("\x0B\x0C"), Error);                                      // a group
  EXPECT_THROW(Fields("\x08" + std::string(10, '\xFF') + "\x01"), Error);       // more than 64 bits
  EXPECT_THROW(Fields("\x12\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"), Error);  // a length of 2^64 - 1
}

}  // namespace
}  // namespace lowbit
