#include "lowbit/kernel/targets.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>

#include "lowbit/base/error.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lowbit/kernel/targets.cc"
#include "lowbit/kernel/simd.h"

#if HWY_ONCE

#if HWY_ARCH_X86
#include <cpuid.h>
#endif
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace lowbit {
namespace {

struct Entry {
  Target target;
  std::string_view name;
  int64_t highway;  // the Highway target it is compiled as
};

constexpr int64_t kFallback = HWY_STATIC_TARGET;
constexpr Entry kEntries[] = {
    {Target::kScalar, "scalar", kFallback},
    {Target::kAvx2, "avx2", HWY_AVX2},
    {Target::kAvx2Vnni, "avx2-vnni", HWY_AVX2},
    {Target::kAvx512, "avx512", HWY_AVX3},
    {Target::kAvx512Vnni, "avx512-vnni", HWY_AVX3},
    {Target::kAvx512Amx, "avx512-amx", HWY_AVX3},
    {Target::kNeon, "neon", HWY_NEON},
};

// A bit of CPUID leaf 7; register 0..3 = eax, ebx, ecx, edx.
bool Cpuid7(unsigned subleaf, int index, int bit) {
#if HWY_ARCH_X86
  unsigned r[4] = {};
  if (__get_cpuid_count(7, subleaf, &r[0], &r[1], &r[2], &r[3]) == 0) return false;
  return ((r[index] >> bit) & 1) != 0;
#else
  (void)subleaf, (void)index, (void)bit;
  return false;
#endif
}

bool CpuHasVnni512() {
  return Cpuid7(0, 2, 11);
}
bool CpuHasAvxVnni() {
  return Cpuid7(1, 0, 4);
}

// Whether this process may use AMX's tiles, which Linux lends to those who ask. Once lent, every thread has
// them.
bool MayUseTiles() {
#if HWY_ARCH_X86 && defined(__linux__)
  constexpr int kAmxTile = 24, kAmxInt8 = 25;
  if (!Cpuid7(0, 3, kAmxTile) || !Cpuid7(0, 3, kAmxInt8)) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

bool CpuIsIntel() {
#if HWY_ARCH_X86
  unsigned most = 0, name[3] = {};
  if (__get_cpuid(0, &most, &name[0], &name[2], &name[1]) == 0) return false;
  return std::memcmp(name, "GenuineIntel", sizeof name) == 0;
#else
  return false;
#endif
}

const Entry* Find(std::string_view name) {
  for (const Entry& e : kEntries) {
    if (e.name == name) return &e;
  }
  return nullptr;
}

std::string Names() {
  std::string names;
  for (Target t : SupportedTargets()) names += (names.empty() ? "" : ", ") + std::string(NameOf(t));
  return names;
}

constexpr int kUnset = -1;
std::atomic<int> current{kUnset};
std::mutex choosing;

void Use(Target target) {
  hwy::SetSupportedTargetsForTest(kEntries[static_cast<int>(target)].highway);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  current.store(static_cast<int>(target), std::memory_order_release);
}

}  // namespace

std::string_view NameOf(Target target) {
  return kEntries[static_cast<int>(target)].name;
}

std::vector<Target> SupportedTargets() {
  // Asked once: SetTarget narrows what Highway reports.
  static const int64_t cpu = hwy::SupportedTargets();
  static const bool tiles = CpuHasVnni512() && MayUseTiles();
  std::vector<Target> targets;
  for (const Entry& e : kEntries) {
    if (e.highway != kFallback && (cpu & HWY_TARGETS & e.highway) == 0) continue;
    if (e.target == Target::kScalar && kFallback != HWY_SCALAR && kFallback != HWY_EMU128) continue;
    if (e.target == Target::kAvx2Vnni && !CpuHasAvxVnni()) continue;
    if (e.target == Target::kAvx512Vnni && !CpuHasVnni512()) continue;
    if (e.target == Target::kAvx512Amx && !tiles) continue;
    targets.push_back(e.target);
  }
  return targets;
}

bool CpuHasBF16Dot() {
  return Cpuid7(1, 0, 5);
}

bool HasByteFields(Target target) {
  constexpr int kVbmi = 1, kVbmi2 = 6, kGfni = 8;
  static const bool has = Cpuid7(0, 2, kVbmi) && Cpuid7(0, 2, kVbmi2) && Cpuid7(0, 2, kGfni);
  return (target == Target::kAvx512Vnni || target == Target::kAvx512Amx) && has;
}

int64_t PrefetchDistance() {
  // Between two loads of a stream a core unpacks and multiplies, and Intel's prefetchers let memory idle
  // meanwhile: on Emerald Rapids 4-bit codes come at 0.74 of the bandwidth without this and at 0.91 with it
  // (with AVX2 0.60 and 0.81). On Zen 4 asking costs up to a quarter of the bandwidth.
  static const int64_t distance = CpuIsIntel() ? 3072 : 0;
  return distance;
}

void SetTarget(Target target) {
  const std::vector<Target> supported = SupportedTargets();
  if (std::find(supported.begin(), supported.end(), target) == supported.end()) {
    FailUsage("kernel target \"{}\" cannot run on this machine, which has {}", NameOf(target), Names());
  }
  Use(target);
}

void SetTarget(std::string_view name) {
  const Entry* e = Find(name);
  if (e == nullptr) FailUsage("\"{}\" is not a kernel target; this machine has {}", name, Names());
  SetTarget(e->target);
}

Target CurrentTarget() {
  const int set = current.load(std::memory_order_acquire);
  if (set != kUnset) return static_cast<Target>(set);
  std::lock_guard lock(choosing);
  if (current.load(std::memory_order_acquire) == kUnset) {
    const char* forced = std::getenv("LOWBIT_TARGET");
    if (forced != nullptr && *forced != '\0') {
      SetTarget(std::string_view(forced));
    } else {
      Use(SupportedTargets().back());
    }
  }
  return static_cast<Target>(current.load(std::memory_order_acquire));
}

}  // namespace lowbit
#endif  // HWY_ONCE
