#!/usr/bin/env bash
# The main job on the embedded model: quantize it, show what it lost, let it write.
#   scripts/demo.sh [BUILD] [OUT]      (default: build, <BUILD>/demo)
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
out=${2:-$build/demo}
lowbit=$build/lowbit
model=models/gutenberg
mkdir -p "$out"

say() { printf '\n== %s\n' "$*"; }

quantize() {  # NAME RECIPE FORMAT
  say "$1: $2, $3"
  "$lowbit" quantize "$model" -o "$out/gutenberg-$1.lowbit" --recipe "$2" --format "$3" --text "$model/calibration.txt"
}
quantize int4 gptq int4-g64
quantize int3 gptq int3-g64
quantize int3-rtn rtn int3-g64

for name in int4 int3 int3-rtn; do
  say "what $name lost on held-out text"
  "$lowbit" eval "$out/gutenberg-$name.lowbit" --text "$model/heldout.txt" --reference "$model"
done

say "the 4-bit model writes"
"$lowbit" generate "$out/gutenberg-int4.lowbit" --prompt "It was a dark and stormy night; " --max-tokens 120 --seed 1
echo
