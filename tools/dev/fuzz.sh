#!/usr/bin/env bash
# Fuzzes every target of tests/fuzz with libFuzzer under AddressSanitizer and UBSan, and counts what it tried.
#
#   tools/dev/fuzz.sh SECONDS [TARGET...]      so long for each target; default: all
#
# Inputs that it finds worth keeping stay in build/fuzz/corpus and are the next run's start. One that breaks a target is left
# in build/fuzz/broken: put it under tests/fuzz/corpus/TARGET/found-NAME when the defect is repaired. Needs clang with
# libFuzzer (Debian: clang, libclang-rt-14-dev, libomp-dev).
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -ge 1 ] && [[ $1 =~ ^[0-9]+$ ]] || { echo "usage: tools/dev/fuzz.sh SECONDS [TARGET...]" >&2; exit 2; }
seconds=$1
shift
targets=("$@")
[ $# -gt 0 ] || targets=($(cd tests/fuzz/corpus && ls))

cmake --preset fuzz >/dev/null
programs=("${targets[@]/#/fuzz_}")
cmake --build build/fuzz --target "${programs[@]}"
mkdir -p build/fuzz/broken
total=0 failed=0
printf '%-12s %12s %10s %8s\n' target inputs edges result
for target in "${targets[@]}"; do
  kept=build/fuzz/corpus/$target log=build/fuzz/$target.log
  mkdir -p "$kept"
  # 2.5 GB is for the whole process, shadow memory included; each target states its own bound for one input (tests/fuzz/target.h).
  result=held
  OMP_NUM_THREADS=1 UBSAN_OPTIONS=print_stacktrace=1 "build/fuzz/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2560 -malloc_limit_mb=2048 \
    -max_len=8192 -print_final_stats=1 -artifact_prefix="build/fuzz/broken/$target-" "$kept" "tests/fuzz/corpus/$target" >"$log" 2>&1 || { result=BROKEN; failed=1; }
  inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  edges=$(grep -o 'cov: [0-9]*' "$log" | tail -1 | cut -d' ' -f2)
  total=$((total + ${inputs:-0}))
  printf '%-12s %12s %10s %8s\n' "$target" "${inputs:-0}" "${edges:-0}" "$result"
  [ $result = held ] || grep -m3 -E 'broken promise|ERROR|runtime error|SUMMARY' "$log" >&2 || true
done
printf '%-12s %12s\n' total "$total"
exit $failed
