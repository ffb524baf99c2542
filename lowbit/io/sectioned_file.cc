#include "lowbit/io/sectioned_file.h"

#include "lowbit/base/error.h"

namespace lowbit {

void SectionedFile::Declare(const std::string& name, size_t begin, size_t size) {
  if (!sections_.try_emplace(name, Section{begin, size, 0}).second) {
    Fail("{}: tensor {} is declared twice", where_, name);
  }
}

void SectionedFile::WriteHead(std::string_view head, size_t sections) {
  file_.WriteAt(0, std::as_bytes(std::span(head)));
  head_bytes_ = head.size();
  section_bytes_ = sections;
}

void SectionedFile::Write(const std::string& name, std::span<const std::byte> bytes) {
  const auto found = sections_.find(name);
  if (found == sections_.end()) Fail("{}: tensor {} was not declared", where_, name);
  Section& section = found->second;
  if (bytes.size() > section.size - section.written) {
    Fail("{}: tensor {} gets {} bytes, its shape needs {}", where_, name, section.written + bytes.size(),
         section.size);
  }
  file_.WriteAt(head_bytes_ + section.begin + section.written, bytes);
  section.written += bytes.size();
}

void SectionedFile::Finish() {
  for (const auto& [name, section] : sections_) {
    if (section.written != section.size) {
      Fail("{}: tensor {} got {} bytes of {}", where_, name, section.written, section.size);
    }
  }
  file_.Resize(file_bytes());
  file_.Commit();
}

}  // namespace lowbit
