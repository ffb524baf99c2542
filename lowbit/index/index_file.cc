#include "lowbit/index/index_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "lowbit/base/checksum.h"
#include "lowbit/base/error.h"

namespace lowbit {
namespace {

// The places of a slot: its page, then the copy half a page on.
constexpr uint64_t kPage = 4096, kCopy = 2048;

template <typename T>
std::span<const std::byte> BytesOfValue(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

uint64_t ChecksumOf(const HeaderSlot& slot) {
  return Checksum(BytesOfValue(slot).first(offsetof(HeaderSlot, checksum)));
}

HeaderSlot SlotAt(std::span<const std::byte> bytes, uint64_t at) {
  HeaderSlot slot;
  std::memcpy(&slot, bytes.data() + at, sizeof slot);
  return slot;
}

// The file behind `path`, locked for writing; -1 when another process or object has the lock.
int OpenLocked(const std::filesystem::path& path) {
  for (;;) {
    const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (file < 0) Fail("{}: cannot open for writing: {}", path.string(), std::strerror(errno));
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      close(file);
      if (error == EWOULDBLOCK) return -1;
      Fail("{}: cannot lock: {}", path.string(), std::strerror(error));
    }
    // A compaction may have put another file under the name in between.
    struct stat held {
    }, named{};
    if (fstat(file, &held) == 0 && stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino &&
        held.st_dev == named.st_dev) {
      return file;
    }
    close(file);
  }
}

}  // namespace

IndexFile::IndexFile(const std::filesystem::path& path)
    : name_(path.string()), mapped_(std::make_unique<MappedFile>(path)), bytes_(mapped_->bytes()) {
  ReadHeader();
  if (slot_.file_bytes > bytes_.size()) {  // perhaps committed after the mapping was made
    mapped_ = std::make_unique<MappedFile>(path);
    bytes_ = mapped_->bytes();
    ReadHeader();
  }
  ReadTable();
}

IndexFile::IndexFile(std::span<const std::byte> bytes, std::string name)
    : name_(std::move(name)), bytes_(bytes) {
  ReadHeader();
  ReadTable();
}

void IndexFile::ReadHeader() {
  const HeaderSlot blank;
  if (bytes_.size() < kHeaderBytes) {
    if (bytes_.size() >= blank.magic.size() &&
        std::memcmp(bytes_.data(), blank.magic.data(), blank.magic.size()) == 0)
      Fail("{}: truncated: {} bytes, the header alone has {}", name_, bytes_.size(), kHeaderBytes);
    Fail("{}: is no lowbit index", name_);
  }
  bool found = false, named = false;
  damaged_slots_ = 0;
  for (uint64_t at = 0; at < kHeaderBytes; at += kCopy) {
    const HeaderSlot slot = SlotAt(bytes_, at);
    named |= slot.magic == blank.magic;
    if (slot.magic != blank.magic || slot.checksum != ChecksumOf(slot)) {
      ++damaged_slots_;
    } else if (!found || slot.generation > slot_.generation) {
      slot_ = slot;
      found = true;
    }
  }
  if (!named) Fail("{}: is no lowbit index", name_);
  if (!found) Fail("{}: no copy of its header has its checksum: the file is damaged", name_);
  if (slot_.version > kIndexVersion)
    Fail("{}: index version {}, this program reads up to {}", name_, slot_.version, kIndexVersion);
}

void IndexFile::ReadTable() {
  if (slot_.file_bytes > bytes_.size())
    Fail("{}: truncated: {} bytes, the index has {}", name_, bytes_.size(), slot_.file_bytes);
  if (slot_.table_offset > slot_.file_bytes || slot_.table_bytes > slot_.file_bytes - slot_.table_offset)
    Fail("{}: its table lies beyond its end: the file is damaged", name_);
  const auto table = bytes_.subspan(slot_.table_offset, slot_.table_bytes);
  if (Checksum(table) != slot_.table_checksum)
    Fail("{}: its table does not have its checksum: the file is damaged", name_);
  table_ = ParseIndexTable(table, slot_.file_bytes, name_);
}

std::span<const std::byte> IndexFile::Checked(const CheckedExtent& checked, const char* what) const {
  const auto bytes = Bytes(checked.extent);
  if (Checksum(bytes) != checked.checksum)
    Fail("{}: the {} at byte {} do not have their checksum: the file is damaged", name_, what,
         checked.extent.offset);
  return bytes;
}

uint64_t IndexOutput::Begin() {
  const uint64_t begin = (end_ + kSectionAlignment - 1) / kSectionAlignment * kSectionAlignment;
  constexpr std::byte kZeros[kSectionAlignment] = {};
  if (begin > end_) WriteAt(end_, std::span(kZeros).first(begin - end_));
  return end_ = begin;
}

void IndexOutput::Append(std::span<const std::byte> bytes) {
  WriteAt(end_, bytes);
  end_ += bytes.size();
}

CheckedExtent IndexOutput::AppendSection(std::span<const std::byte> bytes) {
  const uint64_t begin = Begin();
  Append(bytes);
  return {{begin, bytes.size()}, Checksum(bytes)};
}

HeaderSlot IndexOutput::AppendTable(const IndexTable& table, uint64_t generation) {
  const std::string text = Serialize(table);
  const CheckedExtent written = AppendSection(std::as_bytes(std::span(text)));
  HeaderSlot slot;
  slot.generation = generation;
  slot.table_offset = written.extent.offset;
  slot.table_bytes = written.extent.bytes;
  slot.table_checksum = written.checksum;
  slot.file_bytes = end_;
  slot.checksum = ChecksumOf(slot);
  return slot;
}

NewIndexFile::NewIndexFile(const std::filesystem::path& path, const IndexAppender* holder)
    : IndexOutput(kHeaderBytes), file_(path) {
  std::error_code error;
  if (holder != nullptr || !std::filesystem::exists(path, error)) return;
  const int held = OpenLocked(path);
  if (held < 0) Fail("{}: another program is writing to this index", path.string());
  close(held);
}

void NewIndexFile::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  file_.WriteAt(offset, bytes);
}

