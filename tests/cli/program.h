// The program as a user runs it: a command line in, exit code and output out; and models to break.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "lowbit/io/file.h"
#include "tests/io/scratch.h"

namespace lowbit {

inline const std::string kProgram = LOWBIT_BINARY_DIR "/lowbit";
// The trained model of the source tree: 4 blocks, width 256, a sentencepiece tokenizer.
inline const std::filesystem::path kEmbedded = LOWBIT_SOURCE_DIR "/models/gutenberg";

struct Outcome {
  int code;            // 128 + signal when a signal ended it
  std::string output;  // stdout and stderr

  bool Says(std::string_view text) const { return output.find(text) != std::string::npos; }
};

inline Outcome RunShell(const std::string& command) {
  FILE* pipe = popen(("{ " + command + "; } 2>&1 </dev/null").c_str(), "r");
  if (pipe == nullptr) return {-1, "popen failed"};
  Outcome outcome;
  std::array<char, 4096> buffer;
  for (size_t n; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    outcome.output.append(buffer.data(), n);
  const int status = pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

// lowbit with these arguments.
inline Outcome RunProgram(const std::string& arguments) {
  return RunShell("'" + kProgram + "' " + arguments);
}

// That the outcome is a failure with this exit code whose message holds all of `texts`.
template <typename... Texts>
void ExpectFailure(const Outcome& outcome, int code, const Texts&... texts) {
  EXPECT_EQ(outcome.code, code) << outcome.output;
  for (const std::string& text : std::vector<std::string>{std::string(texts)...}) {
    EXPECT_TRUE(outcome.Says(text)) << "\"" << text << "\" is not in: " << outcome.output;
  }
}

// Every file and folder below `folder`, relative and sorted.
inline std::string Listing(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    names.push_back(std::filesystem::relative(entry.path(), folder).string());
  std::sort(names.begin(), names.end());
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : " ") + name;
  return all;
}

inline void WriteText(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary).write(text.data(), static_cast<std::streamsize>(text.size()));
}

// A copy of the embedded model in a folder that is gone when the test ends, to be broken.
class CopiedModel {
 public:
  CopiedModel() {
    std::filesystem::create_directory(path());
    for (const char* name : {"config.json", "generation_config.json", "model.safetensors", "tokenizer.model"})
      std::filesystem::copy_file(kEmbedded / name, path() / name);
  }
  std::filesystem::path path() const { return scratch_ / "model"; }
  std::filesystem::path operator/(std::string_view name) const { return path() / name; }
  // A place beside the model.
  std::filesystem::path Beside(std::string_view name) const { return scratch_ / name; }

  // Replaces `from`, which must be there, in a text file of the model.
  void Replace(std::string_view file, std::string_view from, std::string_view to) const {
    std::string text = ReadFile(path() / file);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    WriteText(path() / file, text);
  }

 private:
  ScratchFolder scratch_;
};

}  // namespace lowbit
