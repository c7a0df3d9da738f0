#!/usr/bin/env bash
# Peak resident memory of a ResNet-56 training step at batch 128, ours beside PyTorch's, as docs/benchmarks/memory.md
# has it. Fails if ours is larger. Needs Debian's python3-torch.
#
#   tools/bench/memory.sh [RUNS] [BATCH]        default: 5 runs, batch 128
set -euo pipefail
cd "$(dirname "$0")/../.."
runs=${1:-5} batch=${2:-128} steps=4

/usr/bin/python3 -c 'import torch' 2>/dev/null || { echo "tools/bench/memory.sh: /usr/bin/python3 has no torch; apt-get install python3-torch" >&2; exit 1; }
[ -f build/cpu/build.ninja ] || cmake --preset cpu >/dev/null
cmake --build build/cpu --target step_memory -j"$(nproc)" >&2

torch=(/usr/bin/python3 tools/bench/torch_step_memory.py --batch "$batch" --steps "$steps")
{
  for ((i = 0; i < runs; ++i)); do
    build/cpu/step_memory --batch "$batch" --steps "$steps"
    "${torch[@]}" | sed 's/"program": "/&N,C,H,W, /'
    "${torch[@]}" --channels-last | sed 's/"program": "/&N,H,W,C, /'
  done
} | /usr/bin/python3 tools/bench/memory_table.py
