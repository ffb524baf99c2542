// The file of an index: two header slots, then sections and tables, appended and never changed.
//
// A slot names the table of one committed state and carries a generation and a checksum; the valid slot of
// the greater generation counts. A writer appends sections and the new table, flushes them to the disk, and
// then writes the older slot: at every moment one valid slot names a complete table, and what a crash left
// behind it is cut off by the next writer. Each slot is stored twice, so that a damaged byte in a header does
// not bring back an old state. Readers map the file; the state they opened stays as it is under them.
//
// Opening reads the header and the table. Sections carry checksums of their own.
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "lowbit/index/index_table.h"
#include "lowbit/io/file.h"

namespace lowbit {

inline constexpr uint32_t kIndexVersion = 1;
inline constexpr uint64_t kHeaderBytes = 8192;  // two slots, each twice in a page of its own

struct HeaderSlot {
  std::array<char, 8> magic{'l', 'o', 'w', 'b', 'i', 't', 'I', 'X'};
  uint32_t version = kIndexVersion, reserved = 0;
  uint64_t generation = 0;
  uint64_t table_offset = 0, table_bytes = 0, table_checksum = 0;
  uint64_t file_bytes = 0;  // that this state covers
  uint64_t checksum = 0;    // of the bytes before it
};
static_assert(sizeof(HeaderSlot) == 64);

// A state of an index as bytes, read-only.
class IndexFile {
 public:
  explicit IndexFile(const std::filesystem::path& path);
  // Of bytes in memory, called `name` in messages; they must outlive the object.
  IndexFile(std::span<const std::byte> bytes, std::string name);

  const std::string& name() const { return name_; }
  const IndexTable& table() const { return table_; }
  uint64_t generation() const { return slot_.generation; }
  uint64_t committed_bytes() const { return slot_.file_bytes; }
  uint64_t table_bytes() const { return slot_.table_bytes; }
  // Copies of header slots (of four) that do not have their checksum. A fresh index and an interrupted commit
  // leave up to two.
  int damaged_slots() const { return damaged_slots_; }

  std::span<const std::byte> Bytes(const Extent& extent) const {
    return bytes_.subspan(extent.offset, extent.bytes);
  }
  // The same after a look at the checksum. Throws Error naming `what`.
  std::span<const std::byte> Checked(const CheckedExtent& checked, const char* what) const;
  // As MappedFile's, where the index is mapped.
  void PreferLargePages(const Extent& extent) const {
    if (mapped_ != nullptr) mapped_->PreferLargePages(Bytes(extent));
  }

 private:
  // The newest slot, and the table that it names.
  void ReadHeader();
  void ReadTable();

  std::string name_;
  std::unique_ptr<MappedFile> mapped_;
  std::span<const std::byte> bytes_;
  HeaderSlot slot_;
  IndexTable table_;
  int damaged_slots_ = 0;
};

// Where sections go.
class IndexOutput {
 public:
  virtual ~IndexOutput() = default;
  // Starts a section at the next multiple of kSectionAlignment; returns its offset.
  uint64_t Begin();
  void Append(std::span<const std::byte> bytes);
  // Begin and Append; the extent, with its checksum.
  CheckedExtent AppendSection(std::span<const std::byte> bytes);
  // Writes the table and makes it the file's state: all or nothing.
  virtual void Commit(const IndexTable& table) = 0;

 protected:
  explicit IndexOutput(uint64_t end) : end_(end) {}
  virtual void WriteAt(uint64_t offset, std::span<const std::byte> bytes) = 0;
  // Appends the table; the slot that names it.
  HeaderSlot AppendTable(const IndexTable& table, uint64_t generation);

  uint64_t end_;
};

// An existing file, locked against other writers until the object is gone.
class IndexAppender final : public IndexOutput {
 public:
  // Throws Error when another writer has the file.
  explicit IndexAppender(const std::filesystem::path& path);
  ~IndexAppender() override;
  IndexAppender(const IndexAppender&) = delete;
  IndexAppender& operator=(const IndexAppender&) = delete;
  void Commit(const IndexTable& table) override;

 private:
  void WriteAt(uint64_t offset, std::span<const std::byte> bytes) override;
  void Flush();

  std::string name_;
  int file_ = -1;
  uint64_t generation_ = 0;
};

// A new file, under its final name only after Commit.
class NewIndexFile final : public IndexOutput {
 public:
  // Throws Error when a writer other than `holder` has an index of that name.
  explicit NewIndexFile(const std::filesystem::path& path, const IndexAppender* holder = nullptr);
  void Commit(const IndexTable& table) override;

 private:
  void WriteAt(uint64_t offset, std::span<const std::byte> bytes) override;
  AtomicFile file_;
};

}  // namespace lowbit
