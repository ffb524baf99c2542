// `lowbit reproduce`: what it prints, and that its exit code says whether every claim holds.
#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace lowbit {
namespace {

TEST(Reproduce, TheClaimsOfThePyramidHoldOnTheEmbeddedModel) {
  const std::string model = kEmbedded.string();
  const Outcome outcome =
      RunProgram("reproduce pvq --seeds 1 --json --data '" + model + "' --model '" + model + "'");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const auto json = nlohmann::json::parse(outcome.output.substr(outcome.output.find('{')));
  EXPECT_EQ(json.at("system"), "pvq");
  EXPECT_GE(json.at("claims").size(), 5u);
  for (const auto& claim : json.at("claims")) {
    EXPECT_TRUE(claim.at("holds").get<bool>()) << claim.dump(2);
    for (const char* key : {"id", "text", "measured", "expected"})
      EXPECT_FALSE(claim.at(key).get<std::string>().empty()) << key;
  }
  EXPECT_FALSE(json.at("measurements").empty());
}

TEST(Reproduce, VidKvIsMeasuredOnTheEmbeddedModel) {
  const ScratchFolder folder;
  std::filesystem::create_directories(folder / "text");
  std::filesystem::copy(kEmbedded / "heldout.txt", folder / "text/a.txt");
  const Outcome outcome = RunProgram("reproduce vidkv --seeds 1 --json --data '" + folder.path().string() +
                                     "' --model '" + kEmbedded.string() + "'");
  const auto json = nlohmann::json::parse(outcome.output.substr(outcome.output.find("{\n")));
  bool all = true;
  for (const auto& claim : json.at("claims")) {
    all = all && claim.at("holds").get<bool>();
    // That a transform helps one bit is said of video; of this model it is not true (docs/vectors.md).
    if (claim.at("id") != "3b") {
      EXPECT_TRUE(claim.at("holds").get<bool>()) << claim.dump(2);
    }
  }
  EXPECT_EQ(outcome.code, all ? 0 : 1);
}

TEST(Reproduce, ADataFolderWithoutAModelIsNamed) {
  const ScratchFolder folder;
  ExpectFailure(RunProgram("reproduce pvq --data '" + folder.path().string() + "'"), 1,
                folder.path().string(), "no item holds a language model");
  ExpectFailure(RunProgram("reproduce pvq --data /no/such"), 1, "/no/such");
}

}  // namespace
}  // namespace lowbit
