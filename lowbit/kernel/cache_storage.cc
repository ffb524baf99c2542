#include "lowbit/kernel/cache_storage.h"

#include <algorithm>

#include "lowbit/base/error.h"
#include "lowbit/base/float16.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/cache_storage.cc"
#include "lowbit/kernel/simd.h"

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using D8 = hn::CappedTag<float, 8>;

#if HWY_TARGET == HWY_SCALAR  // whose DemoteTo does not round to nearest

template <class Tag>
void ToHalf(Tag, const float* x, int64_t n, uint16_t* y) {
  std::transform(x, x + n, y, FloatToF16);
}
template <class Tag>
void ToFloat(Tag, const uint16_t* x, int64_t n, float* y) {
  std::transform(x, x + n, y, F16ToFloat);
}

#else

template <class Tag>
HWY_INLINE void ToHalf(Tag d, const float* x, int64_t n, uint16_t* y) {
  const hn::Rebind<hwy::float16_t, Tag> half;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i < n; i += lanes)
    hn::StoreU(hn::DemoteTo(half, hn::LoadU(d, x + i)), half, reinterpret_cast<hwy::float16_t*>(y + i));
}
template <class Tag>
HWY_INLINE void ToFloat(Tag d, const uint16_t* x, int64_t n, float* y) {
  const hn::Rebind<hwy::float16_t, Tag> half;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i < n; i += lanes)
    hn::StoreU(hn::PromoteTo(d, hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(x + i))), d, y + i);
}

#endif

// n a multiple of 8.
void HalvesOf(const float* x, int64_t n, uint16_t* y) {
  const int64_t wide = n / 16 * 16;
  ToHalf(D(), x, wide, y);
  ToHalf(D8(), x + wide, n - wide, y + wide);
}
void FloatsOf(const uint16_t* x, int64_t n, float* y) {
  const int64_t wide = n / 16 * 16;
  ToFloat(D(), x, wide, y);
  ToFloat(D8(), x + wide, n - wide, y + wide);
}

// y[y_stride j + i] = x[x_stride i + j] for 8 by 8.
HWY_INLINE void Transpose8(const uint16_t* x, int64_t x_stride, uint16_t* y, int64_t y_stride) {
#if HWY_TARGET == HWY_SCALAR
  for (int64_t i = 0; i < 8; ++i) {
    for (int64_t j = 0; j < 8; ++j) y[y_stride * j + i] = x[x_stride * i + j];
  }
#else
  const hn::CappedTag<uint16_t, 8> d;
  hn::Vec<decltype(d)> v[8], w[8];
  for (int i = 0; i < 8; ++i) v[i] = hn::LoadU(d, x + x_stride * i);
  // Each round turns the highest bit of the row into the lowest of the column.
  const auto round = [&](const auto* from, auto* to) HWY_ATTR {
    for (int i = 0; i < 4; ++i) {
      to[2 * i] = hn::InterleaveLower(d, from[i], from[i + 4]);
      to[2 * i + 1] = hn::InterleaveUpper(d, from[i], from[i + 4]);
    }
  };
  round(v, w);
  round(w, v);
  round(v, w);
  for (int j = 0; j < 8; ++j) hn::StoreU(w[j], d, y + y_stride * j);
#endif
}

