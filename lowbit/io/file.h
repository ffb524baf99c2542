// Files: mapped for reading, atomic for writing.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lowbit {

// A whole file mapped read-only. Throws Error naming the path.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }
  // Drops the resident pages that lie wholly inside `part` (a span of bytes()).
  void Release(std::span<const std::byte> part) const;
  // Asks that `part` (a span of bytes()), which will be read from one end to the other, be mapped by large
  // pages where the system can: what is not in memory yet is then read in pieces of their size.
  void PreferLargePages(std::span<const std::byte> part) const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Reads a whole file (text, JSON); throws Error naming the path. `limit` guards against absurd sizes.
std::string ReadFile(const std::filesystem::path& path, size_t limit = size_t{1} << 31);

// Makes a folder and those above it; throws Error naming the path.
void CreateFolders(const std::filesystem::path& path);

// Writes under a temporary name in the same folder; Commit() flushes to disk and renames to the final name.
// Destroyed without Commit, the temporary file is removed: nothing half-written ever bears the final name.
// A symbolic link is followed: the file that it names is replaced. A folder, a device or a pipe is refused.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void Write(std::span<const std::byte> bytes);
  void Write(std::string_view text);
  // Writes at a position of its own, leaving the place of Write() alone. What no call wrote reads as zeros.
  void WriteAt(size_t position, std::span<const std::byte> bytes);
  // Makes the file exactly `size` bytes long.
  void Resize(size_t size);
  size_t written() const { return written_; }
  void Commit();

 private:
  std::filesystem::path path_, temporary_;
  int file_ = -1;
  size_t written_ = 0;
};

// Writes a whole file through AtomicFile.
void WriteFile(const std::filesystem::path& path, std::string_view text);
// Several files that belong together: all are on disk before the first gets its name, so that a full disk
// leaves none of them.
class AtomicFiles {
 public:
  void Add(const std::filesystem::path& path, std::string_view text);
  void Commit();

 private:
  std::vector<std::unique_ptr<AtomicFile>> files_;
};

// A folder as the output of a command. Destroyed without Keep, the folders that it made are removed again
// where nothing was written into them.
class OutputFolder {
 public:
  explicit OutputFolder(const std::filesystem::path& path);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  void Keep() { made_.clear(); }

 private:
  std::vector<std::filesystem::path> made_;  // innermost first
};

}  // namespace lowbit
