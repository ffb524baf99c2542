#!/usr/bin/env bash
# Installs the Debian packages that lowbit is built from. Quiet when everything is there; works as root or with sudo.
#   scripts/setup.sh [build|fuzz|format|neon|faiss] ...     (default: build)
# LOWBIT_LAB=OFF leaves out libtorch.
set -euo pipefail

build=(g++ cmake ninja-build pkg-config ccache libhwy-dev libopenblas-pthread-dev liblapacke-dev nlohmann-json3-dev
  libtomlplusplus-dev libcli11-dev libfmt-dev libpcre2-dev libutf8proc-dev libsentencepiece-dev libgtest-dev libbenchmark-dev)
lab=(libtorch-dev)
fuzz=(clang libclang-rt-14-dev)
format=(clang-format clang-tidy)
neon=(g++-aarch64-linux-gnu qemu-user-static)
faiss=(libfaiss-dev)

wanted=()
for group in "${@:-build}"; do
  case "$group" in
    build)
      wanted+=("${build[@]}")
      [ "${LOWBIT_LAB:-ON}" = OFF ] || wanted+=("${lab[@]}")
      ;;
    fuzz) wanted+=("${fuzz[@]}") ;;
    format) wanted+=("${format[@]}") ;;
    neon) wanted+=("${neon[@]}") ;;
    faiss) wanted+=("${faiss[@]}") ;;
    *) echo "setup.sh: unknown group \"$group\"; known: build fuzz format neon faiss" >&2; exit 2 ;;
  esac
done

missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null || true)
  [ "${status:0:2}" = ii ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "setup.sh: these packages are missing and neither root nor sudo is available: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "installing: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" apt-get update -qq &&
       "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
     >"$log" 2>&1; then
  cat "$log" >&2
  echo "setup.sh: apt-get could not install ${missing[*]}" >&2
  exit 1
fi
