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

namespace {

// Where the bytes for `path` go: the file behind a symbolic link. What a rename must not replace is refused.
fs::path Destination(const fs::path& path) {
  if (path.filename().empty()) Fail("\"{}\": a file name is needed", path.string());
  std::error_code error;
  fs::path target = path;
  if (fs::is_symlink(path, error)) {
    target = fs::weakly_canonical(path, error);
    if (error) Fail("{}: the link leads nowhere: {}", path.string(), error.message());
  }
  const fs::file_status status = fs::status(target, error);
  if (fs::is_directory(status)) Fail("{}: is a folder, a file name is needed", path.string());
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    Fail("{}: is no regular file (a device or a pipe); give a file name", path.string());
  }
  return target;
}

// Of the pages that lie wholly inside `part`.
void AdviseWholePages(std::span<const std::byte> part, int advice) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(part.data() + part.size()) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, advice);
}

}  // namespace

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
  AdviseWholePages(part, MADV_DONTNEED);
}

void MappedFile::PreferLargePages(std::span<const std::byte> part) const {
#ifdef MADV_HUGEPAGE
  AdviseWholePages(part, MADV_HUGEPAGE);  // a wish: refusing it is no error
#else
  (void)part;
#endif
}

std::string ReadFile(const fs::path& path, size_t limit) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) Fail("{}: is a folder, a file is needed", path.string());
  std::ifstream in(path, std::ios::binary);
  if (!in) Fail("{}: cannot open: {}", path.string(), std::strerror(errno));
  std::string text;
  char block[1 << 16];
  while (in.read(block, sizeof(block)) || in.gcount() > 0) {
    text.append(block, static_cast<size_t>(in.gcount()));
    if (text.size() > limit) Fail("{}: larger than {} bytes", path.string(), limit);
  }
  if (in.bad()) Fail("{}: cannot read: {}", path.string(), std::strerror(errno));
  return text;
}

void CreateFolders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) Fail("{}: cannot make the folder: {}", path.string(), error.message());
}

OutputFolder::OutputFolder(const fs::path& path) {
  std::error_code error;
  for (fs::path p = fs::absolute(path); !fs::exists(p, error) && p.has_relative_path(); p = p.parent_path()) {
    made_.push_back(p);
  }
  CreateFolders(path);
}

OutputFolder::~OutputFolder() {
  std::error_code error;
  for (const fs::path& path : made_)
    fs::remove(path, error);  // does nothing to a folder that holds something
}

AtomicFile::AtomicFile(fs::path path) : path_(Destination(path)) {
  temporary_ = path_;
  temporary_ += fmt::format(".{}.partial", getpid());
  file_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file_ >= 0) return;
  const int reason = errno;
  std::error_code error;
  if (reason == ENOENT && path_.has_parent_path() && !fs::exists(path_.parent_path(), error)) {
    Fail("{}: cannot write: there is no folder {}", path_.string(), path_.parent_path().string());
  }
  Fail("{}: cannot write: {}", path_.string(), std::strerror(reason));
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
  int result;
  do {
    result = ftruncate(file_, static_cast<off_t>(size));
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    Fail("{}: cannot make it {} bytes long: {}", path_.string(), size, std::strerror(errno));
  }
}

void AtomicFile::Write(std::string_view text) {
  Write(std::as_bytes(std::span(text)));
}

void AtomicFiles::Add(const fs::path& path, std::string_view text) {
  files_.push_back(std::make_unique<AtomicFile>(path));
  files_.back()->Write(text);
}

void AtomicFiles::Commit() {
  for (const auto& file : files_) file->Commit();
}

void AtomicFile::Commit() {
  int result;
  do {
    result = fsync(file_);
  } while (result != 0 && errno == EINTR);
  if (result != 0 && errno != EINVAL) Fail("{}: cannot flush: {}", path_.string(), std::strerror(errno));
  close(file_);
  file_ = -1;
  if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int rename_error = errno;
    unlink(temporary_.c_str());
    Fail("{}: cannot rename: {}", path_.string(), std::strerror(rename_error));
  }
}

void WriteFile(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.Write(text);
  file.Commit();
}

}  // namespace lowbit
