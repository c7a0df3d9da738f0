#!/usr/bin/env bash
# Reruns every row of docs/testing.md that the tests of every change leave out, and prints what to write into its table.
#
#   tools/dev/nightly.sh            about six hours on two cores
#   tools/dev/nightly.sh SCALE      lengths times SCALE: 0.1 is a short look
#   tools/dev/nightly.sh SCALE ROW...   those rows alone: tests kills faults night tsan fuzz mutants soak
#
# Goes on after a row that fails and ends with exit code 1. Needs what tools/test.sh needs, and clang with libFuzzer.
set -uo pipefail
cd "$(dirname "$0")/../.."
scale=${1:-1}
[[ $scale =~ ^[0-9]*\.?[0-9]+$ ]] || { echo "usage: tools/dev/nightly.sh [SCALE [ROW...]]" >&2; exit 2; }
shift $(($# > 0))
rows=("${@:-all}")
for name in "${rows[@]}"; do
  [[ " all tests kills faults night tsan fuzz mutants soak " == *" $name "* ]] || { echo "tools/dev/nightly.sh: no row is called '$name' (tests kills faults night tsan fuzz mutants soak)" >&2; exit 2; }
done
scaled() { awk -v n="$1" -v s="$scale" -v least="$2" 'BEGIN { n = int(n * s); print (n > least ? n : least) }'; }
mkdir -p build/nightly
failed=0

row() {  # NAME COMMAND...
  local name=$1 log=build/nightly/$1.log begun=$SECONDS result=holds
  shift
  [[ " ${rows[*]} " == *" $name "* || ${rows[0]} == all ]] || return 0
  "$@" >"$log" 2>&1 || { result=FAILED; failed=1; }
  printf '%-10s %-7s %6d s   %s   %s\n' "$name" $result $((SECONDS - begun)) "$(date +%F)" "$*"
  tail -n 12 "$log" | sed 's/^/           | /'
}

night() {  # built here too, so that it says something of its own where the first row failed
  cmake --preset asan-ubsan >/dev/null && cmake --build build/asan-ubsan --target test_tools &&
    ASAN_OPTIONS=detect_leaks=0 OMP_WAIT_POLICY=passive build/asan-ubsan/tests/test_tools "[night]"
}

row tests tools/test.sh
row kills env HINGE_LONG_TESTS=1 build/cpu/tests/test_tools "*killed anywhere*"
row faults env HINGE_LONG_TESTS=1 build/cpu/tests/test_tools "*read-only or broken*"
row night night
row tsan tools/dev/tsan.sh
row fuzz tools/dev/fuzz.sh "$(scaled 600 5)"
row mutants tools/dev/mutate.py "$(scaled 200 5)"
row soak tools/dev/soak.py "$(scaled 120 2)"
exit $failed
