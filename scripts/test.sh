#!/usr/bin/env bash
# Runs every test of a build folder, shows what fails or is skipped as it happens, and ends with the summary line:
# "100% tests passed, 0 tests failed out of N".
#   scripts/test.sh [BUILD] [JOBS]
set -uo pipefail
build=${1:-build}
jobs=${2:-$(nproc)}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cd "$build" || exit 2
echo "running the tests of $build"
ctest --output-on-failure -j "$jobs" 2>&1 | tee "$log" |
  grep --line-buffered -v -E '^ *Start +[0-9]+:|^ *[0-9]+/[0-9]+ Test .* Passed|tests passed|^Total Test time|^$'
code=${PIPESTATUS[0]}
grep '^Total Test time' "$log"
grep 'tests passed' "$log"
exit "$code"
