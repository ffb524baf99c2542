#include "lowbit/io/vector_file.h"

#include <gtest/gtest.h>

#include "lowbit/base/error.h"
#include "tests/io/scratch.h"

namespace lowbit {
namespace {

TEST(VectorFile, ReadsFloatsBytesAndIds) {
  const ScratchFolder scratch;
  const std::vector<uint32_t> floats = {2, 0x3f800000, 0xc0000000, 2, 0x40400000, 0};  // (1, -2), (3, 0)
  WriteBytes(scratch / "a.fvecs", BytesOf(floats));
  const Vectors a = ReadVectors(scratch / "a.fvecs");
  EXPECT_EQ(a.count, 2);
  EXPECT_EQ(a.dim, 2);
  EXPECT_EQ(a.data, (std::vector<float>{1, -2, 3, 0}));
  EXPECT_EQ(ReadVectors(scratch / "a.fvecs", 1).count, 1);
  WriteBytes(scratch / "b.bvecs", BytesOf(std::vector<uint8_t>{3, 0, 0, 0, 7, 255, 0}));
  EXPECT_EQ(ReadVectors(scratch / "b.bvecs").data, (std::vector<float>{7, 255, 0}));
  WriteBytes(scratch / "c.ivecs", BytesOf(std::vector<int32_t>{1, 9, 1, -4}));
  EXPECT_EQ(ReadIds(scratch / "c.ivecs").ids, (std::vector<int32_t>{9, -4}));
}

TEST(VectorFile, RefusesDamage) {
  const ScratchFolder scratch;
  const auto refuse = [&](const char* name, const std::vector<uint32_t>& words, size_t drop,
                          const char* says) {
    std::vector<std::byte> bytes = BytesOf(words);
    bytes.resize(bytes.size() - drop);
    WriteBytes(scratch / name, bytes);
    try {
      ReadVectors(scratch / name);
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(says), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  };
  refuse("empty.fvecs", {}, 0, "");
  refuse("short.fvecs", {2, 0, 0}, 1, "whole number");
  refuse("zero.fvecs", {0}, 0, "0 dimensions");
  refuse("negative.fvecs", {0xffffffff}, 0, "dimensions");
  refuse("mixed.fvecs", {1, 0, 2, 0}, 0, "vector 1 states 2");
  refuse("text.txt", {1, 0}, 0, ".fvecs");
}

}  // namespace
}  // namespace lowbit
