// Aligned, reusable memory. First touch of fresh 4-KiB pages is slow (0.4 GB/s on some hosts), so large
// buffers ask for huge pages and are reused rather than freed.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>

namespace lowbit {

inline constexpr size_t kAlignment = 64;  // one cache line, one AVX-512 register

// `bytes` of uninitialised memory, 64-byte aligned (2 MiB aligned and MADV_HUGEPAGE from 4 MiB on).
void* AllocateAligned(size_t bytes);

struct FreeDeleter {
  void operator()(void* p) const { std::free(p); }
};

// A fixed-size array of trivially copyable T, uninitialised. Moves, never copies.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t size) : data_(static_cast<T*>(AllocateAligned(size * sizeof(T)))), size_(size) {}

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  size_t size() const { return size_; }
  T& operator[](size_t i) { return data_.get()[i]; }
  const T& operator[](size_t i) const { return data_.get()[i]; }
  operator std::span<T>() { return {data(), size_}; }              // NOLINT(google-explicit-constructor)
  operator std::span<const T>() const { return {data(), size_}; }  // NOLINT(google-explicit-constructor)
  T* begin() { return data(); }
  T* end() { return data() + size_; }

  // Grows to at least `size` elements; contents are lost when it grows.
  void Reserve(size_t size) {
    if (size > size_) *this = Buffer(size);
  }

 private:
  std::unique_ptr<T, FreeDeleter> data_;
  size_t size_ = 0;
};

}  // namespace lowbit