// Eight positions of n channels (n a multiple of 8) to their place among sixteen, and back.
void StoreKeys(const float* k, int64_t stride, int64_t n, uint16_t* keys) {
  alignas(64) uint16_t half[8][8];
  for (int64_t c = 0; c < n; c += 8) {
    for (int64_t r = 0; r < 8; ++r) ToHalf(D8(), k + r * stride + c, 8, half[r]);
    Transpose8(half[0], 8, keys + c * kKeyLanes, kKeyLanes);
  }
}
void LoadKeys(const uint16_t* keys, int64_t n, float* k) {
  alignas(64) uint16_t half[8][8];
  for (int64_t c = 0; c < n; c += 8) {
    Transpose8(keys + c * kKeyLanes, kKeyLanes, half[0], 8);
    for (int64_t r = 0; r < 8; ++r) ToFloat(D8(), half[r], 8, k + r * n + c);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lowbit {

HWY_EXPORT(HalvesOf);
HWY_EXPORT(FloatsOf);
HWY_EXPORT(StoreKeys);
HWY_EXPORT(LoadKeys);

namespace {

// The plain storage of one head from the sixteen positions on that `position` belongs to.
template <typename T>
T* KeysAt(const AttentionShape& shape, const CacheView& cache, int64_t head, int64_t position) {
  return static_cast<T*>(cache.keys) +
         (head * cache.capacity + position / kKeyLanes * kKeyLanes) * shape.head_size + position % kKeyLanes;
}
template <typename T>
T* ValuesAt(const AttentionShape& shape, const CacheView& cache, int64_t head, int64_t position) {
  return static_cast<T*>(cache.values) + (head * cache.capacity + position) * shape.head_size;
}

template <typename T, typename Convert>
void AppendPlain(const AttentionShape& shape, const CacheView& cache, int64_t head, int64_t position,
                 const float* k, const float* v, const Convert& convert) {
  T* const keys = KeysAt<T>(shape, cache, head, position);
  T* const values = ValuesAt<T>(shape, cache, head, position);
  for (int64_t c = 0; c < shape.head_size; ++c) {
    keys[c * kKeyLanes] = convert(k[c]);
    values[c] = convert(v[c]);
  }
}

template <typename T, typename Convert>
void ReadPlain(const AttentionShape& shape, const CacheView& cache, int64_t head, int64_t position, float* k,
               float* v, const Convert& convert) {
  const T* const keys = KeysAt<T>(shape, cache, head, position);
  const T* const values = ValuesAt<T>(shape, cache, head, position);
  for (int64_t c = 0; c < shape.head_size; ++c) {
    k[c] = convert(keys[c * kKeyLanes]);
    v[c] = convert(values[c]);
  }
}

float Same(float x) {
  return x;
}

// Whether eight positions from `position` on go through the kernels.
bool EightAt(const AttentionShape& shape, const CacheView& cache, int64_t position, int64_t left) {
  return cache.type == CacheType::kF16 && shape.head_size % 8 == 0 && position % 8 == 0 && left >= 8;
}

}  // namespace

void AppendToCache(const AttentionShape& shape, const CacheView& cache, int64_t position, const float* k,
                   const float* v, int64_t rows) {
  if (position + rows > cache.capacity) {
    Fail("the key/value cache holds {} positions, {} are needed", cache.capacity, position + rows);
  }
  const int64_t n = shape.head_size, width = shape.kv_heads * n;
  for (int64_t r = 0; r < rows;) {
    const bool eight = EightAt(shape, cache, position + r, rows - r);
    for (int64_t h = 0; h < shape.kv_heads; ++h) {
      const int64_t from = r * width + h * n, at = position + r;
      if (eight) {
        LOWBIT_KERNEL(StoreKeys)(k + from, width, n, KeysAt<uint16_t>(shape, cache, h, at));
        for (int64_t i = 0; i < 8; ++i)
          LOWBIT_KERNEL(HalvesOf)(v + from + i * width, n, ValuesAt<uint16_t>(shape, cache, h, at + i));
      } else if (cache.type == CacheType::kF16) {
        AppendPlain<uint16_t>(shape, cache, h, at, k + from, v + from, FloatToF16);
      } else {
        AppendPlain<float>(shape, cache, h, at, k + from, v + from, Same);
      }
    }
    r += eight ? 8 : 1;
  }
}

void ReadFromCache(const AttentionShape& shape, const CacheView& cache, int64_t kv_head, int64_t position,
                   int64_t count, float* k, float* v) {
  const int64_t n = shape.head_size;
  for (int64_t r = 0; r < count;) {
    const int64_t at = position + r;
    const bool eight = EightAt(shape, cache, at, count - r);
    if (eight) {
      LOWBIT_KERNEL(LoadKeys)(KeysAt<uint16_t>(shape, cache, kv_head, at), n, k + r * n);
      LOWBIT_KERNEL(FloatsOf)(ValuesAt<uint16_t>(shape, cache, kv_head, at), 8 * n, v + r * n);
    } else if (cache.type == CacheType::kF16) {
      ReadPlain<uint16_t>(shape, cache, kv_head, at, k + r * n, v + r * n, F16ToFloat);
    } else {
      ReadPlain<float>(shape, cache, kv_head, at, k + r * n, v + r * n, Same);
    }
    r += eight ? 8 : 1;
  }
}

}  // namespace lowbit
#endif  // HWY_ONCE
