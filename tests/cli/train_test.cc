// `lowbit train`, where the laboratory is built: wrong requests are refused before any work is done.
#include "tests/cli/program.h"

namespace lowbit {
namespace {

namespace fs = std::filesystem;

class Train : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(LOWBIT_BINARY_DIR "/liblowbit_lab.so")) GTEST_SKIP() << "built without the laboratory";
    fs::create_directories(folder_ / "data/text");
    std::string text;
    for (int i = 0; i < 4000; ++i) text += "Line " + std::to_string(i * i) + " of a text.\n";
    WriteText(folder_ / "data/text/a.txt", text);
    before_ = Listing(folder_.path());
  }
  Outcome Run(const std::string& recipe, const std::string& options = "") const {
    WriteText(folder_ / "r.toml", recipe);
    const Outcome outcome =
        RunProgram("train '" + (folder_ / "r.toml").string() + "' --data '" + (folder_ / "data").string() +
                   "' -o '" + (folder_ / "out").string() + "' " + options);
    fs::remove(folder_ / "r.toml");
    return outcome;
  }

  const ScratchFolder folder_;
  std::string before_;
};

TEST_F(Train, HelpAndWrongUsage) {
  const Outcome help = RunProgram("train --help");
  EXPECT_EQ(help.code, 0) << help.output;
  EXPECT_TRUE(help.Says("--resume")) << help.output;
  ExpectFailure(RunProgram("train"), 2, "required");
  ExpectFailure(RunProgram("train --no-such-option"), 2);
}

TEST_F(Train, ARecipeIsCheckedBeforeTheWork) {
  const std::string good = ReadFile(kEmbedded / "train.toml");
  const auto changed = [&](const std::string& key, const std::string& line) {
    const size_t at = good.find("\n" + key + " ") + 1;
    return std::string(good).replace(at, good.find('\n', at) - at, line);
  };
  const std::string recipe = (folder_ / "r.toml").string();
  ExpectFailure(Run("foo"), 1, recipe);
  ExpectFailure(Run(changed("width", "width = \"x\"")), 1, recipe, "model.width");
  ExpectFailure(Run(changed("width", "wdth = 5")), 1, recipe, "model.wdth");
  ExpectFailure(Run(changed("width", "width = -4")), 1, recipe, "model.width is -4");
  ExpectFailure(Run(changed("heads", "heads = 7")), 1, recipe, "must divide");
  ExpectFailure(Run(good, "--device gpu"), 2, "--device gpu");
  ExpectFailure(RunProgram("train /no/such.toml --data / -o '" + (folder_ / "out").string() + "'"), 1,
                "/no/such.toml");
  ExpectFailure(RunProgram("train '" + (kEmbedded / "train.toml").string() + "' --data '" +
                           folder_.path().string() + "/none' -o '" + (folder_ / "out").string() + "'"),
                1, "none/text");
  EXPECT_EQ(Listing(folder_.path()), before_);
}

}  // namespace
}  // namespace lowbit
