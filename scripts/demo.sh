#!/usr/bin/env bash
# The main job on the embedded model: quantize it, show what it lost, generate text. Needs no download.
#   scripts/demo.sh [BUILD_FOLDER] [OUTPUT_FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
lowbit=${1:-build}/lowbit
out=${2:-report/demo}
model=models/gutenberg
mkdir -p "$out"

quantize() {  # name, options ...
  local name=$1
  shift
  "$lowbit" quantize "$model" -o "$out/$name.lowbit" --text "$model/calibration.txt" "$@" --json >"$out/$name.quantize.json"
  "$lowbit" eval "$out/$name.lowbit" --text "$model/heldout.txt" --reference "$model" --json >"$out/$name.eval.json"
}

field() {  # file, key
  sed -n "s/^ *\"$2\": \([-0-9.e+]*\),*$/\1/p" "$1" | head -n 1
}

echo "Quantizing $model (a 3.7-million-parameter Llama trained on public-domain books) and scoring held-out chapters"
echo
"$lowbit" eval "$model" --text "$model/heldout.txt" --json >"$out/float.eval.json"
quantize rtn-int4 --recipe rtn --format int4-g64
quantize gptq-int4 --recipe gptq --format int4-g64
quantize rtn-int3 --recipe rtn --format int3-g64
quantize gptq-int3 --recipe gptq --format int3-g64

row='%-22s %10s %12s %12s %12s %12s\n'
printf "$row" model bytes bits/weight "(linear)" perplexity "KL to float"
for name in float rtn-int4 gptq-int4 rtn-int3 gptq-int3; do
  file="$out/$name.eval.json"
  kl=$(field "$file" kl_mean)
  printf "$row" "$name" "$(field "$file" bytes)" "$(printf %.3f "$(field "$file" bits_per_weight)")" \
    "$(printf %.3f "$(field "$file" bits_per_weight_linear)")" "$(printf %.3f "$(field "$file" perplexity)")" \
    "$([ -n "$kl" ] && printf %.5f "$kl" || echo -)"
done
echo
echo "Text from the 4-bit model:"
"$lowbit" generate "$out/gptq-int4.lowbit" --prompt "The old house stood" -n 60 --temperature 0.8 --top-p 0.9 --seed 1
echo
echo "Report: $("$lowbit" report -o "$out/report.html" --title "The embedded model in few bits" "$out"/*.eval.json "$out"/gptq-*.quantize.json)"
