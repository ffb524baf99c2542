#include "lowbit/format/scalar_format.h"

#include <gtest/gtest.h>

#include "lowbit/base/error.h"
#include "lowbit/base/random.h"

namespace lowbit {
namespace {

TEST(ScalarFormat, EveryNameComesBack) {
  for (const std::string& name : ScalarFormatNames()) {
    for (const char* tail : {"", "-g64", "-g1-f32", "-e8m0-absmax", "-g16-e4m3"}) {
      if (name.starts_with("mx") || name.starts_with("nv")) tail = "";
      if (name.ends_with("-mean") || name.ends_with("-median")) tail = "";
      const ScalarFormat format = ParseScalarFormat(name + tail);
      EXPECT_EQ(ParseScalarFormat(NameOf(format)), format) << name << tail << " became " << NameOf(format);
    }
  }
  for (const char* name :
       {"int4-g64", "int3-asym-g128", "e2m1-bias3", "e2m1-bias-4", "e4m3-finite", "nupes4-p0.7",
        "pot4-base1.5", "post4-g32", "lloyd3-beta64-g128-f32", "ternary-median", "binary-g128-mean", "mxfp4",
        "mxfp4-mse", "nvfp4", "mxint8", "int8-row"}) {
    const std::string again = NameOf(ParseScalarFormat(name));
    EXPECT_TRUE(again == name || std::string(name) == "int8-row") << name << " became " << again;
  }
  EXPECT_EQ(ParseScalarFormat("NVFP4"), ParseScalarFormat("e2m1-g16-e4m3-absmax"));
  EXPECT_EQ(ParseScalarFormat("mxfp6"), ParseScalarFormat("mxfp6-e3m2"));
}

TEST(ScalarFormat, NumbersAreKeptExactly) {
  Random random(3);
  for (int i = 0; i < 200; ++i) {
    ScalarFormat format{
        .alphabet = {.kind = AlphabetKind::kPower, .parameter = 0.2 + random.Uniform() / 3.0}};
    EXPECT_EQ(ParseScalarFormat(NameOf(format)), format) << NameOf(format);
  }
}

TEST(ScalarFormat, WhatIsSuggestedIsAFormat) {
  for (const std::string& name : ScalarFormatSuggestions()) EXPECT_TRUE(FindScalarFormat(name)) << name;
}

TEST(ScalarFormat, ANearNameIsSuggested) {
  for (const auto& [wrong, right] : {std::pair{"e2m1x", "e2m1"},
                                     {"nf5", "nf4"},
                                     {"terrnary", "ternary"},
                                     {"apott4-g64", "apot4-g64"},
                                     {"mxpf4", "mxfp4"},
                                     {"int9", "int1"},
                                     {"lloyd4-gaus", "lloyd4-gauss"}}) {
    try {
      ParseScalarFormat(wrong);
      FAIL() << wrong;
    } catch (const UsageError& error) {
      EXPECT_NE(std::string(error.what()).find(std::string("did you mean ") + right + "?"), std::string::npos)
          << error.what();
    }
  }
}

TEST(ScalarFormat, WrongNamesAreRefused) {
  for (const char* name : {"",
                           "-",
                           "int",
                           "int4-",
                           "int4--g32",
                           "int4-g0",
                           "int4-g",
                           "int4-g64-g32",
                           "int4-mean",
                           "e0m3",
                           "e4m4",
                           "apot2",
                           "log2-8",
                           "nupes4",
                           "nupes4-p9",
                           "nupes4-pnan",
                           "pot4-base1",
                           "lloyd9-gauss",
                           "lloyd4-beta2",
                           "nested4-8",
                           "ternary-median-median",
                           "mxfp4-g32",
                           "uint4-asym",
                           "int4-g99999999999",
                           "e5m2-bias99999"}) {
    EXPECT_THROW(ParseScalarFormat(name), UsageError) << name;
  }
}

TEST(ScalarFormat, BitsCountEverySideInformation) {
  EXPECT_DOUBLE_EQ(BitsPerValue(ParseScalarFormat("mxfp4"), 32), 4.25);
  EXPECT_DOUBLE_EQ(BitsPerValue(ParseScalarFormat("nvfp4"), 16), 4.5);
  EXPECT_DOUBLE_EQ(BitsPerValue(ParseScalarFormat("int4-g64"), 64), 4.25);
  EXPECT_DOUBLE_EQ(BitsPerValue(ParseScalarFormat("int4-asym-g64"), 64), 4.375);
  EXPECT_DOUBLE_EQ(BitsPerValue(ParseScalarFormat("ternary"), 1e9), 1.6 + 16e-9);
}

}  // namespace
}  // namespace lowbit
