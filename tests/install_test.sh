#!/usr/bin/env bash
# Installs the engine into a folder of its own, builds examples/ against it as a user's project would, and runs it.
#   tests/install_test.sh SOURCE BUILD
set -euo pipefail
source=$1
build=$2
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cmake --install "$build" --component engine --prefix "$place/prefix" >/dev/null
if find "$place/prefix/include" -name '*.cc' -o -name '*-inl.h' | grep -q .; then
  echo "sources were installed among the headers" >&2
  exit 1
fi
# Away from the source tree, so that nothing is found there by chance.
cp -r "$source/examples" "$place/examples"
cmake -G Ninja -S "$place/examples" -B "$place/build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$place/prefix" \
  --log-level=WARNING >/dev/null
ninja -C "$place/build"
model=$source/models/gutenberg
"$place/build/quantize_and_generate" "$model" "$model/calibration.txt" "The old house stood" | tee "$place/output"
grep -q 'int4-g64 by gptq' "$place/output"
grep -q '^The old house stood.' "$place/output"
