// Loops over registers must vanish at compile time: the body is a lambda called with each constant, so that
// arrays indexed by it stay in registers and what is known from it costs nothing.
//   Unroll<0, 4>([&](auto i) LOWBIT_STEP { v[i] = ...; });

#if defined(LOWBIT_KERNEL_UNROLL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOWBIT_KERNEL_UNROLL_INL_H_
#undef LOWBIT_KERNEL_UNROLL_INL_H_
#else
#define LOWBIT_KERNEL_UNROLL_INL_H_
#endif

#include <type_traits>

#include "hwy/highway.h"

#undef LOWBIT_STEP
#define LOWBIT_STEP HWY_ATTR __attribute__((always_inline))

HWY_BEFORE_NAMESPACE();
namespace lowbit {
namespace HWY_NAMESPACE {

template <int i, int n, class F>
HWY_INLINE void Unroll(F&& f) {
  if constexpr (i < n) {
    f(std::integral_constant<int, i>());
    Unroll<i + 1, n>(f);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lowbit
HWY_AFTER_NAMESPACE();

#endif  // LOWBIT_KERNEL_UNROLL_INL_H_