void NewIndexFile::Commit(const IndexTable& table) {
  // Both slots name the first state, so that every copy is valid from the start.
  const HeaderSlot slot = AppendTable(table, 1);
  for (uint64_t at = 0; at < kHeaderBytes; at += kCopy) file_.WriteAt(at, BytesOfValue(slot));
  file_.Commit();
}

IndexAppender::IndexAppender(const std::filesystem::path& path)
    : IndexOutput(kHeaderBytes), name_(path.string()), file_(OpenLocked(path)) {
  if (file_ < 0)
    Fail("{}: another program is writing to this index; one writer at a time, try again later", name_);
  try {
    const IndexFile current(path);
    generation_ = current.generation();
    end_ = current.committed_bytes();
  } catch (...) {
    close(file_);
    throw;
  }
  // What an interrupted writer left behind.
  if (ftruncate(file_, static_cast<off_t>(end_)) != 0) {
    const int error = errno;
    close(file_);
    Fail("{}: cannot cut off what an interrupted write left: {}", name_, std::strerror(error));
  }
}

IndexAppender::~IndexAppender() {
  if (file_ >= 0) close(file_);
}

void IndexAppender::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n =
        pwrite(file_, bytes.data(), std::min(bytes.size(), size_t{1} << 30), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      Fail("{}: cannot write at byte {}: {}", name_, offset, std::strerror(errno));
    }
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

void IndexAppender::Flush() {
  int result;
  do {
    result = fdatasync(file_);
  } while (result != 0 && errno == EINTR);
  if (result != 0 && errno != EINVAL) Fail("{}: cannot flush: {}", name_, std::strerror(errno));
}

void IndexAppender::Commit(const IndexTable& table) {
  const HeaderSlot slot = AppendTable(table, generation_ + 1);
  Flush();
  const uint64_t page = slot.generation % 2 == 0 ? kPage : 0;
  WriteAt(page, BytesOfValue(slot));
  Flush();
  WriteAt(page + kCopy, BytesOfValue(slot));
  Flush();
  generation_ = slot.generation;
}

}  // namespace lowbit
