// A file laid out in advance as named sections, filled in any order: memory holds the layout only, so the
// file may exceed it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <unordered_map>

#include "lowbit/io/file.h"

namespace lowbit {

class SectionedFile {
 public:
  explicit SectionedFile(const std::filesystem::path& path) : where_(path.string()), file_(path) {}

  // Declares a section of `size` bytes at `begin`, relative to the end of the head. Throws on a repeated
  // name.
  void Declare(const std::string& name, size_t begin, size_t size);
  // Writes what precedes the sections; `sections` is the size of all of them with the gaps between.
  void WriteHead(std::string_view head, size_t sections);

  // Appends to a section. Throws when it was not declared or would overflow.
  void Write(const std::string& name, std::span<const std::byte> bytes);
  // Throws when a section is incomplete; flushes and gives the file its final name. Gaps read as zeros.
  void Finish();

  size_t file_bytes() const { return head_bytes_ + section_bytes_; }
  const std::string& where() const { return where_; }

 private:
  struct Section {
    size_t begin, size, written;
  };
  std::string where_;
  AtomicFile file_;
  std::unordered_map<std::string, Section> sections_;
  size_t head_bytes_ = 0, section_bytes_ = 0;
};

}  // namespace lowbit
