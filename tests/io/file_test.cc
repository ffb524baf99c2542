#include "lowbit/io/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <functional>

#include "lowbit/base/error.h"
#include "lowbit/io/gguf.h"
#include "lowbit/io/safetensors.h"
#include "tests/io/scratch.h"

namespace lowbit {
namespace {

// While it lives no file may grow past `bytes`: what a full disk does to a writer.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
  }
  ~SmallDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = SIG_DFL;
};

std::string ErrorOf(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(AtomicFileTest, NothingBearsTheFinalNameBeforeCommit) {
  const ScratchFolder folder;
  {
    AtomicFile file(folder / "a");
    file.Write("abc");
    file.WriteAt(6, std::as_bytes(std::span("gh", 2)));
    file.Resize(9);
    EXPECT_FALSE(std::filesystem::exists(folder / "a"));
    file.Commit();
  }
  EXPECT_EQ(ReadFile(folder / "a"), std::string("abc\0\0\0gh\0", 9));
  {
    AtomicFile file(folder / "a");
    file.Write("half");
  }
  EXPECT_EQ(ReadFile(folder / "a").substr(0, 3), "abc") << "an abandoned file leaves the old one";
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(AtomicFileTest, AFullDiskIsNamedAndLeavesNothing) {
  const ScratchFolder folder;
  const SmallDisk disk(4096);
  const std::vector<std::byte> much(8192);
  EXPECT_NE(ErrorOf([&] { AtomicFile(folder / "a").Write(much); }).find((folder / "a").string()),
            std::string::npos);
  const std::string safetensors = ErrorOf([&] {
    SafetensorsWriter writer(folder / "b.safetensors", {{"t", DType::kU8, {8192}}}, {});
    writer.Write("t", much);
    writer.Finish();
  });
  EXPECT_NE(safetensors.find("b.safetensors"), std::string::npos) << safetensors;
  const std::string gguf = ErrorOf([&] {
    GgufWriter writer(folder / "c.gguf", {}, {{"t", DType::kI8, {8192}}});
    writer.Write("t", much);
    writer.Finish();
  });
  EXPECT_NE(gguf.find("c.gguf"), std::string::npos) << gguf;
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(AtomicFileTest, AFolderThatIsNotThereIsNamed) {
  const ScratchFolder folder;
  const auto path = folder / "missing/a";
  EXPECT_NE(ErrorOf([&] { AtomicFile file(path); }).find(path.string()), std::string::npos);
}

TEST(MappedFileTest, MapsWholeFilesAndNamesWhatItCannot) {
  const ScratchFolder folder;
  WriteBytes(folder / "a", BytesOf<char>({'x', 'y'}));
  WriteBytes(folder / "empty", {});
  EXPECT_EQ(MappedFile(folder / "a").bytes().size(), 2u);
  EXPECT_TRUE(MappedFile(folder / "empty").bytes().empty());
  EXPECT_NE(ErrorOf([&] { MappedFile file(folder / "b"); }).find("b: cannot open"), std::string::npos);
  EXPECT_NE(ErrorOf([&] { MappedFile file(folder.path()); }).find("not a regular file"), std::string::npos);
  EXPECT_NE(ErrorOf([&] { SafetensorsFile file(folder / "empty"); }).find("too short"), std::string::npos);
  EXPECT_NE(ErrorOf([&] { GgufFile file(folder / "empty"); }).find("not a GGUF file"), std::string::npos);
}

TEST(ReadFileTest, RefusesFoldersAndHugeFiles) {
  const ScratchFolder folder;
  WriteBytes(folder / "a", std::vector<std::byte>(1000));
  EXPECT_EQ(ReadFile(folder / "a", 1000).size(), 1000u);
  EXPECT_THROW(ReadFile(folder / "a", 999), Error);
  EXPECT_THROW(ReadFile(folder.path()), Error);
  EXPECT_THROW(ReadFile(folder / "b"), Error);
}

}  // namespace
}  // namespace lowbit
