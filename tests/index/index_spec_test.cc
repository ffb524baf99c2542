#include "lowbit/index/index_spec.h"

#include <gtest/gtest.h>

#include "lowbit/base/error.h"

namespace lowbit {
namespace {

std::string Refusal(std::string_view text) {
  try {
    ParseIndexSpec(text);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(IndexSpec, NamesComeBack) {
  for (const std::string& codec : CodecNames()) {
    for (const std::string& text :
         {codec, "IVF256," + codec, codec + ",Refine(F16)", "IVF7," + codec + ",Refine(" + codec + ")"}) {
      EXPECT_EQ(NameOf(ParseIndexSpec(text)), text);
    }
  }
}

TEST(IndexSpec, ReadsOtherSpellings) {
  EXPECT_EQ(NameOf(ParseIndexSpec("ivf16,tq4")), "IVF16,TQ4");
  EXPECT_EQ(NameOf(ParseIndexSpec("PQ32")), "PQ32x8");
  EXPECT_EQ(NameOf(ParseIndexSpec("trellis2,RerankSQ8")), "Trellis2,Refine(SQ8)");
  EXPECT_EQ(NameOf(ParseIndexSpec("RABITQ4,refine(flat)")), "RaBitQ4,Refine(Flat)");
  EXPECT_EQ(NameOf(ParseIndexSpec("IVF1,Flat")), "Flat") << "one list is none";
}

TEST(IndexSpec, SuggestsTheNearestValidOne) {
  for (const auto& [text, meant] : {std::pair<const char*, const char*>{"IVF256,TQ5", "IVF256,TQ4"},
                                    {"RaBitQ9", "RaBitQ8"},
                                    {"Trelis3", "Trellis3"},
                                    {"IFV256,TQ4", "IVF256,TQ4"},
                                    {"IVF0,TQ4", "IVF256,TQ4"},
                                    {"SQ9", "SQ8"},
                                    {"flatt", "Flat"},
                                    {"TQ4,Refine(F17)", "TQ4,Refine(F16)"},
                                    {"TQ4,F16", "TQ4,Refine(F16)"},
                                    {"PQ0x8", "PQ8x8"},
                                    {"", "TQ4"}}) {
    const std::string refusal = Refusal(text);
    EXPECT_NE(refusal.find("did you mean \"" + std::string(meant) + "\""), std::string::npos)
        << text << ": " << refusal;
    EXPECT_EQ(NameOf(ParseIndexSpec(meant)), meant);
  }
  EXPECT_NE(Refusal("HNSW32,TQ4").find("not built yet"), std::string::npos);
  EXPECT_NE(Refusal("IVF256").find("a codec must follow"), std::string::npos);
  EXPECT_NE(Refusal("TQ4,Refine(F16),Refine(F16)").find("nothing may follow"), std::string::npos);
}

}  // namespace
}  // namespace lowbit
