// A walk over the bytes of a file, little-endian; every step is checked against what is left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "lowbit/base/error.h"

namespace lowbit {

class ByteCursor {
 public:
  // `where` names the file in messages and must outlive the cursor.
  ByteCursor(std::span<const std::byte> bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  // Throws Error naming `what` and the position when fewer than `size` bytes are left.
  std::span<const std::byte> Take(uint64_t size, std::string_view what) {
    if (size > left()) {
      Fail("{}: {} needs {} bytes at byte {}, the file has {}: truncated or wrong", where_, what, size, at_,
           bytes_.size());
    }
    const auto taken = bytes_.subspan(at_, size);
    at_ += size;
    return taken;
  }

  template <typename T>
  T Read(std::string_view what) {
    T value;
    std::memcpy(&value, Take(sizeof(T), what).data(), sizeof(T));
    return value;
  }

  std::string ReadText(uint64_t size, std::string_view what) {
    const auto bytes = Take(size, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  size_t at() const { return at_; }
  size_t left() const { return bytes_.size() - at_; }

 private:
  std::span<const std::byte> bytes_;
  const std::string& where_;
  size_t at_ = 0;
};

}  // namespace lowbit
