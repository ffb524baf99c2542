#include "lowbit/io/vector_file.h"

#include <gtest/gtest.h>

#include <bit>

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

TEST(VectorFile, IsReadInBlocks) {
  const ScratchFolder scratch;
  std::vector<uint32_t> words;
  for (uint32_t i = 0; i < 5; ++i) words.insert(words.end(), {2, i, i + 100});
  words[9] = 3;  // vector 3
  WriteBytes(scratch / "a.fvecs", BytesOf(words));
  const VectorFile file(scratch / "a.fvecs");
  EXPECT_EQ(file.count(), 5);
  float x[4];
  file.Read(1, 2, x);
  EXPECT_EQ(std::bit_cast<uint32_t>(x[3]), 102u);
  file.Read(4, 1, x);
  EXPECT_THROW(file.Read(2, 2, x), Error) << "vector 3 states other dimensions";
  EXPECT_THROW(file.Read(4, 2, x), Error);
  EXPECT_THROW(file.Read(-1, 1, x), Error);
}

std::vector<std::byte> Npy(const std::string& type, const std::string& shape,
                           const std::vector<std::byte>& data, const std::string& order = "False") {
  const std::string header =
      "{'descr': '" + type + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
  std::vector<std::byte> bytes = BytesOf(std::vector<uint8_t>{0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0});
  const auto size = static_cast<uint8_t>(header.size());
  for (const uint8_t b : {size, uint8_t{0}}) bytes.push_back(std::byte{b});
  for (const char c : header) bytes.push_back(static_cast<std::byte>(c));
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

TEST(VectorFile, ReadsNumPy) {
  const ScratchFolder scratch;
  const std::vector<float> expected = {1, -2, 3, 0, 0.5f, 7};
  const auto read = [&](const std::vector<std::byte>& bytes) {
    WriteBytes(scratch / "x.npy", bytes);
    const Vectors v = ReadVectors(scratch / "x.npy");
    EXPECT_EQ(v.count, 2);
    EXPECT_EQ(v.dim, 3);
    return v.data;
  };
  EXPECT_EQ(read(Npy("<f4", "(2, 3)", BytesOf(expected))), expected);
  EXPECT_EQ(read(Npy("<f8", "(2,3)", BytesOf(std::vector<double>(expected.begin(), expected.end())))),
            expected);
  EXPECT_EQ(
      read(Npy("<f2", "(2, 3)", BytesOf(std::vector<uint16_t>{0x3c00, 0xc000, 0x4200, 0, 0x3800, 0x4700}))),
      expected);
  EXPECT_EQ(read(Npy("|u1", "(2, 3)", BytesOf(std::vector<uint8_t>{1, 2, 3, 4, 5, 255}))),
            (std::vector<float>{1, 2, 3, 4, 5, 255}));
  EXPECT_EQ(read(Npy("|i1", "(2, 3)", BytesOf(std::vector<int8_t>{1, 2, 3, 4, 5, -1}))),
            (std::vector<float>{1, 2, 3, 4, 5, -1}));

  // The header that is written is one that is read.
  std::vector<std::byte> written = BytesOf(std::vector<char>());
  for (const char c : NpyHeader("i8", {2})) written.push_back(static_cast<std::byte>(c));
  EXPECT_EQ(written.size() % 64, 0u);
  for (const std::byte b : BytesOf(std::vector<int64_t>{-5, int64_t{1} << 40})) written.push_back(b);
  EXPECT_EQ(ReadNpyIntegers(ParseNpy(written, "w"), "w"), (std::vector<int64_t>{-5, int64_t{1} << 40}));
}

TEST(VectorFile, RefusesOtherNumPyArrays) {
  const ScratchFolder scratch;
  const auto message = [&](const std::vector<std::byte>& bytes) {
    WriteBytes(scratch / "x.npy", bytes);
    try {
      ReadVectors(scratch / "x.npy");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  const std::vector<std::byte> data = BytesOf(std::vector<float>(6));
  for (const auto& [bytes, says] :
       {std::pair(Npy(">f4", "(2, 3)", data), "big-endian"),
        std::pair(Npy("<f4", "(2, 3)", data, "True"), "Fortran"),
        std::pair(Npy("<f4", "(6,)", data), "two, (n, d)"),
        std::pair(Npy("<f4", "(2, 4)", data), "truncated"),
        std::pair(Npy("<f4", "(1, 3)", data), "12 bytes follow"),
        std::pair(Npy("<f4", "(0, 3)", {}), "no vector"), std::pair(Npy("<i4", "(2, 3)", data), "type i4"),
        std::pair(Npy("<c8", "(2, 3)", data), "truncated"),
        std::pair(Npy("<f4", "(2, 99999999999999999999)", data), "too large"),
        std::pair(Npy("<f4", "(1048576, 1048576, 1048576)", data), "too large")}) {
    const std::string said = message(bytes);
    EXPECT_NE(said.find(says), std::string::npos) << said;
    EXPECT_NE(said.find("x.npy"), std::string::npos) << said;
  }
  const std::vector<std::byte> whole = Npy("<f4", "(2, 3)", data);
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_THROW(ParseNpy(std::span(whole).first(size), "x"), Error) << size;
}

}  // namespace
}  // namespace lowbit
