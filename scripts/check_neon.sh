#!/usr/bin/env bash
# Compiles the decode core for 64-bit Arm and runs its tests under QEMU. Exit code 77 (skipped) without the tools.
#   scripts/check_neon.sh [JOBS]
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${1:-$(nproc)}
for tool in aarch64-linux-gnu-g++ cmake ninja; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed (scripts/setup.sh build neon)"; exit 77; }
done
cmake --preset neon --log-level=WARNING >/dev/null
ninja -C build-neon -j "$jobs"
if ! command -v qemu-aarch64-static >/dev/null && ! command -v qemu-aarch64 >/dev/null; then
  echo "compiled for 64-bit Arm; skipped running it: qemu-aarch64 is not installed (scripts/setup.sh neon)"
  exit 77
fi
ctest --test-dir build-neon --output-on-failure
