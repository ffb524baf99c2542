#include "lowbit/io/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "lowbit/base/error.h"

namespace lowbit {
namespace fs = std::filesystem;

MappedFile::MappedFile(const fs::path& path) : path_(path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) Fail("{}: cannot open: {}", path.string(), std::strerror(errno));
  struct stat info {};
  if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(file);
    Fail("{}: not a regular file", path.string());
  }
  size_ = static_cast<size_t>(info.st_size);
  if (size_ > 0) {
    void* p = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
    const int error = errno;
    close(file);
    if (p == MAP_FAILED) Fail("{}: cannot map {} bytes: {}", path.string(), size_, std::strerror(error));
    data_ = static_cast<const std::byte*>(p);
  } else {
    close(file);
  }
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::Release(std::span<const std::byte> part) const {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(part.data() + part.size()) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

std::string ReadFile(const fs::path& path, size_t limit) {
  if (fs::is_directory(path)) Fail("{}: is a folder, a file is needed", path.string());
  std::ifstream in(path, std::ios::binary);
  if (!in) Fail("{}: cannot open: {}", path.string(), std::strerror(errno));
  std::string text;
  char block[1 << 16];
  while (in.read(block, sizeof(block)) || in.gcount() > 0) {
    text.append(block, static_cast<size_t>(in.gcount()));
    if (text.size() > limit) Fail("{}: larger than {} bytes", path.string(), limit);
  }
  return text;
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)) {
  temporary_ = path_;
  temporary_ += fmt::format(".{}.partial", getpid());
  file_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file_ < 0) Fail("{}: cannot write: {}", path_.string(), std::strerror(errno));
}

AtomicFile::~AtomicFile() {
  if (file_ >= 0) {
    close(file_);
    unlink(temporary_.c_str());
  }
}

void AtomicFile::Write(std::span<const std::byte> bytes) {
  const std::byte* p = bytes.data();
  size_t left = bytes.size();
  while (left > 0) {
    const ssize_t n = write(file_, p, std::min(left, size_t{1} << 30));
    if (n < 0) {
      if (errno == EINTR) continue;
      Fail("{}: cannot write after {} bytes: {}", path_.string(), written_, std::strerror(errno));
    }
    p += n;
    left -= static_cast<size_t>(n);
    written_ += static_cast<size_t>(n);
  }
}

void AtomicFile::WriteAt(size_t position, std::span<const std::byte> bytes) {
  const std::byte* p = bytes.data();
  size_t left = bytes.size();
  while (left > 0) {
    const ssize_t n = pwrite(file_, p, std::min(left, size_t{1} << 30), static_cast<off_t>(position));
    if (n < 0) {
      if (errno == EINTR) continue;
      Fail("{}: cannot write at byte {}: {}", path_.string(), position, std::strerror(errno));
    }
    p += n;
    left -= static_cast<size_t>(n);
    position += static_cast<size_t>(n);
  }
}

void AtomicFile::Resize(size_t size) {
  if (ftruncate(file_, static_cast<off_t>(size)) != 0) {
    Fail("{}: cannot make it {} bytes long: {}", path_.string(), size, std::strerror(errno));
  }
}

void AtomicFile::Write(std::string_view text) {
  Write(std::as_bytes(std::span(text)));
}

void AtomicFile::Commit() {
  const bool flushed = fsync(file_) == 0 || errno == EINVAL;
  const int error = errno;
  if (!flushed) Fail("{}: cannot flush: {}", path_.string(), std::strerror(error));
  close(file_);
  file_ = -1;
  if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int rename_error = errno;
    unlink(temporary_.c_str());
    Fail("{}: cannot rename: {}", path_.string(), std::strerror(rename_error));
  }
}

}  // namespace lowbit
