// The house has floors: an include may stay in its folder or go down, never up. And libtorch stays in the
// laboratory.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace lowbit {
namespace {

namespace fs = std::filesystem;

// Lowest first. The one list: a new room is entered here, above everything it stands on.
const std::vector<std::string> kFloors = {
    "lowbit/base", "lowbit/io", "lowbit/format", "lowbit/kernel", "lowbit/transform", "lowbit/coding",
    "lowbit/quantize", "lowbit/index", "lowbit/graph", "lowbit/network", "lowbit/text", "lowbit/model",
    "lowbit/runtime", "lowbit/calibrate", "lowbit/method", "lowbit/pipeline", "lowbit/metric",
    "lowbit/report",
    // The laboratory. `lab` is lab/torch.h, the precompiled header.
    "lab", "lab/sentencepiece", "lab/autograd", "lab/train", "lab/data", "lab/objective", "lab/method",
    "lab/search", "lab/command",
    // What is built on the house.
    "reproduce", "cli", "examples", "bench", "fuzz"};

// Sources and their includes: path -> what stands between the quotes or brackets, brackets kept as
// "<torch/torch.h>".
using Includes = std::map<std::string, std::vector<std::string>>;

std::string FolderOf(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

// Position in kFloors, -1 when the folder is not there.
int FloorOf(const std::string& path) {
  const auto found = std::find(kFloors.begin(), kFloors.end(), FolderOf(path));
  return found == kFloors.end() ? -1 : static_cast<int>(found - kFloors.begin());
}

bool IsTorchHeader(const std::string& include) {
  return std::regex_search(include, std::regex("^<(torch|ATen|c10|caffe2)/"));
}

// Includes that go up, one line each.
std::vector<std::string> Climbers(const Includes& house) {
  std::vector<std::string> complaints;
  for (const auto& [path, includes] : house) {
    const int floor = FloorOf(path);
    if (floor < 0) {
      complaints.push_back(path + ": its folder is not among the floors in tests/floors_test.cc");
      continue;
    }
    for (const std::string& include : includes) {
      if (house.count(FolderOf(path) + "/" + include)) {
        complaints.push_back(path + ": write \"" + FolderOf(path) + "/" + include +
                             "\", paths start at the root");
      }
      if (house.count(include) && FloorOf(include) > floor) {
        complaints.push_back(path + " includes " + include + ", which is on a higher floor");
      }
    }
  }
  return complaints;
}

// Whether `path` includes a torch header, itself or through headers of the house.
bool ReachesTorch(const Includes& house, const std::string& path, std::set<std::string>& seen) {
  if (!seen.insert(path).second) return false;
  const auto found = house.find(path);
  if (found == house.end()) return false;
  return std::any_of(found->second.begin(), found->second.end(), [&](const std::string& include) {
    return IsTorchHeader(include) || ReachesTorch(house, include, seen);
  });
}

std::vector<std::string> TorchOutsideTheLaboratory(const Includes& house) {
  std::vector<std::string> complaints;
  for (const auto& [path, includes] : house) {
    if (path.starts_with("lab/") || path.starts_with("reproduce/")) continue;
    std::set<std::string> seen;
    if (ReachesTorch(house, path, seen)) complaints.push_back(path + " includes a header of libtorch");
  }
  return complaints;
}

Includes ReadHouse() {
  const fs::path root = LOWBIT_SOURCE_DIR;
  const std::regex line_pattern(R"re(^\s*#\s*include\s*(?:"([^"]+)"|(<[^>]+>)))re");
  Includes house;
  for (const char* top : {"lowbit", "lab", "reproduce", "cli", "examples", "bench", "fuzz"}) {
    if (!fs::exists(root / top)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const fs::path extension = entry.path().extension();
      if (extension != ".h" && extension != ".cc") continue;
      std::vector<std::string>& includes = house[fs::relative(entry.path(), root).generic_string()];
      std::ifstream file(entry.path());
      std::smatch match;
      for (std::string line; std::getline(file, line);) {
        if (!std::regex_search(line, match, line_pattern)) continue;
        includes.push_back(match[1].matched ? match[1].str() : match[2].str());
      }
    }
  }
  return house;
}

std::string Joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

TEST(Floors, NoIncludeClimbs) {
  const Includes house = ReadHouse();
  ASSERT_GT(house.size(), 50u);
  EXPECT_EQ(Joined(Climbers(house)), "");
}

TEST(Floors, TorchStaysInTheLaboratory) {
  EXPECT_EQ(Joined(TorchOutsideTheLaboratory(ReadHouse())), "");
}

TEST(Floors, TheCheckFindsWhatItIsFor) {
  const Includes house = {
      {"lowbit/base/a.h", {"<vector>"}},
      {"lowbit/io/b.h", {"lowbit/base/a.h"}},
      {"lowbit/base/up.cc", {"lowbit/io/b.h"}},
      {"lowbit/io/relative.cc", {"b.h"}},
      {"lowbit/attic/c.h", {}},
      {"lab/torch.h", {"<torch/torch.h>"}},
      {"lab/train/loop.h", {"lab/torch.h"}},
      {"lowbit/report/d.cc", {"lab/train/loop.h"}},
      {"reproduce/gptq.cc", {"lab/train/loop.h"}},
      {"cli/e.cc", {"lab/train/loop.h"}},
  };
  const std::vector<std::string> climbers = Climbers(house);
  ASSERT_EQ(climbers.size(), 4u) << Joined(climbers);
  EXPECT_NE(climbers[0].find("lowbit/attic/c.h"), std::string::npos);
  EXPECT_NE(climbers[1].find("lowbit/base/up.cc"), std::string::npos);
  EXPECT_NE(climbers[2].find("lowbit/io/relative.cc"), std::string::npos);
  EXPECT_NE(climbers[3].find("lowbit/report/d.cc"), std::string::npos);
  const std::vector<std::string> torch = TorchOutsideTheLaboratory(house);
  ASSERT_EQ(torch.size(), 2u) << Joined(torch);
  EXPECT_EQ(torch[0].substr(0, 8), "cli/e.cc");
}

}  // namespace
}  // namespace lowbit
