#!/usr/bin/env bash
# The same default settings on every family: a short training on a piece of CIFAR-10, then one search that is to end
# at half the multiply-adds, with networks for 0.8, 0.5 and 0.25 emitted on its path. What is looked at is the
# control, not the error: are targets met from below by less than one group, does the search arrive when planned?
#
#   tools/results/families.sh CIFAR_DIR OUT [NETWORK...]     default: one network a family
#
# Goes on where an interrupted run stopped. IMAGES (default 2500) training images, HELD_OUT (250) of them held out, BATCH (default 64), THREADS (default all), HINGE (the program).
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -ge 2 ] || { echo "tools/results/families.sh: expected CIFAR_DIR OUT [NETWORK...], found $# arguments" >&2; exit 2; }
cifar=$1 out=$2
shift 2
networks=("${@:-}")
[ -n "${networks[0]}" ] || networks=(resnet20 resnext20 vgg16 resnet164 densenet40 mobilenet_v2 resnet18 wrn-16-10)
images=${IMAGES:-2500} batch=${BATCH:-64}
hinge=${HINGE:-build/cpu/hinge}
[ -x "$hinge" ] || { echo "tools/results/families.sh: $hinge is not built" >&2; exit 1; }
[ -d "$cifar/cifar-10-batches-bin" ] && cifar=$cifar/cifar-10-batches-bin

# A piece of the set, in its own layout: a record is 3,073 bytes.
piece=$out/cifar10/cifar-10-batches-bin
mkdir -p "$piece"
for i in 1 2 3 4 5; do head -c $((3073 * images / 5)) "$cifar/data_batch_$i.bin" > "$piece/data_batch_$i.bin"; done
head -c $((3073 * 500)) "$cifar/test_batch.bin" > "$piece/test_batch.bin"

step() {  # FOLDER COMMAND ARGUMENTS...
  local run="$out/$1"
  shift
  [ -f "$run/result.json" ] && return
  if [ -f "$run/config.json" ]; then
    "$hinge" "$1" --resume "$run"
  else
    "$hinge" "$@" --data cifar10 --data-dir "$out/cifar10" --held-out "${HELD_OUT:-250}" --batch "$batch" --threads "${THREADS:-0}" --out "$run"
  fi
}
for network in "${networks[@]}"; do
  echo "== $network"
  step "$network-train" train --model "$network" --epochs 3 --lr 0.05
  # Where 0.25 is out of reach, that is refused before anything is trained; what it said goes into the table.
  weights="$out/$network-train/model.safetensors"
  if ! step "$network" compress --weights "$weights" --target flops=0.8,0.5,0.25 --epochs 1 2> "$out/$network.refused"; then
    cat "$out/$network.refused" >&2
    step "$network" compress --weights "$weights" --target flops=0.8,0.5 --epochs 1
  fi
done
/usr/bin/python3 tools/results/families_table.py "$out" "${networks[@]}"
