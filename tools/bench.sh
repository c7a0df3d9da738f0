#!/usr/bin/env bash
# Ours beside PyTorch and ONNX Runtime on this machine's CPU, in one go: inference, training steps, proximal steps.
# Works are timed in turns; rounds in which the machine was busy are left out; ratios stand last.
#
#   tools/bench.sh [--out FILE.md] [--python PYTHON] [--rounds N] [--only inference|training]
#
# Needs the preset 'cpu' built (tools/setup.sh), and a PYTHON (default: python3) with torch, and onnxruntime for inference:
# Debian has python3-torch; onnxruntime is on PyPI. What is missing is said before anything is timed. FILE.md (default: standard
# output alone) gets the tables with processor, versions and date. Takes about 20 minutes on two cores with 3 rounds.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
out="" python=python3 rounds=3 only=""
die() { echo "tools/bench.sh: $2" >&2; exit "$1"; }
while [ $# -gt 0 ]; do
  case $1 in
    --out|--python|--rounds|--only)
      [ $# -ge 2 ] || die 2 "$1 needs a value"
      case $1 in --out) out=$2 ;; --python) python=$2 ;; --rounds) rounds=$2 ;; --only) only=$2 ;; esac
      shift 2 ;;
    -h|--help) sed -n '2,10p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) die 2 "unknown option '$1' (see --help)" ;;
  esac
done
[[ $rounds =~ ^[1-9][0-9]*$ ]] || die 2 "--rounds $rounds: expected a whole number above 0"
[[ $only =~ ^(|inference|training)$ ]] || die 2 "--only $only: expected inference or training"
for program in hinge hinge-workload; do
  [ -x "$root/build/cpu/$program" ] || die 1 "build/cpu/$program is not built: cmake --preset cpu && cmake --build --preset cpu"
done
command -v "$python" >/dev/null || die 1 "--python $python: not found"
"$python" -c 'import torch' 2>/dev/null || die 1 "$python has no torch (Debian: python3-torch)"
[ "$only" = training ] || "$python" -c 'import onnxruntime' 2>/dev/null || die 1 "$python has no onnxruntime (PyPI), which inference is compared with; --only training does without"

report=$(mktemp)
trap 'rm -f "$report"' EXIT
{
  echo "# Beside PyTorch and ONNX Runtime, $(date -u +%Y-%m-%d)"
  echo
  echo "$(nproc) cores of $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release), $("$root/build/cpu/hinge" --version), PyTorch $("$python" -c 'import torch; print(torch.__version__)'). \`tools/bench.sh --rounds $rounds\`."
  if [ "$only" != training ]; then
    printf '\n## Inference\n\n'
    "$python" "$here/bench/inference_peers.py" --rounds "$rounds"
  fi
  if [ "$only" != inference ]; then
    printf '\n## Training steps and proximal steps\n\n'
    "$python" "$here/bench/training_peers.py" --rounds "$rounds"
  fi
} | tee "$report"
[ -z "$out" ] || { cp "$report" "$out.partial" && mv "$out.partial" "$out"; }
