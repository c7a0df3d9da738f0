#!/usr/bin/env bash
# From a bare machine to a compressed network: set-up, build, then Fashion-MNIST from scratch to half the
# multiply-adds. About seven minutes on two cores.
#
#   tools/demo.sh [RUN_FOLDER]        default: runs/demo
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-runs/demo}

tools/setup.sh
cmake --preset cpu -DHINGE_TESTS=OFF >/dev/null
cmake --build --preset cpu --target hinge
hinge=build/cpu/hinge
data=(--data fashion-mnist --train-images 30000)

# Each step goes on where an interrupted demo stopped, and is passed over where it is finished.
step() {  # NAME COMMAND ARGUMENTS...
  local run="$out/$1"
  shift
  [ -f "$run/result.json" ] && return
  if [ -f "$run/config.json" ]; then "$hinge" "$1" --resume "$run"; else "$hinge" "$@" --out "$run"; fi
}
step train train --model resnet8 "${data[@]}" --epochs 4 --lr 0.1
step compress compress --weights "$out/train/model.safetensors" "${data[@]}" --target flops=0.5 --search-epochs 2 --epochs 8
"$hinge" eval --weights "$out/compress/model.safetensors" --data fashion-mnist
